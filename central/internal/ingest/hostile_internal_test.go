package ingest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

// commandSink is a Sender that keeps commands and drops the rest.
type commandSink struct{ commands []wire.Command }

func (*commandSink) Ack(charge.Epoch, charge.CPID, []byte)     {}
func (*commandSink) Progress(string, charge.SessionID, []byte) {}
func (*commandSink) Heartbeat([]byte)                          {}
func (n *commandSink) Command(_ charge.Epoch, _ charge.CPID, _ charge.CommandID, raw []byte, _ func()) {
	if c, err := wire.DecodeCommand(raw); err == nil {
		n.commands = append(n.commands, c)
	}
}

// faultyPoint is a Byzantine charging point: it writes well-formed records with
// contradictory content. All faulty points choose their ids from the same few.
type faultyPoint struct {
	id      charge.CPID
	written []wire.Record // all it ever wrote
	last    map[charge.JournalID]wire.Record
	at      charge.JournalID // its present journal
	conn    uint64
}

// pick draws one of several values.
func pick[T any](t *rapid.T, label string, from ...T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, label)]
}

func someSession(t *rapid.T) charge.SessionID {
	return pick[charge.SessionID](t, "session", "S1", "S2", "S3", "S4", "S5", "")
}

func someReservation(t *rapid.T) charge.ReservationID {
	return pick[charge.ReservationID](t, "reservation", "R1", "R2", "R3")
}

func someRegister(t *rapid.T) charge.WattHours {
	return pick[charge.WattHours](t, "register", 0, 1000, 1200, 1500, 2000, 2500, charge.MaxRegister)
}

func someConnector(t *rapid.T) charge.ConnectorID {
	return pick[charge.ConnectorID](t, "connector", 1, 1, 2, 2, 3, 0)
}

func someUser(t *rapid.T) charge.Username { return pick[charge.Username](t, "user", "ann", "bob") }

func someTariff(t *rapid.T) charge.TariffVersion {
	return pick[charge.TariffVersion](t, "tariff", "t1", "", "unknown")
}

func someUntil(t *rapid.T) charge.Time {
	return charge.At(time.Now()).Add(time.Duration(pick(t, "until", -3600, -5, 0, 600)) * time.Second)
}

func (l *faultyPoint) someJournal(t *rapid.T) charge.JournalID {
	return pick[charge.JournalID](t, "journal", "J1", "J2", "J3", "J4")
}

func (l *faultyPoint) somePosition(t *rapid.T) *wire.Position {
	return &wire.Position{Journal: l.someJournal(t), Seq: charge.Seq(rapid.IntRange(1, 6).Draw(t, "seq"))}
}

func (l *faultyPoint) registered(t *rapid.T) *wire.Registered {
	reg := &wire.Registered{Agent: "faulty", Simulated: true}
	for range rapid.IntRange(1, 3).Draw(t, "connectors") {
		c := wire.ConnectorState{
			Connector: max(someConnector(t), 1), Status: pick(t, "status", charge.Statuses()...),
			SessionID: someSession(t), Plugged: rapid.Bool().Draw(t, "plugged"), Available: rapid.Bool().Draw(t, "available"),
		}
		if rapid.Bool().Draw(t, "metered") {
			c.Register = new(someRegister(t))
		}
		reg.Connectors = append(reg.Connectors, c)
	}
	for range rapid.IntRange(0, 2).Draw(t, "held") {
		reg.Reservations = append(reg.Reservations, wire.ReservationState{
			ReservationID: someReservation(t), Connector: max(someConnector(t), 1), Username: someUser(t), Until: someUntil(t),
		})
	}
	for range rapid.IntRange(0, 1).Draw(t, "damaged") {
		d := wire.Damaged{Journal: l.someJournal(t), First: charge.Seq(rapid.IntRange(0, 6).Draw(t, "first"))}
		if rapid.Bool().Draw(t, "ends") {
			d.Last = d.First + charge.Seq(rapid.IntRange(0, 3).Draw(t, "length"))
		}
		reg.Damaged = append(reg.Damaged, d)
	}
	return reg
}

