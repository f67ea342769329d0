package people

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Config is how the drivers of a charging point behave.
type Config struct {
	Seed    uint64
	Arrives sim.Span // from the reservation to the plug
	Stays   sim.Span // from the plug to leaving, if the session does not end before
	Leaves  sim.Span // from the end of the session to leaving
}

// DefaultConfig has drivers arrive within seconds and stay for two minutes at
// most.
func DefaultConfig() Config {
	return Config{
		Seed:    1,
		Arrives: sim.Span{Least: 2 * time.Second, Most: 6 * time.Second},
		Stays:   sim.Span{Least: 60 * time.Second, Most: 120 * time.Second},
		Leaves:  sim.Span{Least: time.Second, Most: 3 * time.Second},
	}
}

// Validate reports everything that is wrong, each by its field.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		span sim.Span
	}{{"arrives", c.Arrives}, {"stays", c.Stays}, {"leaves", c.Leaves}} {
		if err := f.span.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("people: %s: %w", f.name, err))
		}
	}
	return errors.Join(errs...)
}

// Kind is what a driver does with the cable.
type Kind int

// The kinds of actions.
const (
	Plug Kind = iota + 1
	Unplug
)

// String returns "plug" or "unplug".
func (k Kind) String() string {
	if k == Plug {
		return "plug"
	}
	return "unplug"
}

// Action is something that a driver does now.
type Action struct {
	Kind      Kind
	Connector charge.ConnectorID
	Username  charge.Username
}

// visit is one driver from the reservation until the vehicle leaves.
type visit struct {
	connector charge.ConnectorID
	username  charge.Username
	plugged   bool
	next      time.Duration // when the driver plugs in, or leaves once plugged
}

// Model decides when drivers come and go. On an accepted reservation a vehicle
// arrives after a while, plugs in, and leaves after its session has ended, or
// when the driver does not want to stay longer.
//
// It is pure: it reads no clock, and the same calls at the same times return
// the same actions. It is for one caller.
//
// Invariant: there is at most one visit per connector; each ends by itself, at
// the latest Stays after its plug.
type Model struct {
	cfg    Config
	rng    *rand.Rand
	visits []visit // by time of next
}

// NewModel returns a model without visits; a wrong span is an error that names
// it.
func NewModel(cfg Config) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Model{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0xd21fe2))}, nil
}

// Reserved begins the visit of the driver that holds a reservation. A
// second call for the same driver changes nothing. A call for another driver
// replaces a visit whose vehicle has not arrived; while a vehicle is plugged in
// it is ignored, since the connector is occupied.
func (m *Model) Reserved(now time.Duration, n charge.ConnectorID, driver charge.Username) {
	if i := m.at(n); i >= 0 {
		if m.visits[i].plugged || m.visits[i].username == driver {
			return
		}
		m.visits = slices.Delete(m.visits, i, i+1)
	}
	m.visits = append(m.visits, visit{connector: n, username: driver, next: now + m.draw(m.cfg.Arrives)})
	m.sort()
}

// Ended reports that the session or the reservation of the connector has
// ended: a plugged vehicle leaves soon, one on the way does not arrive.
func (m *Model) Ended(now time.Duration, n charge.ConnectorID) {
	i := m.at(n)
	if i < 0 {
		return
	}
	if !m.visits[i].plugged {
		m.visits = slices.Delete(m.visits, i, i+1)
		return
	}
	m.visits[i].next = min(m.visits[i].next, now+m.draw(m.cfg.Leaves))
	m.sort()
}

// leave lets the vehicle at the connector leave now, if there is one.
func (m *Model) leave(now time.Duration, n charge.ConnectorID) {
	if i := m.at(n); i >= 0 && m.visits[i].plugged {
		m.visits[i].next = now
		m.sort()
	}
}

// Full reports that the vehicle takes no more energy: its driver comes back and
// leaves.
func (m *Model) Full(now time.Duration, n charge.ConnectorID) {
	if i := m.at(n); i >= 0 && m.visits[i].plugged {
		m.Ended(now, n)
	}
}

// Due returns the actions that are due by now, in the order of their times.
// The model assumes that the caller performs them.
func (m *Model) Due(now time.Duration) []Action {
	var out []Action
	for len(m.visits) > 0 && m.visits[0].next <= now {
		v := &m.visits[0]
		if v.plugged {
			out = append(out, Action{Unplug, v.connector, v.username})
			m.visits = slices.Delete(m.visits, 0, 1)
			continue
		}
		out = append(out, Action{Plug, v.connector, v.username})
		v.plugged = true
		v.next += m.draw(m.cfg.Stays)
		m.sort()
	}
	return out
}

// Next is when the next action is due; false without a visit.
func (m *Model) Next() (time.Duration, bool) {
	if len(m.visits) == 0 {
		return 0, false
	}
	return m.visits[0].next, true
}

// at is the place of the connector's visit; −1 without one.
func (m *Model) at(n charge.ConnectorID) int {
	return slices.IndexFunc(m.visits, func(v visit) bool { return v.connector == n })
}

func (m *Model) draw(s sim.Span) time.Duration { return s.Draw(m.rng) }

func (m *Model) sort() {
	slices.SortStableFunc(m.visits, func(a, b visit) int {
		return cmp.Or(cmp.Compare(a.next, b.next), cmp.Compare(a.connector, b.connector))
	})
}
