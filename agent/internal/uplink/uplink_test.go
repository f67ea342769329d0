package uplink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

func TestEventsAreDeliveredAndThePositionKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 300)
		n.run(func() {
			n.within(5*time.Second, "all acknowledged", n.delivered)
			n.agent.append(1)
			n.within(100*time.Millisecond, "a new record acknowledged", n.delivered)
			n.get(func() {
				if n.known != 301 || n.repeats > 0 {
					t.Errorf("Central knows %d records, %d came twice; want 301, 0", n.known, n.repeats)
				}
			})
			if p := n.agent.position(); p != (delivery.Position{Central: epoch(1), Journal: theBoot, Seq: 301}) {
				t.Errorf("the position kept is %+v", p)
			}
			if got := n.agent.centralTimes(); got == 0 {
				t.Error("a live acknowledgement did not give the clock")
			}
		})
		if p := n.last(); p.Online || p.Journal != theBoot {
			t.Errorf("the last presence is %+v, want the farewell", p)
		}
	})
}

// TestBrokerAbsentThenWiped starts the agent without a broker, and later kills
// the broker with all its state.
func TestBrokerAbsentThenWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 10)
		n.broker.Stop()
		n.run(func() {
			time.Sleep(10 * time.Minute)
			n.agent.append(200)
			n.start()
			n.within(20*time.Second, "all acknowledged once the broker is there", n.delivered)
			for range 3 {
				n.broker.Stop()
				n.agent.append(50)
				time.Sleep(time.Minute)
				n.start()
				n.within(20*time.Second, "all acknowledged after the broker was wiped", n.delivered)
			}
			n.get(func() {
				if n.known != 360 {
					t.Errorf("Central knows %d records, want 360", n.known)
				}
			})
		})
	})
}

func TestCentralSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 500)
		n.run(func() {
			n.within(10*time.Second, "all acknowledged", n.delivered)
			n.get(func() { n.acksNothing = true })
			n.agent.append(300)
			time.Sleep(30 * time.Second)
			if a := n.agent.alarm(); a != "" {
				t.Errorf("an alarm after 30 s: %s", a)
			}
			time.Sleep(10 * time.Minute)
			s := n.agent.view.Load().Delivery
			if a := n.agent.alarm(); !strings.Contains(a, "does not answer") {
				t.Errorf("the alarm is %q, want that Central does not answer", a)
			}
			n.get(func() {
				if n.flight != delivery.MaxWindow {
					t.Errorf("%d records arrived unacknowledged, want the window of %d", n.flight, delivery.MaxWindow)
				}
				n.acksNothing = false
			})
			// 5, 10, 20, 40 and then every 60 s, each up to a fifth sooner.
			if s.Counts.Probes < 13 || s.Counts.Probes > 18 {
				t.Errorf("%d probes in 10 minutes, want about 13", s.Counts.Probes)
			}
			n.within(2*time.Minute, "all acknowledged once Central answers", n.delivered)
			time.Sleep(time.Second)
			if a := n.agent.alarm(); a != "" {
				t.Errorf("still an alarm: %s", a)
			}
		})
	})
}

// TestASilentConnectionIsReplaced: Central acknowledges each presence, at least
// every five minutes. If it does not, the broker may have lost the subscriptions.
func TestASilentConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 5)
		n.agent.cfg.IdleTelemetry = time.Minute
		n.run(func() {
			n.within(10*time.Second, "all acknowledged", n.delivered)
			time.Sleep(6 * time.Hour)
			if left, conn := n.agent.view.Load().Delivery.Counts.Reconnects, n.last().Conn; left != 0 || conn != 1 {
				t.Errorf("a line on which Central answers was left %d times, %d connections", left, conn)
			}
			n.get(func() { n.acksNothing = true })
			time.Sleep(3 * time.Hour) // after 11, 22, 44 and 60 minutes, each up to a fifth sooner
			left, conn := n.agent.view.Load().Delivery.Counts.Reconnects, n.last().Conn
			if left < 4 || left > 5 || conn != left+1 {
				t.Errorf("in 3 hours of silence the line was left %d times, %d connections; want 4 or 5", left, conn)
			}
			n.get(func() { n.acksNothing = false })
			n.agent.append(1)
			n.within(2*time.Minute, "all acknowledged once Central answers", n.delivered)
		})
	})
}

// TestCentralFromABackup: a later epoch of Central holds fewer records.
func TestCentralFromABackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 200)
		n.run(func() {
			n.within(10*time.Second, "all acknowledged", n.delivered)
			n.get(func() { n.known, n.epoch = 20, 2; n.answerLocked() })
			n.within(10*time.Second, "sent again", func() bool { return n.agent.view.Load().Delivery.Counts.AcksBack == 1 && n.delivered() })
			n.get(func() {
				if n.known != 200 {
					t.Errorf("Central knows %d, want 200", n.known)
				}
			})
			if p := n.agent.position(); p.Central != epoch(2) {
				t.Errorf("the position is of %s, want c2", p.Central)
			}
		})
	})
}

func TestTelemetryAndPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 5)
		n.run(func() {
			n.within(10*time.Second, "all acknowledged", n.delivered)
			time.Sleep(20 * time.Second)
			var before, presences int
			n.get(func() { before, presences = n.telemetry, len(n.presences) })
			time.Sleep(time.Minute)
			n.get(func() {
				if got := n.telemetry - before; got < 59 || got > 61 {
					t.Errorf("%d telemetries in a minute, want 60", got)
				}
				if got := len(n.presences) - presences; got != 0 {
					t.Errorf("%d presences in a quiet minute, want none", got)
				}
			})
			p := n.last()
			if !p.Online || *p.First != (wire.Position{Journal: theBoot, Seq: 1}) || *p.Next != (wire.Position{Journal: theBoot, Seq: 6}) || p.Central != epoch(1) {
				t.Errorf("the presence is %+v first %v next %v", p, p.First, p.Next)
			}
			time.Sleep(delivery.PresenceEvery)
			n.get(func() {
				if got := len(n.presences) - presences; got != 1 {
					t.Errorf("%d presences in five more minutes, want one", got)
				}
			})
			conn := n.last().Conn
			n.broker.Stop()
			n.start()
			n.within(10*time.Second, "a presence on the next connection", func() bool { return n.last().Conn > conn && n.last().Online })
			n.get(func() { before = n.telemetry })
			n.broker.Stop()
			time.Sleep(time.Minute)
			n.start()
			time.Sleep(10 * time.Second)
			n.get(func() {
				if got := n.telemetry - before; got > 12 {
					t.Errorf("%d telemetries after a minute away, want only the present ones", got)
				}
			})
		})
	})
}

func TestCommandsAreDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 1)
		command := func(id string, seq uint64, boot charge.JournalID, o wire.Order) []byte {
			data, err := wire.EncodeOrder(o)
			if err != nil {
				t.Fatal(err)
			}
			now := charge.At(time.Now())
			c := wire.Command{
				V: 1, ID: charge.CommandID(id), N: seq, Central: epoch(1), Journal: boot, CPID: theCP, Connector: 1, Type: o.CommandType(),
				IssuedAt: now, SentAt: now, ExpiresAt: now.Add(30 * time.Second), Data: data,
			}
			raw, err := c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		n.run(func() {
			n.within(10*time.Second, "all acknowledged", n.delivered)
			stop := &wire.Stop{SessionID: "s1"}
			for i, raw := range [][]byte{
				command("a", 5, theBoot, stop), command("a", 5, theBoot, stop), command("b", 4, theBoot, stop),
				command("c", 9, "older", stop), []byte("nonsense"), command("d", 6, theBoot, &wire.Start{SessionID: "s1", Username: "u"}),
			} {
				n.publish(wire.KindCommand, false, raw)
				n.within(time.Second, fmt.Sprintf("command %d decided", i), func() bool { return len(n.agent.verdicts()) == i+1 })
			}
			want := []delivery.VerdictKind{
				delivery.Run, delivery.Known, delivery.Superseded, delivery.OtherBoot, delivery.Malformed, delivery.Superseded,
			}
			if got := n.agent.verdicts(); !slices.Equal(got, want) {
				t.Errorf("decided %v, want %v", got, want)
			}
			n.publish(wire.KindAck, false, []byte(`{"v":1}`))
			n.within(time.Second, "a bad acknowledgement counted", func() bool { return n.agent.view.Load().BadMessages == 2 })
		})
	})
}

// TestARetainedAckDoesNotGiveTheClock: it may be days old.
func TestARetainedAckDoesNotGiveTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 3)
		raw, err := new(wire.Ack{V: 1, Central: epoch(1), Journal: new(theBoot), Seq: 3, At: 1}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		n.acksNothing = true
		n.first = func() {
			n.within(10*time.Second, "Central is there", func() bool { return n.central.State().Up })
			n.publish(wire.KindAck, true, raw)
			time.Sleep(time.Second)
		}
		n.run(func() {
			n.within(10*time.Second, "all acknowledged by what the broker kept", n.delivered)
			if got := n.agent.centralTimes(); got != 0 {
				t.Error("a retained acknowledgement gave the clock")
			}
			n.publish(wire.KindAck, true, raw)
			n.within(time.Second, "a live one gives the clock", func() bool { return n.agent.centralTimes() == 1 })
		})
	})
}

func TestUnreadableRecordsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 3)
		n.agent.setBroken(true)
		n.run(func() {
			time.Sleep(time.Minute)
			if failed, unacked := n.agent.setBroken(false), n.agent.view.Load().Delivery.Unacked(); failed == 0 || unacked != 3 {
				t.Errorf("%d failed reads, %d unacknowledged; want some, 3", failed, unacked)
			}
			n.within(2*time.Minute, "all acknowledged", n.delivered)
		})
	})
}