func (l *faultyPoint) command(t *rapid.T, sent []wire.Command) json.RawMessage {
	if len(sent) > 0 && rapid.Bool().Draw(t, "a real one") {
		c := pick(t, "command", sent...)
		if rapid.Bool().Draw(t, "as its own") {
			c.CPID = l.id
		}
		return raw(&c)
	}
	var o wire.Order
	switch rapid.IntRange(0, 3).Draw(t, "order") {
	case 0:
		o = &wire.Reserve{ReservationID: someReservation(t), Username: someUser(t), Until: someUntil(t)}
	case 1:
		o = &wire.Start{SessionID: pick[charge.SessionID](t, "start", "S1", "S2", "S3"), Username: someUser(t), ReservationID: someReservation(t)}
	case 2:
		o = &wire.SetAvailability{Available: rapid.Bool().Draw(t, "available")}
	default:
		o = &wire.Stop{SessionID: pick[charge.SessionID](t, "stop", "S1", "S2", "S3")}
	}
	data, err := wire.EncodeOrder(o)
	if err != nil {
		t.Fatal(err)
	}
	now := charge.At(time.Now())
	return raw(&wire.Command{
		V: 1, ID: pick[charge.CommandID](t, "id", "C1", "C2"), N: uint64(rapid.IntRange(1, 3).Draw(t, "n")), Central: charge.Epoch{Number: 1, Run: "00000000000000ab"}, Journal: l.at,
		CPID: l.id, Connector: someConnector(t), Type: o.CommandType(), IssuedAt: now, SentAt: now, ExpiresAt: now.Add(time.Minute), Data: data,
	})
}

