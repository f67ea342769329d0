package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/reason"
)

// Ledger writes changes of the ledger, each value as one row. If several changes
// have the same key, the last one is written.
//
// The rows are written table by table, whatever the order of the changes:
// charging points first, because the others refer to them, and ended sessions
// before open ones, because an index allows one open session per connector. Only
// a BootForgotten depends on the order: it deletes connectors of changes before
// it and keeps those of changes after it.
func (tx *Tx) Ledger(changes []ledger.Change) error {
	var b ledgerRows
	for _, c := range changes {
		if err := b.add(c); err != nil {
			return err
		}
	}
	for _, f := range b.forgotten {
		if err := tx.exec("DELETE FROM connectors WHERE cp_id=? AND journal=?", string(f.CPID), string(f.Journal)); err != nil {
			return fmt.Errorf("forget boot: %w", err)
		}
	}
	t := &tx.w.tables
	for _, w := range []struct {
		what string
		t    table
		args []any
	}{
		{"charging points", t.points, b.points},
		{"journals", t.journals, b.journals},
		{"connectors", t.connectors, b.connectors},
		{"meters", t.meters, b.meters},
		{"sessions", t.sessions, b.ended},
		{"sessions", t.sessions, b.open},
		{"published tickets", t.published, b.published}, // before the tickets, which delete them
		{"tickets", t.tickets, b.tickets},
		{"gaps", t.gaps, b.gaps},
		{"alarms", t.alarms, b.alarms},
	} {
		if err := tx.rows(w.t, w.args); err != nil {
			return fmt.Errorf("write %s: %w", w.what, err)
		}
	}
	if len(b.tickets) > 0 {
		crashpoint.At(crashpoint.Ticketing)
	}
	return tx.knowTimes(b.unsure)
}

// ledgerRows are the values of changed rows, by table, as Tx.rows expects them.
type ledgerRows struct {
	points, journals, connectors, meters, open, ended, published, tickets, gaps, alarms []any
	forgotten                                                                           []ledger.BootDeleted
	unsure                                                                              []any // of unsure_times
}

// add appends the row of a change.
func (b *ledgerRows) add(c ledger.Change) error {
	switch c := c.(type) {
	case ledger.PointChanged:
		b.addPoint(&c.Point)
	case ledger.JournalChanged:
		j := &c.Journal
		b.journals = append(b.journals, string(c.CPID), string(j.ID), j.Registered, int64(j.LastFollowed), int64(j.Last), j.Hash, string(j.After.Journal),
			int64(j.After.Seq), j.Root, list(j.Reported), int64(j.Conn), int64(j.OpenedAt), int64(j.FirstWrittenAt),
			string(j.Clock), int64(j.GrownAt), int64(j.Boot.At), string(j.Boot.Clock), int64(j.Boot.Seq), int64(j.GrownAt))
	case ledger.ConnectorChanged:
		k := &c.Connector
		b.connectors = append(b.connectors, string(c.CPID), string(k.Journal), int64(k.ID), int64(k.Rated), int64(k.Most), int64(k.Safe), k.Plugged,
			k.Available, string(k.Reported), list(k.Faults), string(k.Session), string(k.Phase), k.Finishing,
			string(k.Held.ID), string(k.Held.Username), int64(k.Held.Until), string(k.Held.Tariff),
			int64(k.Register), int64(k.IdleSince))
	case ledger.BootDeleted:
		b.forgotten = append(b.forgotten, c)
		b.connectors = withoutConnectorsOf(b.connectors, c)
	case ledger.MeterChanged:
		m := &c.Meter
		b.meters = append(b.meters, string(c.CPID), int64(m.Connector), m.Known, int64(m.First), int64(m.Last),
			int64(m.Carried), int64(m.Billed), int64(m.Running),
			int64(m.FirstAt), int64(m.LastRead.At), string(m.LastRead.Journal), m.LastRead.UptimeMS,
			m.Previous.Known, int64(m.Previous.Counted), int64(m.Previous.Last), int64(m.Previous.LastRead.At),
			string(m.Previous.LastRead.Journal), m.Previous.LastRead.UptimeMS,
			int64(m.Rated), int64(m.Register), string(m.Boot), string(m.Session))
	case ledger.SessionChanged:
		b.addSession(&c.Session)
	case ledger.TicketMade:
		b.tickets = appendTicket(b.tickets, &c.Ticket)
	case ledger.TicketPublished:
		b.published = appendTicket(b.published, &c.Ticket)
	case ledger.GapChanged:
		b.addGap(&c.Gap)
	case ledger.AlarmRaised:
		a := &c.Alarm
		b.alarms = append(b.alarms, a.ID, string(a.Kind), string(a.CPID), int64(a.Connector), int64(a.At), a.Detail, a.Cleared, object(a.Why))
	default:
		return fmt.Errorf("no row for a change of type %T", c)
	}
	return nil
}

