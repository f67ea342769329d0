package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// odd is a well-formed record whose content is wrong; the bridge forwards it.
// The numbers are those of the list of bad input by MQTT, of which the bridge's
// own test has the rest.
type odd struct {
	name string
	// counter is what counts it, once for each message.
	counter string
	// alarm is what is raised; empty for none.
	alarm string
	// grows is set if the record is the next of its journal, so that it is
	// applied although its payload is unusable.
	grows    bool
	messages func(p *journaltest.Point) []journaltest.Message
}

// like is the nth record of a charging point with something changed.
func like(p *journaltest.Point, n int, change func(r *wire.Record)) []journaltest.Message {
	r, err := wire.DecodeRecord(p.All[n].Value)
	if err != nil {
		panic(err)
	}
	change(&r)
	raw, err := r.Encode()
	if err != nil {
		panic(err)
	}
	return []journaltest.Message{{Key: string(r.CPID), Value: raw}}
}

// next is a charging point's next record, with something changed.
func next(p *journaltest.Point, change func(r *wire.Record)) []journaltest.Message {
	return like(p, len(p.All)-1, func(r *wire.Record) {
		r.Seq, r.Prev, r.Type, r.SessionID, r.Data = p.Seq+1, p.Hash, wire.TypePluggedIn, "", []byte(`{}`)
		change(r)
	})
}

func oddRecords() []odd {
	// In a session that is open, so that a reading counts.
	data := func(text string) func(p *journaltest.Point) []journaltest.Message {
		return func(p *journaltest.Point) []journaltest.Message {
			p.Write(1, "CP_1-2", &wire.Authorized{By: wire.GrantFreeVend, Username: "ann", Register: p.Register, Tariff: "t1"})
			return append(p.All[len(p.All)-1:], next(p, func(r *wire.Record) {
				r.Type, r.SessionID, r.Data = wire.TypeMeterRead, "CP_1-2", []byte(text)
			})...)
		}
	}
	return []odd{
		{"12 unknown type", "applied", "", true, func(p *journaltest.Point) []journaltest.Message {
			return next(p, func(r *wire.Record) { r.Type = "battery_swapped" })
		}},
		{"13 unknown version v", "applied", "", true, func(p *journaltest.Point) []journaltest.Message {
			return next(p, func(r *wire.Record) { r.V = 2 })
		}},
		{"15 seq jumps by 10^9", "gaps", "", false, func(p *journaltest.Point) []journaltest.Message {
			return next(p, func(r *wire.Record) { r.Seq += 1_000_000_000 })
		}},
		{"16 seq below what is acknowledged", "duplicates", "", false, func(p *journaltest.Point) []journaltest.Message { return p.All[:3] }},
		{"17 same seq, other bytes", "forked", "identity_fork", true, func(p *journaltest.Point) []journaltest.Message {
			return like(p, 3, func(r *wire.Record) { r.UptimeMS++ })
		}},
		{"18 journal changed in mid-session", "gaps", "", false, func(p *journaltest.Point) []journaltest.Message {
			return next(p, func(r *wire.Record) { r.Journal = "another" })
		}},
		{"17 same seq, other bytes, prev wrong", "mismatched", "record_mismatch", false, func(p *journaltest.Point) []journaltest.Message {
			return like(p, 3, func(r *wire.Record) { r.Prev = wire.Hash([]byte("nothing")) })
		}},
		{"19 prev wrong", "mismatched", "record_mismatch", false, func(p *journaltest.Point) []journaltest.Message {
			return next(p, func(r *wire.Record) { r.Prev = wire.Hash([]byte("nothing")) })
		}},
		{"22 meter 1e308", "applied", "record_unusable", true, data(`{"register_wh":1e308,"power_w":0}`)},
		{"22 meter -1", "applied", "record_unusable", true, data(`{"register_wh":-1,"power_w":0}`)},
		{"22 meter 12,5", "applied", "record_unusable", true, data(`{"register_wh":"12,5","power_w":0}`)},
		{"23 register lower than the last", "applied", "meter_set_back", true, data(`{"register_wh":1,"power_w":0}`)},
		{"24 years 1970 and 9999", "applied", "", true, func(p *journaltest.Point) []journaltest.Message {
			first := next(p, func(r *wire.Record) { r.At = 0 })
			p.Seq, p.Hash = p.Seq+1, wire.Hash(first[0].Value)
			return append(first, next(p, func(r *wire.Record) { r.At = charge.MaxTime })...)
		}},
		{"25 session id of another charging point", "applied", "record_unusable", true, func(p *journaltest.Point) []journaltest.Message {
			return next(p, func(r *wire.Record) {
				r.Type, r.SessionID = wire.TypeChargingStopped, "CP_OTHER-1"
				r.Data = []byte(`{"reason":"local","register_start_wh":0,"register_wh":999999}`)
			})
		}},
	}
}