func raw(m interface{ Encode() ([]byte, error) }) []byte {
	b, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

func (l *faultyPoint) payload(t *rapid.T, sent []wire.Command) wire.Payload {
	reg := someRegister(t)
	switch rapid.IntRange(0, 17).Draw(t, "type") {
	case 0, 1, 2:
		return &wire.Authorized{
			By: pick(t, "by", wire.GrantReservation, wire.GrantOrder), Username: someUser(t), Register: reg, Tariff: someTariff(t),
			ReservationID: pick[charge.ReservationID](t, "used", "R1", "R2", ""),
		}
	case 3:
		return &wire.ChargingStarted{Register: reg}
	case 4, 5:
		return &wire.MeterRead{Register: reg}
	case 6:
		return &wire.Suspended{By: "ev", Register: reg}
	case 7:
		return &wire.Resumed{Register: reg}
	case 8, 9, 10:
		start := min(someRegister(t), reg)
		return &wire.ChargingStopped{
			Reason: charge.StopRemote, Start: start, Register: reg, Tariff: someTariff(t), OtherMeter: rapid.Bool().Draw(t, "other"),
		}
	case 11:
		return &wire.CommandAccepted{Command: l.command(t, sent)}
	case 12:
		id := pick[charge.CommandID](t, "id", "C1", "C2")
		if len(sent) > 0 {
			id = pick(t, "finished", sent...).ID
		}
		return &wire.CommandFinished{CommandID: id, Result: pick(t, "result", wire.ResultDone, wire.ResultRejected, wire.ResultExpired)}
	case 13:
		return &wire.ReservationEnded{ReservationID: someReservation(t), Reason: charge.ReservationExpired}
	case 14:
		return pick[wire.Payload](t, "fault", &wire.FaultRaised{Fault: charge.FaultOther}, &wire.FaultCleared{Fault: charge.FaultOther})
	case 15:
		return pick[wire.Payload](t, "plug", &wire.PluggedIn{}, &wire.Unplugged{})
	case 16:
		return &wire.StatusChanged{Status: pick(t, "status", charge.Statuses()...)}
	default:
		return l.registered(t)
	}
}

// write makes the next record of the present journal, or record 1 of another
// one.
func (l *faultyPoint) write(t *rapid.T, sent []wire.Command) wire.Record {
	var p wire.Payload
	boot := l.at == "" || rapid.IntRange(0, 5).Draw(t, "boot") == 0
	before, some := l.last[l.at]
	if boot {
		reg := l.registered(t)
		l.at = l.someJournal(t)
		if some {
			reg.After = &wire.Position{Journal: before.Journal, Seq: before.Seq}
		}
		switch rapid.IntRange(0, 9).Draw(t, "after") {
		case 0:
			reg.After = nil
		case 1:
			reg.After = l.somePosition(t)
		}
		p = reg
	} else {
		p = l.payload(t, sent)
	}
	r, err := wire.NewRecord(p)
	if err != nil {
		t.Fatal(err)
	}
	r.CPID, r.Journal, r.Seq = l.id, l.at, l.last[l.at].Seq+1
	if boot {
		r.Seq = 1
	}
	if some {
		r.Prev = wire.Hash(raw(&before))
	}
	r.Connector, r.SessionID = someConnector(t), someSession(t)
	r.At, r.Clock = charge.At(time.Now()), charge.ClockSynced
	r.UptimeMS = pick[int64](t, "uptime", 0, 1000, 5000, 1<<53)
	switch rapid.IntRange(0, 19).Draw(t, "odd") {
	case 0:
		r.Prev = ""
	case 1:
		r.Prev = wire.Hash([]byte("nothing"))
	case 2:
		r.Seq += charge.Seq(rapid.IntRange(1, 3).Draw(t, "ahead"))
	case 3:
		r.Type = "firmware_dreamt"
	case 4:
		r.Data = []byte(`{"register_wh":"12,5"}`)
	case 5:
		r.Seq = max(r.Seq-1, 1)
	}
	l.last[l.at] = r
	l.written = append(l.written, r)
	return r
}

func (l *faultyPoint) presence(t *rapid.T, self charge.Epoch) wire.Presence {
	l.conn++
	p := wire.Presence{V: 1, Online: rapid.IntRange(0, 4).Draw(t, "online") > 0, Journal: l.someJournal(t), Conn: l.conn, At: charge.At(time.Now())}
	if l.at != "" && rapid.Bool().Draw(t, "of this boot") {
		p.Journal = l.at
	}
	if p.Online {
		p.First, p.Next, p.Last = l.somePosition(t), l.somePosition(t), l.somePosition(t)
		if n := len(l.written); n > 0 && rapid.Bool().Draw(t, "what it wrote") {
			r := l.written[rapid.IntRange(max(0, n-4), n-1).Draw(t, "first")]
			p.First = &wire.Position{Journal: r.Journal, Seq: r.Seq}
			p.Next = p.First
		}
		p.Central = pick(t, "central", charge.Epoch{}, self, charge.Epoch{Number: 999_999_999_999, Run: "ffffffffffffffff"})
	}
	return p
}

func (l *faultyPoint) asks(t *rapid.T) Op {
	target := orders.Target{CPID: l.id, Connector: someConnector(t)}
	switch rapid.IntRange(0, 9).Draw(t, "operator") {
	case 0:
		return Order{orders.OperatorReserve{Target: target, Username: someUser(t)}}
	case 1:
		return Order{orders.OperatorStart{Target: target, Username: someUser(t)}}
	case 2:
		return Order{orders.OperatorStop{SessionID: someSession(t)}}
	case 3:
		return Order{orders.OperatorAvailability{Target: target, Available: rapid.Bool().Draw(t, "available")}}
	case 4:
		return Order{orders.OperatorCancel{ReservationID: someReservation(t)}}
	case 5:
		return Settle{SessionID: someSession(t)}
	case 6:
		return PassNext{CPID: l.id}
	case 7:
		return Release{CPID: l.id}
	case 8:
		return Order{orders.OperatorCharge{Target: target, Username: someUser(t)}}
	default:
		return Admit{CPID: l.id, Admitted: rapid.Bool().Draw(t, "admitted")}
	}
}

// Whatever well-formed input charging points, drivers and operators send, each
// transaction is committed, the state in memory is that of the database, and
// the applied records verify.
func TestNoInputReachesAConstraint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n, ".db"))
		defer func() {
			for _, tail := range []string{"", "-wal", "-shm", ".lock"} {
				_ = os.Remove(path + tail)
			}
		}()
		hostile(t.Context(), rt, path)
	})
}

