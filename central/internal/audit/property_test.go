package audit_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// memory is a database of one charging point, without a file.
type memory struct {
	*ledgertest.Book
	records []wire.Record // in the order of applying
}

func (m *memory) Integrity(context.Context) ([]string, error)   { return nil, nil }
func (m *memory) ForeignKeys(context.Context) ([]string, error) { return nil, nil }
func (m *memory) Stuck(context.Context) ([]string, error)       { return nil, nil }
func (m *memory) Wanted(context.Context) (int64, error)         { return 0, nil }

func (m *memory) PublishedTickets(context.Context) ([]ledger.Ticket, error) {
	return slices.Collect(maps.Values(m.Published)), nil
}

func (m *memory) CPs(context.Context) (map[charge.CPID]*ledger.CP, error) {
	return map[charge.CPID]*ledger.CP{m.CP.ID: m.FullState()}, nil
}

func (m *memory) Tariffs(context.Context) ([]ledger.Tariff, error) {
	return []ledger.Tariff{m.Env.Default}, nil
}

func (m *memory) Session(_ context.Context, id charge.SessionID) (ledger.Session, bool, error) {
	s, ok := m.Sessions[id]
	return s, ok, nil
}

func (m *memory) SessionsOf(context.Context, charge.CPID) ([]ledger.Session, error) {
	return slices.Collect(maps.Values(m.Sessions)), nil
}

func (m *memory) TicketsOf(context.Context, charge.CPID) ([]ledger.Ticket, error) {
	return slices.Collect(maps.Values(m.Tickets)), nil
}

func (m *memory) GapsOf(context.Context, charge.CPID) ([]ledger.Gap, error) {
	return slices.Collect(maps.Values(m.Gaps)), nil
}

func (m *memory) TicketsInDoubt(_ context.Context, cp charge.CPID) (map[charge.SessionID]bool, error) {
	all := map[charge.SessionID]bool{}
	for _, a := range m.Alarms {
		if a.Kind == ledger.AlarmTicket {
			all[charge.SessionID(a.ID[len(ledger.AlarmTicket)+len(cp)+2:])] = true
		}
	}
	return all, nil
}

func (m *memory) OverlapsShown(context.Context, charge.CPID) (map[charge.ConnectorID]bool, error) {
	all := map[charge.ConnectorID]bool{}
	for _, a := range m.Alarms {
		if a.Kind == ledger.AlarmOverlap {
			all[a.Connector] = true
		}
	}
	return all, nil
}

func (m *memory) PrunedOf(context.Context, charge.CPID) (map[charge.JournalID]charge.Seq, error) {
	return nil, nil
}

func (m *memory) RecordsOf(_ context.Context, _ charge.CPID,
	fn func(charge.JournalID, charge.Seq, string, []byte) error,
) error {
	for _, r := range m.records {
		raw := ledgertest.Raw(r)
		if err := fn(r.Journal, r.Seq, wire.Hash(raw), raw); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) apply(r wire.Record) {
	m.Env.Now += 10
	if out, _ := m.Apply(r); out.Verdict == ledger.Applied {
		m.records = append(m.records, r)
	}
}

// live lets an honest charging point do something at random; now and then its
// storage goes back or its beginning is not kept.
func live(t *rapid.T, b *ledgertest.ChargingPoint) {
	b.Now += charge.Time(rapid.IntRange(1, 60_000).Draw(t, "ms"))
	id := charge.ConnectorID(rapid.IntRange(1, len(b.Connectors)).Draw(t, "connector"))
	o := b.Connectors[id]
	switch what := rapid.IntRange(0, 10).Draw(t, "what"); {
	case b.Boots == 0 || what == 0:
		b.Boot()
	case what == 1:
		b.Lose(rapid.SampledFrom([]int{1, 2, 5, 1000}).Draw(t, "lost"))
		b.Boot()
	case what == 2 && len(b.Storage) > 3:
		b.Storage = b.Storage[rapid.IntRange(1, 3).Draw(t, "old"):]
	case what <= 4 && !o.Plugged:
		b.Plug(id)
	case what == 4:
		b.Unplug(id)
	case what <= 7 && o.Session == "":
		b.Grant(id, charge.SessionID(fmt.Sprintf("s%d", len(b.Log))), "ann", rapid.SampledFrom([]charge.TariffVersion{"", "default", "unknown"}).Draw(t, "tariff"))
	case what <= 7:
		b.Begin(id)
		b.FlowRated(id, charge.WattHours(rapid.IntRange(0, 5000).Draw(t, "wh")))
	case what == 8:
		b.Sample(id)
		if o.Session != "" && rapid.Bool().Draw(t, "paused") {
			b.Write(id, o.Session, &wire.Suspended{By: "ev", Register: o.Register})
		}
	case what == 9:
		b.Stop(id, charge.StopRemote)
	default:
		b.Flow(id, 3)
	}
}

// settle lets an operator settle some of the sessions in a state.
func settle(t *rapid.T, m *memory, state ledger.SessionState) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(m.CP.Sessions)) {
		if m.CP.Sessions[id].State != state || !rapid.Bool().Draw(t, "settled") {
			continue
		}
		changes, err := ledger.Settle(m.CP, &m.Env, id, true)
		if err != nil {
			t.Fatal(err)
		}
		m.Save(changes)
	}
}