// Each record is counted. What was known before stays as it was, as do all
// other charging points, and a good record behind it is applied.
func TestOddRecords(t *testing.T) {
	for _, o := range oddRecords() {
		dir := t.TempDir()
		t.Run(o.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := central(t, dir)
				defer l.end()
				other, p := journaltest.New(t, "CP_OTHER"), journaltest.New(t, "CP_1")
				other.Charge(1)
				p.Charge(1)
				l.deliver(wire.TopicEvents, append(append([]journaltest.Message{}, other.All...), p.All...)...)
				synctest.Wait()
				before, state, sold := l.counters(), l.hash(), l.endedAccounts()
				messages := o.messages(p)
				l.deliver(wire.TopicEvents, messages...)
				synctest.Wait()
				if got := l.counters()[o.counter] - before[o.counter]; got != int64(len(messages)) {
					t.Errorf("%s grew by %d, want %d", o.counter, got, len(messages))
				}
				if got := l.hash(); !o.grows && got != state {
					t.Error("the state changed")
				}
				if got := l.counters()["unusable"]; (got > 0) != (o.alarm == "record_unusable") {
					t.Errorf("unusable: %d", got)
				}
				if got := l.endedAccounts(); !strings.Contains(got, sold) {
					t.Errorf("sessions and tickets: got\n%s\nwant among them\n%s", got, sold)
				}
				if got := l.alarms(); got[o.alarm] == 0 && o.alarm != "" || o.alarm == "" && len(got) > 0 {
					t.Errorf("alarms: got %v, want %q", got, o.alarm)
				}
				good := other.Write(1, "", &wire.PluggedIn{})
				l.deliver(wire.TopicEvents, good)
				time.Sleep(time.Second)
				synctest.Wait()
				if got := l.out.acked("CP_OTHER"); got != other.Seq {
					t.Errorf("the other charging point: acknowledged %d, want %d", got, other.Seq)
				}
			})
		})
	}
}

// endedAccounts are all ended sessions and all tickets, as one text.
func (l *instance) endedAccounts() string {
	l.t.Helper()
	var b bytes.Buffer
	sessions, err := l.store.Sessions(l.t.Context(), view.Query{})
	if err != nil {
		l.t.Fatal(err)
	}
	tickets, err := l.store.Tickets(l.t.Context(), view.Query{})
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range sessions {
		if sessions[i].EndedAt == 0 {
			continue
		}
		fmt.Fprintf(&b, "%+v\n", sessions[i])
	}
	for i := range tickets {
		fmt.Fprintf(&b, "%+v\n", tickets[i])
	}
	return b.String()
}

// alarms counts the raised alarms by kind.
func (l *instance) alarms() map[string]int {
	l.t.Helper()
	rows, err := l.store.Alarms(l.t.Context(), view.Query{})
	if err != nil {
		l.t.Fatal(err)
	}
	kinds := map[string]int{}
	for i := range rows {
		kinds[string(rows[i].Kind)]++
	}
	return kinds
}

// The same order, sent fifty times concurrently, is one reservation or one
// session to start.
func TestFiftyOrdersAtOnceAreOne(t *testing.T) {
	target := orders.Target{CPID: "CP_1", Connector: 1}
	for name, ask := range map[string]orders.OperatorRequest{
		"reserve": orders.OperatorReserve{Target: target, Username: "ann"},
		"charge":  orders.OperatorCharge{Target: target, Username: "ann"},
		"start":   orders.OperatorStart{Target: target, Username: "ann"},
	} {
		dir := t.TempDir()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := central(t, dir)
				defer l.end()
				p := journaltest.New(t, "CP_1")
				l.deliver(wire.TopicEvents, p.All...)
				l.online(p)
				synctest.Wait()
				var asking sync.WaitGroup
				for range 50 {
					asking.Go(func() {
						if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: ask}); err != nil {
							t.Error(err)
						}
					})
				}
				asking.Wait()
				synctest.Wait()
				reservations, err1 := l.store.Reservations(t.Context(), view.Query{})
				commands, err2 := l.store.Commands(t.Context(), view.Query{})
				if err := errors.Join(err1, err2); err != nil {
					t.Fatal(err)
				}
				if len(reservations) > 1 || len(commands) != 1 {
					t.Errorf("%d reservations and %d commands, want one order", len(reservations), len(commands))
				}
			})
		})
	}
}
