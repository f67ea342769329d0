package pi_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/meter"
	"github.com/carga-ev/carga/sim/pi"
)

// site is what is wired to the board: a contactor with its feedback contact, a
// vehicle, the emergency stop and the meter. A power cut opens the contactor and
// leaves the rest as it is.
type site struct {
	*testing.T
	machine *machine
	bank    *meter.Bank // the registers of the meter

	mu sync.Mutex
	// mu guards everything that follows.
	plugged, asks, stopped bool
	relay                  bool      // level of the relay's pin, as last read
	moves                  time.Time // when the contactor follows the relay
	closed                 bool      // the contactor
	energy                 float64   // of the meter, in Wh
	readAt                 time.Time
	edges                  []edge // of the relay's pin, since the machine was made
	ended                  chan struct{}
}

// moment is a time: on the host's clock, and on the machine's, which stands still
// while the host does not run the emulator.
type moment struct {
	at  time.Time
	own time.Duration // since power on
}

func (s *site) now() moment {
	own, err := s.machine.pins.clock()
	s.must(err)
	return moment{time.Now(), own}
}

// edge is a change of the relay's pin.
type edge struct {
	moment
	high bool
}

const (
	// contactDelay is how long the contactor takes to move.
	contactDelay = 20 * time.Millisecond
	// lookInterval is the time between two readings of the pins.
	lookInterval = time.Millisecond
	// vehiclePower is what the vehicle draws, in W.
	vehiclePower = 3_680
	// firstEnergy is what the meter has counted before, in Wh.
	firstEnergy = 123_456
	// meterAddress is the meter's on its line.
	meterAddress = 1
)

// newSite wires a machine that is off.
func newSite(m *machine) *site {
	return &site{T: m.T, machine: m, bank: meter.NewBank(), energy: firstEnergy}
}

// powerOn connects the supply; see machine.powerOn. In reset no pin may be driven.
func (s *site) powerOn(commands ...string) {
	s.Helper()
	s.machine.powerOn(func() {
		for pin := range 28 {
			output, err := s.machine.pins.isOutput(pin)
			s.must(err)
			if output {
				s.Errorf("GPIO%d is an output in reset", pin)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.relay, s.closed, s.readAt = false, false, time.Now()
		s.must(s.wireLocked())
	}, commands...)
	s.ended = make(chan struct{})
	go s.run(s.machine.pins, s.ended)
	go func() { _ = meter.Serve(s.Context(), s.machine.serial, s) }() // it ends with the power
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wireLocked drives all inputs of the board. A closed contact pulls its pin low.
func (s *site) wireLocked() error {
	for pin, closed := range map[int]bool{
		pi.Feedback: s.closed, pi.Plug: s.plugged, pi.Request: s.plugged && s.asks, pi.EStop: !s.stopped,
	} {
		if err := s.machine.pins.drive(pin, !closed); err != nil {
			return err
		}
	}
	return nil
}

// run moves contactor and meter until the machine is off.
func (s *site) run(p *pins, ended chan<- struct{}) {
	defer close(ended)
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for ; ; <-ticker.C {
		levels, err := p.levels()
		if err != nil {
			return // the supply was cut
		}
		s.mu.Lock()
		err = s.stepLocked(time.Now(), levels>>pi.Relay&1 == 1)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stepLocked continues to a moment, with the level of the relay's pin then.
func (s *site) stepLocked(now time.Time, relay bool) error {
	if s.closed && s.plugged && s.asks {
		s.energy += vehiclePower * now.Sub(s.readAt).Hours()
	}
	s.readAt = now
	if relay != s.relay {
		s.relay, s.moves = relay, now.Add(contactDelay)
		s.edges = append(s.edges, edge{s.now(), relay})
	}
	if s.closed == s.relay || now.Before(s.moves) {
		return nil
	}
	s.closed = s.relay
	return s.wireLocked()
}

// cutPower cuts the supply of the board: the contactor opens.
func (s *site) cutPower() {
	s.Helper()
	s.machine.cutPower()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relay {
		s.edges = append(s.edges, edge{moment{at: time.Now()}, false})
	}
	s.relay, s.closed = false, false
}

// move changes contacts and returns when.
func (s *site) move(change func()) moment {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	now := s.now()
	s.must(s.wireLocked())
	return now
}

func (s *site) plugIn() moment { return s.move(func() { s.plugged, s.asks = true, true }) }
func (s *site) unplug() moment { return s.move(func() { s.plugged, s.asks = false, false }) }

func (s *site) pressStop(pressed bool) moment { return s.move(func() { s.stopped = pressed }) }

// push presses a button of the machine and returns when.
func (s *site) push(button int) moment {
	s.Helper()
	now := s.now()
	s.must(s.machine.pins.drive(button, true))
	return now
}

func (s *site) release(button int) {
	s.Helper()
	s.must(s.machine.pins.drive(button, false))
}

// counted is the register of the meter, in whole Wh.
func (s *site) counted() charge.WattHours {
	s.mu.Lock()
	defer s.mu.Unlock()
	return charge.WattHours(s.energy)
}

// relayAt returns the first moment at which the relay's pin had a level, from a
// moment on.
func (s *site) relayAt(from moment, high bool) (moment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := false
	for _, e := range s.edges {
		switch {
		case e.at.Before(from.at):
			was = e.high
		case was == high:
			return from, nil
		case e.high == high:
			return e.moment, nil
		}
	}
	if was == high {
		return from, nil
	}
	return moment{}, fmt.Errorf("the relay's pin is %s", map[bool]string{true: "high", false: "low"}[was])
}

// wentHigh reports whether the relay's pin was high at a moment or later.
func (s *site) wentHigh(from moment) bool {
	_, err := s.relayAt(from, true)
	return err == nil
}

// Registers implements meter.Registers: the meter measures when it is asked.
func (s *site) Registers(slave, function byte, address, count uint16) ([]uint16, meter.Exception, bool) {
	s.mu.Lock()
	v := meter.Values{ImportWh: int64(s.energy), MilliV: [3]int64{230_000}}
	if s.closed && s.plugged && s.asks {
		v.Watts, v.MilliA = vehiclePower, [3]int64{vehiclePower * 1000 / 230}
	}
	s.mu.Unlock()
	s.bank.SDM120(meterAddress, 1, v)
	return s.bank.Registers(slave, function, address, count)
}
