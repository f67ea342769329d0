// Package journaltest writes the journal of a charging point as a correct agent
// does: records that are numbered, chained by their hashes and valid. Tests of what
// reads journals import it.
package journaltest

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

// Message is a message of a charging point as the bridge writes it to Kafka.
type Message struct {
	Key   string // the charging point's id
	Kind  string // value of the header kind; "" without it
	Value []byte
}

// Point is a charging point with one connector. Its fields may be read; tests that
// want a broken journal change them between two records.
//
// Registers are in Wh and begin at 1000, so that a test notices a register that is
// mistaken for energy.
type Point struct {
	tb       testing.TB
	CP       charge.CPID
	Journal  charge.JournalID // of the present boot
	Seq      charge.Seq       // of the last record
	Hash     string           // of the last record
	Register charge.WattHours
	Most     charge.MilliAmps // as the next boot reports it, and the next one
	Safe     charge.MilliAmps
	All      []Message // records, in the order of writing
}

// New returns a charging point that has booted for the first time.
func New(tb testing.TB, cp charge.CPID) *Point {
	tb.Helper()
	p := &Point{tb: tb, CP: cp, Register: 1000}
	p.Boot()
	return p
}

// Boot begins a new journal, whose first record (registered) names the last record
// of the journal before.
func (p *Point) Boot() {
	p.tb.Helper()
	var after *wire.Position
	if p.Seq > 0 {
		after = &wire.Position{Journal: p.Journal, Seq: p.Seq}
	}
	p.Journal, p.Seq = charge.JournalID(ids.New(time.Now(), rand.Reader)), 0
	reg := p.Register
	p.Write(0, "", &wire.Registered{After: after, Agent: "test", Simulated: true, Connectors: []wire.ConnectorState{
		{Connector: 1, Status: charge.StatusAvailable, Register: &reg, Available: true, Rated: 22_000, Most: p.Most, Safe: p.Safe},
	}})
}

// Write appends one record with the present time and returns it. The uptime grows
// by a second with each record. It fails the test
// if the payload is not valid.
func (p *Point) Write(k charge.ConnectorID, s charge.SessionID, payload wire.Payload) Message {
	p.tb.Helper()
	r, err := wire.NewRecord(payload)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.Seq++
	r.CPID, r.Journal, r.Seq, r.Prev, r.Connector, r.SessionID = p.CP, p.Journal, p.Seq, p.Hash, k, s
	r.At, r.Clock, r.UptimeMS = charge.At(time.Now()), charge.ClockSynced, int64(p.Seq)*1000
	raw, err := r.Encode()
	if err != nil {
		p.tb.Fatal(err)
	}
	p.Hash = wire.Hash(raw)
	m := Message{Key: string(p.CP), Value: raw}
	p.All = append(p.All, m)
	return m
}

// Charge writes a whole session of 2100 Wh, from plug to unplug: 8 records.
func (p *Point) Charge(n int) {
	p.tb.Helper()
	id := charge.SessionID(fmt.Sprintf("%s-%d", p.CP, n))
	start := p.Register
	p.Write(1, "", &wire.PluggedIn{})
	p.Write(1, id, &wire.Authorized{By: wire.GrantFreeVend, Username: "ann", Register: start, Tariff: "t1"})
	p.Write(1, id, &wire.ChargingStarted{Register: start, Username: "ann"})
	for range 3 {
		p.Register += 700
		p.Write(1, id, &wire.MeterRead{Register: p.Register, Power: 11_000})
	}
	p.Write(1, id, &wire.ChargingStopped{Reason: charge.StopLocal, Start: start, Register: p.Register, Username: "ann", Tariff: "t1"})
	p.Write(1, "", &wire.Unplugged{})
}

// Presence returns a presence by which the point is online: next is its first
// record that is not acknowledged, central the epoch of the Central that
// acknowledged the one before.
func (p *Point) Presence(next charge.Seq, central charge.Epoch) Message {
	p.tb.Helper()
	m := wire.Presence{
		V: 1, Online: true, Journal: p.Journal, Conn: 1, First: &wire.Position{Journal: p.Journal, Seq: 1},
		Next: &wire.Position{Journal: p.Journal, Seq: next}, Last: &wire.Position{Journal: p.Journal, Seq: p.Seq},
		Central: central, At: charge.At(time.Now()),
	}
	raw, err := m.Encode()
	if err != nil {
		p.tb.Fatal(err)
	}
	return Message{Key: string(p.CP), Kind: wire.KindValuePresence, Value: raw}
}
