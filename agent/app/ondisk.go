package app

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/wire"
)

// diskJournal adapts agent/journal to Journal.
type diskJournal struct {
	log     *journal.Log
	options JournalOptions
}

// OnDisk returns the function that opens the journal in a folder, for Deps.Open,
// which is this one by default. A caller may put something in between.
func OnDisk(dir string, log *slog.Logger) func(JournalOptions) (Journal, Recovered, error) {
	return func(o JournalOptions) (Journal, Recovered, error) {
		fs, err := journal.OS(dir)
		if err != nil {
			return nil, Recovered{}, err
		}
		l, rec, err := journal.Open(fs, journal.Options{CP: o.CP, Journal: o.Journal, Checkpoint: o.Checkpoint, Log: log})
		if err != nil {
			return nil, Recovered{}, fmt.Errorf("folder %s: %w", dir, err)
		}
		if rec.TornBytes > 0 {
			log.Info("a torn tail of the journal was dropped; it was never announced", slog.Int64("bytes", rec.TornBytes))
		}
		found := Recovered{Checkpoint: rec.Checkpoint, Records: rec.Since}
		if rec.Last != nil {
			found.After = &wire.Position{Journal: rec.Last.Journal, Seq: rec.Last.Seq}
		}
		for _, n := range rec.Notes {
			log.Warn("the journal has an irregularity; no record is lost by it", slog.String("detail", n))
		}
		for _, d := range rec.Damaged {
			log.Error("the journal is damaged", slog.String("segment", d.Segment), slog.String("reason", d.Reason))
			found.Damaged = append(found.Damaged, wire.Damaged{
				Journal: d.Journal, First: d.First, Last: d.Last, Reason: fmt.Sprintf("%.128s", d.Reason),
			})
		}
		found.Damaged = mergeDamaged(found.Damaged)
		return &diskJournal{log: l, options: o}, found, nil
	}
}

// maxDamaged is how many ranges fit into one record.
const maxDamaged = 64

// mergeDamaged makes one range of all the damage of a journal if there are too
// many ranges for one record. The good records in between are still sent like
// all others.
func mergeDamaged(all []wire.Damaged) []wire.Damaged {
	if len(all) <= maxDamaged {
		return all
	}
	var merged []wire.Damaged
	for _, d := range all {
		if n := len(merged); n > 0 && merged[n-1].Journal == d.Journal && merged[n-1].Last != 0 {
			merged[n-1].Last = d.Last
			continue
		}
		merged = append(merged, d)
	}
	return merged[:min(len(merged), maxDamaged)]
}

// Append implements Journal.
func (d *diskJournal) Append(class journal.Class, encode ...journal.Encode) error {
	err := d.log.Append(class, encode...)
	if errors.Is(err, journal.ErrFull) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// Held implements Journal.
func (d *diskJournal) Held() delivery.Held {
	h := delivery.Held{Present: d.options.Journal}
	for _, r := range d.log.Held() {
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.Journal, First: r.First, Last: r.Last, Index: delivery.Index(r.Index)})
	}
	return h
}

// Read implements Journal.
func (d *diskJournal) Read(i delivery.Index) ([]byte, error) {
	e, err := d.log.Read(uint64(i))
	return e.Bytes, err
}

// Position implements Journal.
func (d *diskJournal) Position() delivery.Position {
	return delivery.Position(d.log.Position())
}

// SavePosition implements Journal. The index is not needed: the log finds it
// itself.
func (d *diskJournal) SavePosition(p delivery.Position, _ delivery.Index) error {
	return d.log.SetPosition(journal.Position(p))
}

// QuotaPermille implements Journal.
func (d *diskJournal) QuotaPermille() int64 { return d.log.QuotaPermille() }

func (d *diskJournal) Close() error { return d.log.Close() }
