package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// CPs loads every charging point with all its journals, the connectors of its
// present boot, its meters, the sessions that have not ended, and the gaps that
// are open.
func (s *Store) CPs(ctx context.Context) (map[charge.CPID]*ledger.CP, error) {
	return s.load(ctx, points{}, "SELECT "+journalCols+" FROM journals")
}

// Recent loads charging points as CPs does, but each with the keep journals alone
// that grew last: as the ledger keeps them in memory. Without ids it loads all
// charging points; an id that the database does not know is left out.
func (s *Store) Recent(ctx context.Context, keep int, ids ...charge.CPID) (map[charge.CPID]*ledger.CP, error) {
	only := points{}
	if len(ids) > 0 {
		only = points{" WHERE cp_id IN (SELECT value FROM json_each(?))", []any{list(ids)}}
	}
	return s.load(ctx, only, "SELECT "+journalCols+" FROM (SELECT *,row_number() OVER "+
		"(PARTITION BY cp_id ORDER BY grown_at DESC,journal DESC) AS rank FROM journals"+only.where+") WHERE rank<="+strconv.Itoa(keep))
}

// points selects the charging points of a query; the zero value selects all.
type points struct {
	where string // "" for all
	args  []any
}

// and returns a WHERE of the condition and one more.
func (p points) and(condition string) string {
	if p.where == "" {
		return " WHERE " + condition
	}
	return p.where + " AND " + condition
}

// load loads the selected charging points; journals is the query of their
// journals.
func (s *Store) load(ctx context.Context, only points, journals string) (map[charge.CPID]*ledger.CP, error) {
	cps := map[charge.CPID]*ledger.CP{}
	_, err := collect(ctx, s, "load charging points", func(rows *sql.Rows) (struct{}, error) {
		p, err := scanPoint(rows)
		if err == nil {
			cp := ledger.NewCP(p.ID)
			cp.Point = p
			cps[p.ID] = cp
		}
		return struct{}{}, err
	}, "SELECT "+pointCols+" FROM cps"+only.where, only.args...)
	if err != nil {
		return nil, err
	}
	// Rows of a charging point that is not loaded are skipped: it may have been added
	// between two of these queries.
	load := func(what, query string, add func(*sql.Rows) error) {
		if err != nil {
			return
		}
		_, err = collect(ctx, s, "load "+what, func(rows *sql.Rows) (struct{}, error) { return struct{}{}, add(rows) }, query, only.args...)
	}
	load("journals", journals, func(rows *sql.Rows) error {
		id, j, err := scanJournal(rows)
		if cp := cps[id]; err == nil && cp != nil {
			cp.Journals[j.ID] = &j
		}
		return err
	})
	load("how many records are known", "SELECT cp_id,sum(last) FROM journals"+only.where+" GROUP BY cp_id", func(rows *sql.Rows) error {
		var id charge.CPID
		var n int64
		err := rows.Scan(&id, &n)
		if cp := cps[id]; err == nil && cp != nil {
			cp.KnownRecords = n
		}
		return err
	})
	load("connectors", "SELECT "+connCols+" FROM connectors"+only.where, func(rows *sql.Rows) error {
		id, k, err := scanConnector(rows)
		if cp := cps[id]; err == nil && cp != nil {
			switch k.Journal {
			case cp.CurrentJournal:
				cp.Connectors[k.ID] = &k
			case cp.PendingJournal:
				cp.PendingConnectors[k.ID] = &k
			}
		}
		return err
	})
	load("meters", "SELECT "+meterCols+" FROM meters"+only.where, func(rows *sql.Rows) error {
		var id charge.CPID
		var m ledger.Meter
		err := rows.Scan(&id, &m.Connector, &m.Known, &m.First, &m.Last, &m.Carried, &m.Billed, &m.Running,
			&m.FirstAt, &m.LastRead.At, &m.LastRead.Journal, &m.LastRead.UptimeMS,
			&m.Previous.Known, &m.Previous.Counted, &m.Previous.Last, &m.Previous.LastRead.At,
			&m.Previous.LastRead.Journal, &m.Previous.LastRead.UptimeMS,
			&m.Rated, &m.Register, &m.Boot, &m.Session)
		if cp := cps[id]; err == nil && cp != nil {
			cp.Meters[m.Connector] = &m
		}
		return err
	})
	load("sessions", "SELECT "+sessionCols+" FROM sessions"+only.and("state<>'ended'"), func(rows *sql.Rows) error {
		v, err := scanSession(rows)
		if cp := cps[v.CPID]; err == nil && cp != nil {
			cp.Sessions[v.ID] = &v
		}
		return err
	})
	load("gaps", "SELECT "+gapReadCols+" FROM gaps"+only.and("open=1"),
		func(rows *sql.Rows) error {
			g, err := scanGap(rows)
			if cp := cps[g.CPID]; err == nil && cp != nil {
				cp.Gaps[g.ID] = &g
			}
			return err
		})
	return cps, err
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// jsonOf scans a JSON column into v.
type jsonOf struct{ v any }

// Scan implements sql.Scanner.
func (j jsonOf) Scan(src any) error {
	switch src := src.(type) {
	case string:
		return json.Unmarshal([]byte(src), j.v)
	case []byte:
		return json.Unmarshal(src, j.v)
	}
	return errors.New("a JSON column holds neither text nor bytes")
}

// epochOf scans a column that holds an epoch as text. An earlier version of the
// program wrote other ids into the column; they become the zero epoch, which
// ranks below all.
type epochOf struct{ v *charge.Epoch }

// Scan implements sql.Scanner.
func (e epochOf) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("an epoch is a text, not a %T", src)
	}
	*e.v, _ = charge.ParseEpoch(text)
	return nil
}

