package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Config is what one driver asks for, and how long it waits at each stage.
// Start from DefaultConfig.
type Config struct {
	Username charge.Username
	CPID     *charge.CPID // nil: any free charging point, which Central chooses
	DriverID string       // of the customer's own system; repeated in the answers, empty if unused
	ClientID string       // of this program; repeated in the answers

	// Deadline bounds the wait for Central's answer to the request. It runs
	// from the start of the service and includes the time that Kafka is away.
	Deadline time.Duration
	// Repeat is the retry interval: an unanswered message is sent again, under
	// its message_id, after so long.
	Repeat time.Duration
	// Grace is how long the driver still waits for a message about its
	// reservation after the end of that reservation.
	Grace time.Duration
	// SessionTimeout ends the service when no message about its session arrived
	// for so long.
	SessionTimeout time.Duration
	// StopAfter sends a stop request so long after charging began; 0: never.
	StopAfter time.Duration
	// LimitKWh and LimitCost end the session, as decimals: "12.5", in the main unit of
	// the currency "5.00"; empty: no limit.
	LimitKWh, LimitCost string
}

// DefaultConfig waits two minutes for an answer and retries every six seconds:
// one second more than Central may need to answer.
func DefaultConfig() Config {
	return Config{
		Username:       "driver1",
		ClientID:       "carga-sim",
		Deadline:       2 * time.Minute,
		Repeat:         6 * time.Second,
		Grace:          30 * time.Second,
		SessionTimeout: 10 * time.Minute,
	}
}

// Validate reports all invalid fields at once, each by its name.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("driver: "+field+": "+format, args...))
	}
	if !charge.ValidName(string(c.Username)) {
		bad("username", "%.80q is not a name; use 1 to %d bytes without control characters", c.Username, charge.MaxNameLength)
	}
	if c.CPID != nil {
		if _, err := charge.ParseCPID(string(*c.CPID)); err != nil {
			bad("cp_id", "%w", err)
		}
	}
	if len(c.ClientID) > maxClientID || len(c.DriverID) > maxClientID {
		bad("client_id", "longer than %d bytes", maxClientID)
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"deadline", c.Deadline}, {"repeat", c.Repeat}, {"session_timeout", c.SessionTimeout}} {
		if f.d < 100*time.Millisecond {
			bad(f.name, "%v; use 100ms or more", f.d)
		}
	}
	if c.Grace < 0 || c.StopAfter < 0 {
		bad("grace, stop_after", "use 0 or more")
	}
	if _, _, err := c.limits(); err != nil {
		errs = append(errs, fmt.Errorf("driver: %w", err))
	}
	return errors.Join(errs...)
}

// limits returns the limits of the session as messages carry them; nil for none.
func (c Config) limits() (energy *wire.KWh, cost *wire.Money, err error) {
	parse := func(field, text string, v json.Unmarshaler) error {
		if err := v.UnmarshalJSON([]byte(text)); err != nil {
			return fmt.Errorf("%s: %.40q is no decimal; use one above 0, such as 12.5", field, text)
		}
		return nil
	}
	if c.LimitKWh != "" {
		energy = new(wire.KWh)
		err = parse("limit_kwh", c.LimitKWh, energy)
	}
	if c.LimitCost != "" {
		cost = new(wire.Money)
		err = errors.Join(err, parse("limit_cost", c.LimitCost, cost))
	}
	if err != nil {
		return nil, nil, err
	}
	// The rules are those of the request.
	probe := wire.DriverRequest{EventType: wire.DriverStarted, Username: "u", CPID: new(charge.CPID("CP")), LimitKWh: energy, LimitCost: cost}
	if _, err := probe.Encode(); err != nil {
		return nil, nil, err
	}
	return energy, cost, nil
}

// maxClientID is the longest client_id and driver_id of the protocol, in bytes.
const maxClientID = 128
