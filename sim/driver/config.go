package driver

import (
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Config says who asks for what. Start from DefaultConfig.
type Config struct {
	Username charge.Username
	CPID     *charge.CPID // nil: any free charging point
	DriverID string
	ClientID string

	// Deadline is how long the request may stay without an answer.
	Deadline time.Duration
	// Repeat is how long an unanswered message waits before it is said again.
	Repeat time.Duration
	// Grace is how long after the end of its reservation a driver still waits to
	// be told of it.
	Grace time.Duration
	// SessionTimeout is how long a session may be silent before it is given up.
	SessionTimeout time.Duration
	// StopAfter asks to stop so long after charging began; 0: never.
	StopAfter time.Duration
}

// DefaultConfig asks for two minutes, and again every six seconds: one more
// than Central may take for its answer.
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

// Validate reports everything that is wrong, each by its field.
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
	}{{"deadline", c.Deadline}, {"repeat", c.Repeat}, {"patience", c.SessionTimeout}} {
		if f.d < 100*time.Millisecond {
			bad(f.name, "%v; use 100ms or more", f.d)
		}
	}
	if c.Grace < 0 || c.StopAfter < 0 {
		bad("grace, stop_after", "use 0 or more")
	}
	return errors.Join(errs...)
}

// maxClientID is the longest client_id and driver_id of the protocol, in bytes.
const maxClientID = 128