func hostile(ctx context.Context, t *rapid.T, path string) {
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	tariff := ledger.Tariff{Version: "t1", StartFee: 100, PerKWh: 45, Currency: "EUR"}
	sink := &commandSink{}
	w := New(Config{
		Topics:  Topics{Events: "e", Telemetry: "t", Monitor: "m", Commands: "c", Drivers: "d", Central: "o", DeadLetters: "x"},
		Default: tariff, Admit: true, KeepAnswers: time.Hour, IDs: func() string { return ids.New(time.Now(), rand.Reader) },
		Run: "00000000000000ab",
	}, realDB{s}, sink, NewLive(tariff), func() {}, slog.New(slog.DiscardHandler))
	if err := w.begin(ctx); err != nil {
		t.Fatal(err)
	}
	w.live.join()
	points := []*faultyPoint{{id: "CP_1"}, {id: "CP_2"}}
	for _, l := range points {
		l.last = map[charge.JournalID]wire.Record{}
	}
	offset := int64(0)
	from := func(topic, key, kind string, value []byte) input {
		offset++
		return w.decode(KafkaRecord{Topic: topic, Offset: offset, CRC: crc32.ChecksumIEEE(value), Key: key, Value: value, Kind: kind, ReceivedAt: w.now()})
	}
	var batch []input
	commit := func() {
		for _, in := range batch {
			if d, dead := in.(deadLetterIn); dead {
				t.Fatalf("%s: a well-formed message is a dead letter: %s", d.d.Value, d.why)
			}
		}
		if err := w.tryCommit(ctx, batch); err != nil {
			t.Fatalf("a constraint was reached: %v", err)
		}
		batch = nil
		compareWithDatabase(ctx, t, w, s)
	}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		l := pick(t, "point", points...)
		switch rapid.IntRange(0, 11).Draw(t, "what") {
		case 0:
			p := l.presence(t, w.self)
			batch = append(batch, from("m", string(l.id), wire.KindValuePresence, raw(&p)))
		case 1:
			batch = append(batch, &operatorIn{op: l.asks(t)})
		case 2:
			q := fmt.Sprintf(`{"message_id":"m%d","event_type":"AUTHORIZATION_REQUEST","username":%q,"cp_id":%q,"timestamp":%d}`,
				rapid.IntRange(1, 4).Draw(t, "message"), someUser(t), l.id, time.Now().Unix())
			batch = append(batch, from("d", "ann", "", []byte(q)))
		case 3:
			if len(l.written) > 0 { // again
				r := pick(t, "again", l.written...)
				batch = append(batch, from("e", string(l.id), "", raw(&r)))
			}
		case 4:
			batch = append(batch, tickIn{})
		default:
			r := l.write(t, sink.commands)
			batch = append(batch, from("e", string(l.id), "", raw(&r)))
		}
		if rapid.IntRange(0, 3).Draw(t, "commit") == 0 {
			commit()
		}
	}
	commit()
	report, err := audit.Run(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Checks {
		for _, line := range c.Findings {
			t.Errorf("verify: %s: %s", c.Name, line)
		}
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
}

// compareWithDatabase compares the state in memory with what is loaded from the
// database.
func compareWithDatabase(ctx context.Context, t *rapid.T, w *Writer, s *store.Store) {
	t.Helper()
	got, err := s.CPs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for id, cp := range w.cps {
		other := got[id]
		if other == nil {
			t.Fatalf("%s is not in the database", id)
			return // which the line before does already
		}
		for _, pair := range []struct {
			what      string
			got, want any
		}{
			{"point", other.Point, cp.Point},
			{"journals", other.Journals, cp.Journals},
			{"connectors", other.Connectors, cp.Connectors},
			{"waiting", other.PendingConnectors, cp.PendingConnectors},
			{"meters", other.Meters, cp.Meters},
			{"sessions", other.Sessions, cp.Sessions},
			{"gaps", other.Gaps, cp.Gaps},
		} {
			if g, w := jsonOf(pair.got), jsonOf(pair.want); g != w {
				t.Fatalf("%s of %s: the database has\n%s\nmemory has\n%s", pair.what, id, g, w)
			}
		}
	}
	if len(got) != len(w.cps) {
		t.Fatalf("%d charging points in the database, %d in memory", len(got), len(w.cps))
	}
}

// jsonOf encodes a value, with an empty list like none.
func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(b), "[]", "null")
}
