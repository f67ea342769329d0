package driver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

// fakeTransport is a Kafka that the test switches on and off, with a Central
// that answers through it.
type fakeTransport struct {
	mu            sync.Mutex
	up            bool
	asked         []wire.DriverRequest
	subscriptions []*driver.Subscription
	// central is called with each message that was sent while Kafka was up.
	central func(p *fakeTransport, m wire.DriverRequest)
}

func (p *fakeTransport) Send(_ context.Context, m *wire.DriverRequest) error {
	p.mu.Lock()
	up := p.up
	if up {
		p.asked = append(p.asked, *m)
	}
	p.mu.Unlock()
	if !up {
		return errors.New("connection refused")
	}
	if p.central != nil {
		p.central(p, *m)
	}
	return nil
}

func (p *fakeTransport) Subscribe(username charge.Username) *driver.Subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := driver.NewSubscription(username)
	p.subscriptions = append(p.subscriptions, e)
	e.DeliverLink(driver.LinkChanged{At: time.Now(), Up: p.up, Since: time.Now(), Reason: "connection refused"})
	return e
}

func (p *fakeTransport) Unsubscribe(*driver.Subscription) {}

func (p *fakeTransport) set(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = up
	for _, e := range p.subscriptions {
		e.DeliverLink(driver.LinkChanged{At: time.Now(), Up: up, Since: time.Now(), Reason: "connection refused"})
	}
}

func (p *fakeTransport) publish(e wire.CentralEvent) {
	e.Timestamp = wire.Seconds(charge.At(time.Now()))
	if e.EventID == "" {
		e.EventID = string(e.EventType)
	}
	for _, subscription := range p.subscriptions {
		subscription.Deliver(time.Now(), &e)
	}
}

// answerAll is a Central that gives every driver CP_001 and a session of one
// minute.
func answerAll(p *fakeTransport, m wire.DriverRequest) {
	switch m.EventType {
	case wire.DriverAuthorization:
		yes, until := true, wire.Seconds(charge.At(time.Now().Add(15*time.Minute)))
		p.publish(wire.CentralEvent{
			EventType: wire.CentralAuthorization, MessageID: m.MessageID, Username: m.Username, CPID: "CP_001", Connector: 1,
			Authorized: &yes, ReservationID: "r-1", ExpiresAt: &until,
		})
	case wire.DriverStarted:
		about := wire.CentralEvent{Username: m.Username, CPID: "CP_001", Connector: 1, SessionID: "s-1"}
		about.EventType = wire.CentralChargingStarted
		p.publish(about)
		time.AfterFunc(time.Minute, func() {
			about.EventType = wire.CentralTicket
			p.publish(about)
		})
	default:
	}
}

// TestRunWaitsForKafkaAndEndsOnATicket: Kafka starts 90 s after the driver.
// This failure, seen from the driver, is why this project exists.
func TestRunWaitsForKafkaAndEndsOnATicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeTransport{central: answerAll}
		time.AfterFunc(90*time.Second, func() { p.set(true) })
		start := time.Now()
		var kinds []driver.StepKind
		o, err := driver.Run(t.Context(), driver.DefaultConfig(), p, func(s driver.Step) { kinds = append(kinds, s.Kind) })
		if err != nil || o.Result != driver.Ticket {
			t.Fatalf("got %v, %v; want a ticket", o, err)
		}
		if took := time.Since(start); took != 150*time.Second {
			t.Errorf("took %v, want 2m30s", took)
		}
		want := []driver.StepKind{
			driver.StepKafkaAway, driver.StepKafkaBack, driver.StepAsking, driver.StepAuthorized, driver.StepStarted, driver.StepTicket,
		}
		if len(kinds) != len(want) {
			t.Fatalf("reported %v, want %v", kinds, want)
		}
		for i := range want {
			if kinds[i] != want[i] {
				t.Fatalf("reported %v, want %v", kinds, want)
			}
		}
		if len(p.asked) != 2 {
			t.Errorf("sent %d messages, want the request and the start", len(p.asked))
		}
	})
}

// TestRunGivesUpAtItsDeadline: Kafka, or Central, never answers.
func TestRunGivesUpAtItsDeadline(t *testing.T) {
	for _, c := range []struct {
		up   bool
		want driver.Result
	}{{false, driver.Unreached}, {true, driver.TimedOut}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			o, err := driver.Run(t.Context(), driver.DefaultConfig(), &fakeTransport{up: c.up}, func(driver.Step) {})
			if err != nil || o.Result != c.want || time.Since(start) != 2*time.Minute {
				t.Errorf("got %v, %v after %v; want %v after 2m", o.Result, err, time.Since(start), c.want)
			}
		})
	}
}

// TestRunEndsWithItsContext: also during a Send.
func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := driver.Run(ctx, driver.DefaultConfig(), &fakeTransport{up: true}, func(driver.Step) {})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestASubscriptionKeepsTheNewestProgressOnly: the queue of a driver that does
// not drain it stays short, and loses no other message.
func TestASubscriptionKeepsTheNewestProgressOnly(t *testing.T) {
	subscription := driver.NewSubscription("ana")
	about := wire.CentralEvent{EventType: wire.CentralProgress, Username: "ana"}
	for i := range 1000 {
		about.EventID = string(rune('a' + i%26))
		subscription.Deliver(epoch(), &about)
	}
	subscription.Deliver(epoch(), &wire.CentralEvent{EventType: wire.CentralTicket, Username: "ana", EventID: "t"})
	subscription.Deliver(epoch(), &wire.CentralEvent{EventType: wire.CentralTicket, Username: "eve", EventID: "u"})
	subscription.Deliver(epoch(), &wire.CentralEvent{EventType: wire.CentralStatus, EventID: "v"})
	subscription.Deliver(epoch(), &wire.CentralEvent{EventType: wire.CentralFault, EventID: "f"})
	got := subscription.Drain()
	if len(got) != 3 || got[1].(driver.Received).Event.EventID != "t" || got[2].(driver.Received).Event.EventID != "f" {
		t.Errorf("got %d: %+v", len(got), got)
	}
	if len(subscription.Drain()) != 0 {
		t.Error("drained twice")
	}
	for i := range 10 { // two sessions of one driver
		for _, id := range []charge.SessionID{"s-1", "s-2"} {
			about.SessionID, about.Timestamp = id, wire.Seconds(i)
			subscription.Deliver(epoch(), &about)
		}
	}
	if got = subscription.Drain(); len(got) != 2 || got[0].(driver.Received).Event.SessionID != "s-1" || got[1].(driver.Received).Event.Timestamp != 9 {
		t.Errorf("of two sessions got %d: %+v, want the newest of each", len(got), got)
	}
}
