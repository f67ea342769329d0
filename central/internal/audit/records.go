package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// chainLink is the part of a record that the chain needs.
type chainLink struct {
	hash  string         // of its bytes
	prev  string         // the hash that it names for the record before
	after *wire.Position // of record 1: the last record of the journal before; nil if there is none
}

// checkRecords reads the records once, for the checks of the chain, of the gaps and
// of the replay.
func (p *point) checkRecords() {
	p.held = map[recordID]chainLink{}
	f := p.newReplay()
	err := p.db.RecordsOf(p.ctx, p.cp.ID, func(j charge.JournalID, seq charge.Seq, hash string, raw []byte) error {
		p.report.checked(CheckChain, 1)
		at := recordID{j, seq}
		l := chainLink{hash: hash}
		if got := wire.Hash(raw); got != hash {
			p.report.wrong(CheckChain, "record %s/%d of %s: its bytes have hash %.12s, noted is %.12s", j, seq, p.cp.ID, got, hash)
		}
		r, err := wire.DecodeRecord(raw)
		switch {
		case err != nil:
			p.report.wrong(CheckChain, "record %s/%d of %s cannot be decoded: %s", j, seq, p.cp.ID, err)
		case r.CPID != p.cp.ID || r.Journal != j || r.Seq != seq:
			p.report.wrong(CheckChain, "record %s/%d of %s calls itself %s/%d of %s", j, seq, p.cp.ID, r.Journal, r.Seq, r.CPID)
		default:
			l.prev = r.Prev
			if payload, err := r.Payload(); err == nil && seq == 1 {
				if reg, ok := payload.(*wire.Registered); ok {
					l.after = reg.After
				}
			}
			f.apply(ledger.Input{Raw: raw, Record: r})
		}
		p.held[at] = l
		return p.ctx.Err()
	})
	p.unreadable(CheckChain, err)
	p.checkChain()
	p.checkGaps()
	f.compare()
}

// checkChain checks that each record names the hash of the record before it, in its
// journal and across journals, if that record is stored.
func (p *point) checkChain() {
	for at, l := range p.held {
		before := recordID{at.journal, at.seq - 1}
		if at.seq == 1 {
			if l.after == nil {
				continue
			}
			before = recordID{l.after.Journal, l.after.Seq}
		}
		if b, ok := p.held[before]; ok && b.hash != l.prev {
			p.report.wrong(CheckChain, "record %s/%d of %s follows %.12s, and record %s/%d before it is %.12s",
				at.journal, at.seq, p.cp.ID, l.prev, before.journal, before.seq, b.hash)
		}
	}
	// The journal's own hash is that of its last known record.
	for id, j := range p.cp.Journals {
		if l, ok := p.held[recordID{id, j.Last}]; ok && l.hash != j.Hash {
			p.report.wrong(CheckChain, "journal %s of %s ends with %.12s, and its record %d is %.12s", id, p.cp.ID, j.Hash, j.Last, l.hash)
		}
	}
}

// checkGaps checks that each record of each journal, from 1 to the journal's last
// known one, is either stored, or missing in a gap, or pruned.
func (p *point) checkGaps() {
	held := map[charge.JournalID][]charge.Seq{}
	for at := range p.held {
		held[at.journal] = append(held[at.journal], at.seq)
	}
	missing := map[charge.JournalID][]ledger.Range{}
	for i := range p.gaps {
		g := &p.gaps[i]
		missing[g.Journal] = append(missing[g.Journal], g.Missing...)
	}
	for id, j := range p.cp.Journals {
		p.report.checked(CheckGaps, 1)
		p.checkJournal(j, held[id], missing[id])
		delete(held, id)
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		p.report.wrong(CheckGaps, "records of journal %s of %s are held, and the journal is not known", id, p.cp.ID)
	}
}

// checkJournal is checkGaps for one journal: held are the records that are stored,
// missing the ranges of its gaps.
func (p *point) checkJournal(j *ledger.Journal, held []charge.Seq, missing []ledger.Range) {
	// next is the first record that is not accounted for. Each round accounts for one
	// record that is stored, for the rest of a range that is missing, or for a range
	// that is neither, which is a finding.
	slices.Sort(held)
	slices.SortFunc(missing, func(a, b ledger.Range) int { return cmp.Compare(a.First, b.First) })
	pruned := p.pruned[j.ID]
	next := pruned + 1 // the first record not accounted for
	for next <= j.Last {
		for len(held) > 0 && held[0] < next {
			held = held[1:]
		}
		if len(held) > 0 && held[0] == next {
			if inClosedGap(missing, next) {
				p.report.wrong(CheckGaps, "record %s/%d of %s is held, and a gap misses it", j.ID, next, p.cp.ID)
			}
			next++
			continue
		}
		if i := slices.IndexFunc(missing, func(r ledger.Range) bool { return inRange(r, next) }); i >= 0 {
			if next = missing[i].Last + 1; missing[i].Last == 0 {
				next = j.Last + 1
			}
			if len(held) > 0 && held[0] < next {
				p.report.wrong(CheckGaps, "record %s/%d of %s is held, and a gap misses it", j.ID, held[0], p.cp.ID)
			}
			continue
		}
		// Neither stored nor missing: up to the next record that is one of them.
		last := j.Last
		if len(held) > 0 {
			last = min(last, held[0]-1)
		}
		for _, r := range missing {
			if r.First > next {
				last = min(last, r.First-1)
				break
			}
		}
		p.report.wrong(CheckGaps, "%s of journal %s of %s %s neither held nor in a gap", rangeText(next, last), j.ID, p.cp.ID, isOrAre(next, last))
		next = last + 1
	}
	if n := len(held); n > 0 && held[n-1] > j.Last {
		p.report.wrong(CheckGaps, "record %s/%d of %s is held, and the position is %d", j.ID, held[n-1], p.cp.ID, j.Last)
	}
}

// inRange reports whether a range holds a record; Last 0 is a range without end.
func inRange(r ledger.Range, seq charge.Seq) bool {
	return r.First != 0 && r.First <= seq && (seq <= r.Last || r.Last == 0)
}

// inClosedGap reports whether a gap with an end misses the record. A gap without an
// end does not count: records after it may have come.
func inClosedGap(missing []ledger.Range, seq charge.Seq) bool {
	return slices.ContainsFunc(missing, func(r ledger.Range) bool { return r.Last != 0 && inRange(r, seq) })
}

// rangeText returns "record 3" or "records 3 to 5".
func rangeText(first, last charge.Seq) string {
	if first == last {
		return fmt.Sprintf("record %d", first)
	}
	return fmt.Sprintf("records %d to %d", first, last)
}

// isOrAre returns the verb for rangeText.
func isOrAre(first, last charge.Seq) string {
	if first == last {
		return "is"
	}
	return "are"
}