func scanPoint(r scanner) (p ledger.Point, err error) {
	err = r.Scan(&p.ID, &p.Admitted, &p.Name, &p.Place, &p.Agent, &p.Simulated, &p.FirstSeenAt, &p.CurrentJournal,
		&p.PendingJournal, &p.AnnouncedJournal, &p.Conn, &p.Online, &p.PresenceAt, &p.First.Journal, &p.First.Seq,
		&p.Next.Journal, &p.Next.Seq, &p.Last.Journal, &p.Last.Seq, epochOf{&p.Position}, &p.EpochLead, jsonOf{&p.Faults}, &p.ForkedAt, jsonOf{&p.Fork},
		&p.BlockedSince, &p.MismatchAt, &p.SilentSince, &p.NewestJournal)
	p.Faults = nilIfEmpty(p.Faults)
	return p, err
}

func scanJournal(r scanner) (cp charge.CPID, j ledger.Journal, err error) {
	err = r.Scan(&cp, &j.ID, &j.Registered, &j.LastFollowed, &j.Last, &j.Hash, &j.After.Journal, &j.After.Seq, &j.Root, jsonOf{&j.Reported}, &j.Conn,
		&j.OpenedAt, &j.FirstWrittenAt, &j.Clock, &j.GrownAt,
		&j.Boot.At, &j.Boot.Clock, &j.Boot.Seq)
	j.Reported = nilIfEmpty(j.Reported)
	return cp, j, err
}

func scanConnector(r scanner) (cp charge.CPID, k ledger.Connector, err error) {
	err = r.Scan(&cp, &k.Journal, &k.ID, &k.Rated, &k.Most, &k.Safe, &k.Plugged, &k.Available, &k.Reported, jsonOf{&k.Faults}, &k.Session,
		&k.Phase, &k.Finishing, &k.Held.ID, &k.Held.Username, &k.Held.Until, &k.Held.Tariff, &k.Register, &k.IdleSince)
	k.Faults = nilIfEmpty(k.Faults)
	return cp, k, err
}

func scanSession(r scanner) (v ledger.Session, err error) {
	err = r.Scan(&v.ID, &v.CPID, &v.Connector, &v.State, &v.Username, &v.ReservationID, &v.Tariff, &v.By, &v.Start,
		&v.StartKnown, &v.Register, &v.Started, &v.AuthorizedAt, &v.StartedAt, &v.EndedAt, &v.FirstSeenAt, &v.Reason,
		&v.Settled, jsonOf{&v.Spans}, &v.Limit.Energy, &v.Limit.Amount, &v.Card)
	v.Spans = nilIfEmpty(v.Spans)
	return v, err
}

func scanGap(r scanner) (g ledger.Gap, err error) {
	err = r.Scan(&g.ID, &g.CPID, &g.Journal, &g.First, &g.Last, &g.Cause, &g.Detail, &g.DetectedAt, jsonOf{&g.Missing},
		&g.Energy, jsonOf{&g.Unmeasured}, jsonOf{&g.Why})
	g.Missing, g.Unmeasured = nilIfEmpty(g.Missing), nilIfEmpty(g.Unmeasured)
	return g, err
}

