package store

import (
	"context"
	"database/sql"
	"slices"
	"sort"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Bounds of one series, so that it takes some ten milliseconds however long the
// time is.
const (
	seriesJournals = 32 // the latest boots within the time
	seriesReach    = 16 // records looked at for one point, in search of one with a register
)

// Series returns at most limit points of a connector with from <= time < to, oldest
// first, from the records that are still held.
//
// The records of a journal are in the order of their time, but for those of an
// agent whose clock was set. So the range is found by halves, and when it has more
// records than limit, records are read at equal distances.
func (s *Store) Series(ctx context.Context, cp charge.CPID, connector charge.ConnectorID, from, to charge.Time, limit int) ([]view.Point, error) {
	journals, err := collect(ctx, s, "read journals", func(rows *sql.Rows) (j charge.JournalID, err error) { return j, rows.Scan(&j) },
		"SELECT journal FROM journals WHERE cp_id=? AND oldest_at>0 AND grown_at>=? ORDER BY opened_at DESC,journal DESC LIMIT ?", string(cp), int64(from), seriesJournals)
	if err != nil {
		return nil, err
	}
	type part struct {
		journal     charge.JournalID
		first, last int64
	}
	var parts []part
	total := int64(0)
	for _, j := range slices.Backward(journals) {
		first, last, err := s.seqBetween(ctx, cp, j, from, to)
		if err != nil {
			return nil, err
		}
		if last >= first {
			parts = append(parts, part{j, first, last})
			total += last - first + 1
		}
	}
	step := max(1, (total+int64(limit)-1)/int64(limit))
	var points []view.Point
	for _, p := range parts {
		for seq := p.first; seq <= p.last; {
			until := p.last
			if step > 1 {
				until = min(p.last, seq+min(step, seriesReach)-1)
			}
			found, err := s.meterRead(ctx, cp, p.journal, connector, seq, until, step > 1)
			if err != nil {
				return nil, err
			}
			points = append(points, found...)
			if step == 1 {
				break
			}
			seq += step
		}
	}
	points = slices.DeleteFunc(points, func(p view.Point) bool { return p.At < from || p.At >= to })
	slices.SortStableFunc(points, func(a, b view.Point) int { return int(a.At - b.At) })
	return points, nil
}

// seqBetween returns the records of a journal in a time: first to last, last below
// first if there are none.
func (s *Store) seqBetween(ctx context.Context, cp charge.CPID, j charge.JournalID, from, to charge.Time) (first, last int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT coalesce(min(seq),1),coalesce(max(seq),0) FROM records WHERE cp_id=? AND journal=?", string(cp), string(j)).Scan(&first, &last)
	if err != nil || last < first {
		return first, last, wrap("read records", err)
	}
	search := func(t charge.Time) int64 {
		return first + int64(sort.Search(int(last-first+1), func(n int) bool {
			var raw []byte
			var at charge.Time
			e := s.ro.QueryRowContext(ctx, "SELECT received_at,raw FROM records WHERE cp_id=? AND journal=? AND seq>=? ORDER BY seq LIMIT 1",
				string(cp), string(j), first+int64(n)).Scan(&at, &raw)
			if e != nil {
				err = e
				return true
			}
			r, e := wire.DecodeRecord(raw)
			return e == nil && recordTime(&r, at) >= t
		}))
	}
	begin, end := search(from), search(to)
	return begin, end - 1, wrap("read records", err)
}

// recordTime is when a record was written: by its charging point's clock if that
// was right, else when it was received.
func recordTime(r *wire.Record, receivedAt charge.Time) charge.Time {
	if r.Clock == charge.ClockSynced {
		return r.At
	}
	return receivedAt
}

// meterRead returns the points among some records, or the first of them alone.
func (s *Store) meterRead(ctx context.Context, cp charge.CPID, j charge.JournalID, connector charge.ConnectorID, from, to int64, firstAlone bool) ([]view.Point, error) {
	limit := -1
	if firstAlone {
		limit = 1
	}
	return collect(ctx, s, "read meter records", func(rows *sql.Rows) (p view.Point, err error) {
		var raw []byte
		var at charge.Time
		if err := rows.Scan(&at, &raw); err != nil {
			return p, err
		}
		r, err := wire.DecodeRecord(raw)
		if err != nil {
			return p, err // it was valid when it was applied
		}
		if m, _ := r.Payload(); m != nil {
			if m, ok := m.(*wire.MeterRead); ok {
				p = view.Point{At: recordTime(&r, at), Power: m.Power, Register: m.Register}
			}
		}
		return p, nil
	}, "SELECT received_at,raw FROM records WHERE cp_id=? AND journal=? AND seq BETWEEN ? AND ? AND CAST(raw AS TEXT)->>'$.type'=? "+
		"AND CAST(raw AS TEXT)->>'$.connector'=? ORDER BY seq LIMIT ?", string(cp), string(j), from, to, string(wire.TypeMeterRead), int64(connector), limit)
}

// Series returns points of a connector from the records.
func (a Archive) Series(ctx context.Context, cp charge.CPID, connector charge.ConnectorID, from, to charge.Time, limit int) ([]view.Point, error) {
	return a.s.Series(ctx, cp, connector, from, to, limit)
}
