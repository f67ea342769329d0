package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// DriverConfig says how the drivers of a charging point behave.
type DriverConfig struct {
	Seed    uint64
	Arrives Span // from the reservation to the plug
	Stays   Span // from the plug to leaving, if the session does not end before
	Leaves  Span // from the end of the session to leaving
}

// DefaultDriverConfig has drivers arrive in seconds and stay at most two
// minutes.
func DefaultDriverConfig() DriverConfig {
	return DriverConfig{
		Seed:    1,
		Arrives: Span{2 * time.Second, 6 * time.Second},
		Stays:   Span{60 * time.Second, 120 * time.Second},
		Leaves:  Span{time.Second, 3 * time.Second},
	}
}

// Validate reports everything that is wrong, each by its field.
func (c DriverConfig) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		span Span
	}{{"arrives", c.Arrives}, {"stays", c.Stays}, {"leaves", c.Leaves}} {
		if err := f.span.validate(); err != nil {
			errs = append(errs, fmt.Errorf("hal/sim: driver: %s: %w", f.name, err))
		}
	}
	return errors.Join(errs...)
}

// Deed is what a driver does with the cable.
type Deed int

// The deeds of a driver.
const (
	DeedPlug Deed = iota + 1
	DeedUnplug
)

// String returns "plug" or "unplug".
func (d Deed) String() string {
	if d == DeedPlug {
		return "plug"
	}
	return "unplug"
}

// Action is a deed to be done now, by hal.Simulator.
type Action struct {
	Deed      Deed
	Connector charge.ConnectorID
	Username  charge.Username
}

// visit is one driver's way from a reservation to leaving.
type visit struct {
	connector charge.ConnectorID
	username  charge.Username
	plugged   bool
	next      time.Duration // arrives, or leaves when plugged
}

// Driver is the model of the people who come to a charging point: on an
// accepted reservation a vehicle arrives after a while, plugs in, and leaves
// after its session has ended, or when its patience has. It is pure: it reads
// no clock, and the same calls at the same times give the same actions. It is
// for one caller.
//
// Invariant: at most one visit per connector; each ends by itself, at the
// latest Stays after its plug.
type Driver struct {
	cfg    DriverConfig
	rng    *rand.Rand
	visits []visit // by time of next
}

// NewDriver makes the model; a wrong span is an error that names it.
func NewDriver(cfg DriverConfig) (*Driver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Driver{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0xd21fe2))}, nil
}

// Reserved says that a reservation of the connector was accepted for a driver,
// who will come. Repeated for the same driver it changes nothing; for another
// one while nobody has come yet, the new one comes instead; while a vehicle is
// plugged in, it is ignored, as there is no place to park.
func (d *Driver) Reserved(now time.Duration, n charge.ConnectorID, who charge.Username) {
	if i := d.at(n); i >= 0 {
		if d.visits[i].plugged || d.visits[i].username == who {
			return
		}
		d.visits = slices.Delete(d.visits, i, i+1)
	}
	d.visits = append(d.visits, visit{connector: n, username: who, next: now + d.draw(d.cfg.Arrives)})
	d.sort()
}

// Ended says that the session or the reservation of the connector has ended:
// who is plugged in leaves soon, who was on the way does not come.
func (d *Driver) Ended(now time.Duration, n charge.ConnectorID) {
	i := d.at(n)
	if i < 0 {
		return
	}
	if !d.visits[i].plugged {
		d.visits = slices.Delete(d.visits, i, i+1)
		return
	}
	d.visits[i].next = min(d.visits[i].next, now+d.draw(d.cfg.Leaves))
	d.sort()
}

// Full says that the vehicle takes no more: its driver comes back and leaves.
func (d *Driver) Full(now time.Duration, n charge.ConnectorID) {
	if i := d.at(n); i >= 0 && d.visits[i].plugged {
		d.Ended(now, n)
	}
}

// Tick returns what is to be done by now, in the order of its time.
func (d *Driver) Tick(now time.Duration) []Action {
	var out []Action
	for len(d.visits) > 0 && d.visits[0].next <= now {
		v := &d.visits[0]
		if v.plugged {
			out = append(out, Action{DeedUnplug, v.connector, v.username})
			d.visits = slices.Delete(d.visits, 0, 1)
			continue
		}
		out = append(out, Action{DeedPlug, v.connector, v.username})
		v.plugged = true
		v.next += d.draw(d.cfg.Stays)
		d.sort()
	}
	return out
}

// Next is when Tick will have something to do; false: nobody is under way.
func (d *Driver) Next() (time.Duration, bool) {
	if len(d.visits) == 0 {
		return 0, false
	}
	return d.visits[0].next, true
}

func (d *Driver) at(n charge.ConnectorID) int {
	return slices.IndexFunc(d.visits, func(v visit) bool { return v.connector == n })
}

func (d *Driver) draw(s Span) time.Duration { return between(d.rng, s.Least, s.Most) }

func (d *Driver) sort() {
	slices.SortStableFunc(d.visits, func(a, b visit) int {
		return cmp.Or(cmp.Compare(a.next, b.next), cmp.Compare(a.connector, b.connector))
	})
}