// appendTicket appends the row of a ticket.
func appendTicket(rows []any, t *ledger.Ticket) []any {
	return append(rows, t.ID, string(t.SessionID), string(t.CPID), int64(t.Connector), string(t.Username),
		string(t.ReservationID), string(t.Tariff), int64(t.Start), int64(t.Stop), int64(t.Energy), int64(t.Cost.Minor),
		string(t.Cost.Currency), t.DurationSec, t.IdleSec, t.Started, int64(t.AuthorizedAt), int64(t.EndedAt), string(t.Reason),
		int64(t.SettledAt), t.Corrects, string(t.SettledAfter.Journal), int64(t.SettledAfter.Seq), t.Adopted)
}

// withoutConnectorsOf returns the rows of connectors without those of a boot.
func withoutConnectorsOf(rows []any, f ledger.BootDeleted) []any {
	width := strings.Count(connCols, ",") + 1
	var rest []any
	for row := range slices.Chunk(rows, width) {
		if row[0] != string(f.CPID) || row[1] != string(f.Journal) {
			rest = append(rest, row...)
		}
	}
	return rest
}

func (b *ledgerRows) addPoint(p *ledger.Point) {
	b.points = append(b.points, string(p.ID), p.Admitted, p.Name, p.Place, p.Agent, p.Simulated, int64(p.FirstSeenAt),
		string(p.CurrentJournal), string(p.PendingJournal), string(p.AnnouncedJournal), int64(p.Conn), p.Online, int64(p.PresenceAt),
		string(p.First.Journal), int64(p.First.Seq), string(p.Next.Journal), int64(p.Next.Seq),
		string(p.Last.Journal), int64(p.Last.Seq), p.Position.String(), int64(p.EpochLead), list(p.Faults), int64(p.ForkedAt), object(p.Fork),
		int64(p.BlockedSince), int64(p.MismatchAt), int64(p.SilentSince), string(p.NewestJournal))
}

func (b *ledgerRows) addSession(s *ledger.Session) {
	rows := &b.ended
	if s.State == ledger.SessionOpen {
		rows = &b.open
	}
	*rows = append(*rows, string(s.ID), string(s.CPID), int64(s.Connector), string(s.State), string(s.Username),
		string(s.ReservationID), string(s.Tariff), string(s.By), int64(s.Start), s.StartKnown, int64(s.Register),
		s.Started, int64(s.AuthorizedAt), int64(s.StartedAt), int64(s.EndedAt), int64(s.FirstSeenAt), string(s.Reason),
		s.Settled, list(s.Spans), int64(s.Limit.Energy), s.Limit.Amount, string(s.Card))
	for i := range s.Spans {
		if sp := &s.Spans[i]; sp.Clock != "" {
			b.unsure = append(b.unsure, string(s.ID), string(s.CPID), string(sp.Journal), int64(s.AuthorizedAt), int64(s.EndedAt), true)
		}
	}
}

func (b *ledgerRows) addGap(g *ledger.Gap) {
	lost := int64(0)
	for _, r := range g.Missing {
		if r.Last >= r.First {
			lost += int64(r.Last - r.First + 1)
		} else {
			lost++ // to the end of a journal, which is not known: at least one
		}
	}
	b.gaps = append(b.gaps, g.ID, string(g.CPID), string(g.Journal), int64(g.First), int64(g.Last), string(g.Cause),
		g.Detail, int64(g.DetectedAt), list(g.Missing), int64(g.Energy), list(g.Unmeasured), object(g.Why), len(g.Missing)+len(g.Unmeasured) > 0, lost)
}

// object encodes a reason as JSON; the zero Reason is an empty object.
func object(r reason.Reason) string {
	if r.IsZero() {
		return "{}"
	}
	raw, err := json.Marshal(r)
	if err != nil { // cannot happen: it has texts and numbers
		return "{}"
	}
	return string(raw)
}

// list encodes a list as JSON; nil is an empty list.
func list[T any](v []T) string {
	if len(v) == 0 {
		return "[]"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "[]" // lists of plain values always encode
	}
	return string(raw)
}
