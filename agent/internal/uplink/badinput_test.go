package uplink_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// badDown is one bad message to the agent, and the counter that counts it. The
// numbers are those of the list of possible MQTT input; those of a longer packet
// are in the tests of mqttlink. Which clients may send commands and
// acknowledgements is for the broker to know: until it has accounts, a greater
// epoch that is invented is believed.
type badDown struct {
	name    string
	kind    wire.Kind
	payload []byte
	counter func(*point.View) uint64
}

func badDowns(t *testing.T) []badDown {
	t.Helper()
	now := charge.At(time.Now())
	ack := func(central charge.Epoch, journal charge.JournalID, seq charge.Seq) []byte {
		raw, err := (&wire.Ack{V: 1, Central: central, Journal: &journal, Seq: seq, At: now}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	command := func(change func(c *wire.Command)) []byte {
		data, err := wire.EncodeOrder(&wire.Stop{SessionID: "s1"})
		if err != nil {
			t.Fatal(err)
		}
		c := wire.Command{
			V: 1, ID: "bad", N: 1, Central: epoch(1), Journal: theBoot, CPID: theCP, Connector: 1, Type: wire.CommandStop,
			IssuedAt: now, SentAt: now, ExpiresAt: now.Add(30 * time.Second), Data: data,
		}
		change(&c)
		raw, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good, stop := ack(epoch(1), theBoot, 3), command(func(*wire.Command) {})
	bad := func(s *point.View) uint64 { return s.BadMessages }
	verdict := func(k delivery.VerdictKind) func(*point.View) uint64 {
		return func(s *point.View) uint64 { return s.Commands.By[k] }
	}
	return []badDown{
		{"1 empty acknowledgement", wire.KindAck, nil, bad},
		{"1 empty command", wire.KindCommand, nil, bad},
		{"2 single NUL", wire.KindCommand, []byte{0}, bad},
		{"3 acknowledgement of 32 KiB and 1", wire.KindAck, append(good, bytes.Repeat([]byte(" "), 32<<10)...), bad},
		{"3 command of 60 KiB", wire.KindCommand, make([]byte, 60<<10), bad},
		{"9 trailing garbage", wire.KindAck, append(bytes.Clone(good), '}'), bad},
		{"10 seq twice", wire.KindAck, bytes.Replace(good, []byte(`"seq":3`), []byte(`"seq":3,"seq":2`), 1), bad},
		{"10 journal twice", wire.KindCommand, bytes.Replace(stop, []byte(`"n":1`), []byte(`"n":1,"journal":"older"`), 1), bad},
		{"11 nested 5 000 deep", wire.KindCommand, []byte(strings.Repeat(`{"data":`, 4_000)), bad},
		{"12 type of command that is no word", wire.KindCommand, bytes.Replace(stop, []byte(`"STOP"`), []byte(`7`), 1), bad},
		{"13 version 0", wire.KindAck, bytes.Replace(good, []byte(`"v":1`), []byte(`"v":0`), 1), bad},
		{"14 seq -1", wire.KindAck, bytes.Replace(good, []byte(`"seq":3`), []byte(`"seq":-1`), 1), bad},
		{"22 number that is none", wire.KindCommand, bytes.Replace(stop, []byte(`"n":1`), []byte(`"n":NaN`), 1), bad},
		{"22 epoch that is none", wire.KindAck, bytes.Replace(good, []byte(epoch(1).String()), []byte("CENTRAL_9"), 1), bad},
		{"22 epoch beyond the last", wire.KindCommand, bytes.Replace(stop, []byte(epoch(1).String()), []byte("1000000000001-00000000000000ab"), 1), bad},
		{"24 not a date", wire.KindAck, bytes.Replace(good, []byte(now.String()), []byte("today"), 1), bad},
		{"25 command for another charging point", wire.KindCommand, command(func(c *wire.Command) { c.CPID = "CP_Y" }), verdict(delivery.OtherBoot)},
		{"26 command of an hour ago", wire.KindCommand, command(func(c *wire.Command) {
			c.IssuedAt, c.SentAt, c.ExpiresAt = now.Add(-time.Hour), now.Add(-time.Hour), now.Add(-time.Hour+30*time.Second)
		}), verdict(delivery.Expired)},
		{"15 acknowledgement beyond what exists", wire.KindAck, ack(epoch(1), theBoot, 1<<40), func(s *point.View) uint64 { return s.Delivery.Counts.AcksForeign }},
		{"16 acknowledgement of a Central of an earlier version, of the year 2099", wire.KindAck, ack(charge.Epoch{Run: "03b3d6f8-0c00-7000-8000-000000000001"}, theBoot, 1), func(s *point.View) uint64 { return s.Delivery.Counts.AcksOld }},
		{"16 acknowledgement of less than before", wire.KindAck, ack(epoch(1), theBoot, 1), func(s *point.View) uint64 { return s.Delivery.Counts.AcksSame }},
		{"18 acknowledgement of an unknown journal", wire.KindAck, ack(epoch(1), "another", 1), func(s *point.View) uint64 { return s.Delivery.Counts.AcksSame }},
	}
}

// TestBadInputFromTheBroker: each is counted once and moves nothing; a good
// record behind it is delivered, a good command decided.
func TestBadInputFromTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 3)
		n.run(func() {
			n.within(10*time.Second, "all acknowledged", n.delivered)
			for _, row := range badDowns(t) {
				time.Sleep(time.Second)
				synctest.Wait()
				before := n.agent.view.Load()
				n.publish(row.kind, false, row.payload)
				n.within(2*time.Second, row.name+": counted", func() bool { return row.counter(n.agent.view.Load()) == row.counter(before)+1 })
				if got, was := n.agent.view.Load().Delivery, before.Delivery; got.Position != was.Position || got.End != was.End || got.Acked != was.Acked {
					t.Errorf("%s: position %+v, acknowledged %d; before %+v, %d", row.name, got.Position, got.Acked, was.Position, was.Acked)
				}
				n.agent.append(1)
				n.within(5*time.Second, row.name+": a good record is delivered", n.delivered)
			}
			if got := n.agent.view.Load().Commands.By[delivery.Run]; got != 0 {
				t.Errorf("%d commands had an effect", got)
			}
		})
	})
}