func scanTicket(r scanner) (t ledger.Ticket, err error) {
	err = r.Scan(&t.ID, &t.SessionID, &t.CPID, &t.Connector, &t.Username, &t.ReservationID, &t.Tariff, &t.Start, &t.Stop,
		&t.Energy, &t.Cost.Minor, &t.Cost.Currency, &t.DurationSec, &t.IdleSec, &t.Started, &t.AuthorizedAt, &t.EndedAt, &t.Reason,
		&t.SettledAt, &t.Corrects, &t.SettledAfter.Journal, &t.SettledAfter.Seq, &t.Adopted)
	return t, err
}

// nilIfEmpty returns nil for an empty list. An empty list and nil are stored as
// the same "[]"; values must compare equal to those that were written.
func nilIfEmpty[T any](v []T) []T {
	if len(v) == 0 {
		return nil
	}
	return v
}

// Session returns a session by id, ended or not; ok is false if there is none.
func (s *Store) Session(ctx context.Context, id charge.SessionID) (v ledger.Session, ok bool, err error) {
	v, err = scanSession(s.ro.QueryRowContext(ctx, "SELECT "+sessionCols+" FROM sessions WHERE session_id=?", string(id)))
	return rowOrNone("read session", v, err)
}

// Journal returns one journal of a charging point; ok is false if there is none.
func (s *Store) Journal(ctx context.Context, cp charge.CPID, id charge.JournalID) (j ledger.Journal, ok bool, err error) {
	_, j, err = scanJournal(s.ro.QueryRowContext(ctx, "SELECT "+journalCols+" FROM journals WHERE cp_id=? AND journal=?", string(cp), string(id)))
	return rowOrNone("read journal", j, err)
}

// JournalEnding returns the journal of a charging point whose last known record
// has the hash. It reads all journals of that charging point: use it rarely.
func (s *Store) JournalEnding(ctx context.Context, cp charge.CPID, hash string) (id charge.JournalID, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT journal FROM journals WHERE cp_id=? AND hash=? LIMIT 1", string(cp), hash).Scan(&id)
	return rowOrNone("find journal", id, err)
}

// HashOf returns the hash of one record; ok is false if the record is not stored
// or was pruned.
func (s *Store) HashOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (hash string, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT hash FROM records WHERE cp_id=? AND journal=? AND seq=?",
		string(cp), string(j), int64(seq)).Scan(&hash)
	return rowOrNone("read hash", hash, err)
}

// PrevOf returns the hash that one record names for the record before it; ok is
// false if the record is not stored or was pruned.
func (s *Store) PrevOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (prev string, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT CAST(raw AS TEXT)->>'$.prev' FROM records WHERE cp_id=? AND journal=? AND seq=?",
		string(cp), string(j), int64(seq)).Scan(&prev)
	return rowOrNone("read record", prev, err)
}

// rowOrNone turns the error of a query without a row into ok = false.
func rowOrNone[T any](doing string, v T, err error) (T, bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, wrap(doing, err)
}

// LoadOrders fills a state with what the database holds of it: the reservations,
// desired states, commands and requests that are not over, each in the order in
// which they were made, and the fence.
func (s *Store) LoadOrders(ctx context.Context, st *orders.State) error {
	load := func(what, query string, add func(*sql.Rows) error) error {
		_, err := collect(ctx, s, "load "+what, func(rows *sql.Rows) (struct{}, error) { return struct{}{}, add(rows) }, query)
		return err
	}
	by, err := s.Setting(ctx, fenceSetting)
	var fence charge.Epoch
	if err = errors.Join(err, epochOf{&fence}.Scan(by)); !fence.IsZero() {
		st.LoadFence(fence)
	}
	return errors.Join(err,
		s.loadCards(ctx, st),
		s.loadGroups(ctx, st),
		load("reservations", "SELECT "+reservationCols+" FROM reservations WHERE released=0 ORDER BY rowid", func(rows *sql.Rows) error {
			r, err := scanReservation(rows)
			if err == nil {
				st.LoadReservation(r)
			}
			return err
		}),
		load("desired states", "SELECT "+desiredCols+" FROM desired_states WHERE ended_at=0 ORDER BY requested_at,rowid", func(rows *sql.Rows) error {
			var w orders.Desired
			err := rows.Scan(&w.Kind, &w.CPID, &w.Connector, &w.SessionID, &w.Username, &w.ReservationID, &w.Tariff,
				&w.Available, &w.RequestedAt, &w.Until, &w.EndedAt, &w.Outcome, &w.Limit.Energy, &w.Limit.Amount)
			if err == nil {
				st.LoadDesired(w)
			}
			return err
		}),
		load("commands", "SELECT "+commandCols+" FROM commands WHERE state IN ('written','sent','accepted') ORDER BY issued_at,rowid",
			func(rows *sql.Rows) error {
				c, err := scanCommand(rows)
				if err == nil {
					st.LoadCommand(c)
				}
				return err
			}),
		load("requests", "SELECT "+requestCols+" FROM requests WHERE answer='' AND ignored=0 ORDER BY read_at,rowid",
			func(rows *sql.Rows) error {
				r, err := scanRequest(rows)
				if err == nil {
					st.LoadRequest(r)
				}
				return err
			}),
	)
}