// publish lets an earlier run of Central have published a ticket of any session, and
// perhaps a correction of it.
func publish(t *rapid.T, m *memory, b *ledgertest.ChargingPoint) {
	t.Helper()
	r := b.Log[rapid.IntRange(0, len(b.Log)-1).Draw(t, "of")]
	if r.SessionID == "" {
		return
	}
	metered := int(b.Billed[r.SessionID])
	if o := b.Connectors[r.Connector]; o.Session == r.SessionID {
		metered = int(o.Register - o.Start)
	}
	k := ledger.Ticket{
		ID: ledger.TicketID(r.SessionID), SessionID: r.SessionID, CPID: b.ID, Connector: r.Connector, Username: "ann", Reason: charge.StopRemote,
		Energy: charge.WattHours(rapid.IntRange(0, metered).Draw(t, "wh")), DurationSec: int64(rapid.IntRange(0, 100).Draw(t, "s")),
		Cost: money.Amount{Minor: money.Minor(rapid.IntRange(0, 500).Draw(t, "cost")), Currency: m.Env.Default.Currency},
	}
	if rapid.Bool().Draw(t, "settled before") {
		k.SettledAt = morning
	}
	m.Save(ledger.ReadPublished(&m.Env, k))
	if rapid.Bool().Draw(t, "corrected before") {
		k.ID, k.Corrects, k.SettledAt, k.Energy = ledger.CorrectionID(k.SessionID), k.ID, 0, charge.WattHours(rapid.IntRange(-int(k.Energy), metered-int(k.Energy)).Draw(t, "more"))
		m.Save(ledger.ReadPublished(&m.Env, k))
	}
}

// Whatever happened to a correct charging point, and in whichever order its records
// were received, an audit has no findings.
func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := ledgertest.NewChargingPoint("CP_001", rapid.IntRange(1, 2).Draw(t, "connectors"), morning)
		m := &memory{Book: ledgertest.NewBook(b.ID, morning)}
		m.Env.Default.PerMinute, m.Env.Default.PerIdleMinute = 12_345, 67_891
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			live(t, b)
			switch rapid.IntRange(0, 5).Draw(t, "delivery") {
			case 0: // all records it holds, in order
				m.ApplyPresence(b.Presence(wire.Position{}, charge.Epoch{}))
				for _, r := range b.Storage {
					m.apply(r)
				}
			case 1: // any record it has ever written
				m.apply(b.Log[rapid.IntRange(0, len(b.Log)-1).Draw(t, "which")])
			case 2:
				m.CP = m.Load()
			case 3: // an operator settles its sessions
				settle(t, m, ledger.SessionOpen)
			case 4: // a ticket of an earlier run, which knew other records
				publish(t, m, b)
			}
		}
		settle(t, m, ledger.SessionOrphaned)
		r, err := audit.Run(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if r.Wrong() != 0 {
			for _, c := range r.Checks {
				t.Logf("%s: %q", c.Name, c.Findings)
			}
			t.Fatalf("%d findings about an honest charging point", r.Wrong())
		}
	})
}

// Two devices with one identity, each with its own storage and meter: whichever of
// them presences name between their records, the rows follow from the records.
func TestNoFalseAlarmAboutTwoDevices(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &memory{Book: ledgertest.NewBook("CP_001", morning)}
		a, b := ledgertest.NewChargingPoint(m.CP.ID, 1, morning), ledgertest.NewChargingPoint(m.CP.ID, 1, morning+30)
		b.Boots = 1000 // its journals have other names
		b.Connectors[1].Register = 185_077
		a.Boot()
		b.Boot()
		sent := map[*ledgertest.ChargingPoint]int{}
		clock := morning
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			d := rapid.SampledFrom([]*ledgertest.ChargingPoint{a, b}).Draw(t, "device")
			if d.Now = max(d.Now, clock); rapid.Bool().Draw(t, "lives") {
				live(t, d)
			}
			clock = d.Now
			if rapid.Bool().Draw(t, "presence") {
				m.ApplyPresence(d.Presence(wire.Position{}, charge.Epoch{}))
			}
			for ; sent[d] < len(d.Log) && rapid.IntRange(0, 4).Draw(t, "sends") > 0; sent[d]++ {
				m.apply(d.Log[sent[d]])
			}
		}
		r, err := audit.Run(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if r.Wrong() != 0 {
			for _, c := range r.Checks {
				t.Logf("%s: %q", c.Name, c.Findings)
			}
			t.Fatalf("%d findings about two devices", r.Wrong())
		}
	})
}

// TestNoFalseAlarmAboutALostPredecessor: two boots name the same record before them, which
// is missing. Their links to it differ, and between them what is behind it was passed.
func TestNoFalseAlarmAboutALostPredecessor(t *testing.T) {
	t.Parallel()
	m := &memory{Book: ledgertest.NewBook("CP_001", morning)}
	boot := func(journal, prev string, after *wire.Position, damaged ...wire.Damaged) wire.Record {
		r, err := wire.NewRecord(&wire.Registered{
			Agent: "a", After: after, Damaged: damaged, Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable, Available: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.CPID, r.Journal, r.Seq, r.Prev, r.At, r.Clock = m.CP.ID, charge.JournalID(journal), 1, prev, morning, charge.ClockSynced
		return r
	}
	lost := &wire.Position{Journal: "never", Seq: 7}
	m.ApplyPresence(wire.Presence{V: wire.Version, Online: true, Journal: "b", Conn: 1, First: &wire.Position{Journal: "b", Seq: 1}, At: morning})
	m.apply(boot("b", wire.Hash([]byte("one")), lost))
	m.apply(boot("d", wire.Hash([]byte("x")), &wire.Position{Journal: "unknown", Seq: 1}, wire.Damaged{Journal: "never", First: 8, Last: 8, Reason: "unreadable"}))
	m.apply(boot("c", wire.Hash([]byte("another")), lost))
	if len(m.records) != 2 {
		t.Fatalf("%d records are applied, want those of b and c", len(m.records))
	}
	r, err := audit.Run(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong() != 0 {
		t.Errorf("%d findings: %+v", r.Wrong(), r.Checks)
	}
}