func scanReservation(r scanner) (v orders.Reservation, err error) {
	err = r.Scan(&v.ID, &v.CPID, &v.Connector, &v.Username, &v.Tariff, &v.MadeAt, &v.Until, &v.ConfirmedAt, &v.EndedAt,
		&v.Reason, &v.SessionID, &v.Adopted, &v.Released, &v.Announced, &v.MessageID)
	return v, err
}

func commandTargets(c *orders.Command, data *[]byte) []any {
	return []any{
		&c.ID, &c.N,
		epochOf{&c.Central},
		&c.Journal, &c.CPID, &c.Connector, &c.Type, data, &c.ReservationID, &c.SessionID,
		&c.IssuedAt, &c.ExpiresAt, &c.State, &c.Reason, &c.ChangedAt, &c.SendCount, &c.NextSendAt, &c.MessageID,
	}
}

func scanCommand(r scanner, more ...any) (c orders.Command, err error) {
	var data []byte
	err = r.Scan(append(commandTargets(&c, &data), more...)...)
	c.Data = nilIfEmpty(data)
	return c, err
}

func scanRequest(r scanner) (v orders.Request, err error) {
	var answer string
	err = r.Scan(&v.MessageID, &v.EventType, &v.Username, &v.ClientID, &v.CPID, &v.ReadAt, &v.AnswerBy, jsonOf{&v.Tried},
		&v.TriedAt, &v.ReservationID, &answer, &v.Ignored)
	v.Tried = nilIfEmpty(v.Tried)
	if err == nil && answer != "" {
		v.Answer = new(wire.CentralEvent)
		err = json.Unmarshal([]byte(answer), v.Answer)
	}
	return v, err
}

// Request returns a driver's request, answered or not.
func (s *Store) Request(ctx context.Context, k orders.RequestKey) (v orders.Request, ok bool, err error) {
	v, err = scanRequest(s.ro.QueryRowContext(ctx, "SELECT "+requestCols+" FROM requests WHERE username=? AND message_id=?",
		string(k.Username), k.MessageID))
	return rowOrNone("read request", v, err)
}

// Billed returns a session whose ticket holds energy between two registers of a
// connector: energy that must not be put on a second ticket.
func (s *Store) Billed(ctx context.Context, cp charge.CPID, k charge.ConnectorID, from, to charge.WattHours) (id charge.SessionID, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT session_id FROM tickets WHERE cp_id=? AND connector=? AND stop_wh>? AND start_wh<? AND energy_wh>0 LIMIT 1",
		string(cp), int64(k), int64(from), int64(to)).Scan(&id)
	return rowOrNone("read tickets", id, err)
}

// FindCommand returns a command by id, ended or not.
func (s *Store) FindCommand(ctx context.Context, id charge.CommandID) (c orders.Command, ok bool, err error) {
	c, err = scanCommand(s.ro.QueryRowContext(ctx, "SELECT "+commandCols+" FROM commands WHERE command_id=?", string(id)))
	return rowOrNone("read command", c, err)
}

// Reservation returns a reservation by id, ended or not.
func (s *Store) Reservation(ctx context.Context, id charge.ReservationID) (v orders.Reservation, ok bool, err error) {
	v, err = scanReservation(s.ro.QueryRowContext(ctx, "SELECT "+reservationCols+" FROM reservations WHERE reservation_id=?", string(id)))
	return rowOrNone("read reservation", v, err)
}
