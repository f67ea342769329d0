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

// link is what the chain needs of a record.
type link struct {
	hash, prev string
	after      *wire.Position // of record 1, what it follows
}

// records reads the records once: for the chain, the gaps and the fold.
func (p *point) records() {
	p.held = map[place]link{}
	f := p.newFold()
	err := p.b.RecordsOf(p.ctx, p.cp.ID, func(j charge.JournalID, seq charge.Seq, hash string, raw []byte) error {
		p.report.looked(CheckChain, 1)
		at := place{j, seq}
		l := link{hash: hash}
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
			f.take(ledger.Input{Raw: raw, Record: r})
		}
		p.held[at] = l
		return p.ctx.Err()
	})
	p.read(CheckChain, err)
	p.chain()
	p.gaps()
	f.compare()
}

// chain checks that each record follows the one before, in its journal and
// from one journal to the next, where that one is held.
func (p *point) chain() {
	for at, l := range p.held {
		before := place{at.journal, at.seq - 1}
		if at.seq == 1 {
			if l.after == nil {
				continue
			}
			before = place{l.after.Journal, l.after.Seq}
		}
		if b, ok := p.held[before]; ok && b.hash != l.prev {
			p.report.wrong(CheckChain, "record %s/%d of %s follows %.12s, and record %s/%d before it is %.12s",
				at.journal, at.seq, p.cp.ID, l.prev, before.journal, before.seq, b.hash)
		}
	}
	for id, j := range p.cp.Journals {
		if l, ok := p.held[place{id, j.Last}]; ok && l.hash != j.Hash {
			p.report.wrong(CheckChain, "journal %s of %s ends with %.12s, and its record %d is %.12s", id, p.cp.ID, j.Hash, j.Last, l.hash)
		}
	}
}

// gaps checks that what is held, what holes miss and what was pruned is each
// journal from 1 to its position, each record once.
func (p *point) gaps() {
	held := map[charge.JournalID][]charge.Seq{}
	for at := range p.held {
		held[at.journal] = append(held[at.journal], at.seq)
	}
	missing := map[charge.JournalID][]ledger.Range{}
	for i := range p.holes {
		h := &p.holes[i]
		missing[h.Journal] = append(missing[h.Journal], h.Missing...)
	}
	for id, j := range p.cp.Journals {
		p.report.looked(CheckGaps, 1)
		p.gapsOf(j, held[id], missing[id])
		delete(held, id)
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		p.report.wrong(CheckGaps, "records of journal %s of %s are held, and the journal is not known", id, p.cp.ID)
	}
}

func (p *point) gapsOf(j *ledger.Journal, held []charge.Seq, missing []ledger.Range) {
	slices.Sort(held)
	slices.SortFunc(missing, func(a, b ledger.Range) int { return cmp.Compare(a.First, b.First) })
	pruned := p.pruned[j.ID]
	next := pruned + 1 // the first record not accounted for
	for next <= j.Last {
		for len(held) > 0 && held[0] < next {
			held = held[1:]
		}
		if len(held) > 0 && held[0] == next {
			if inHole(missing, next) {
				p.report.wrong(CheckGaps, "record %s/%d of %s is held, and a hole misses it", j.ID, next, p.cp.ID)
			}
			next++
			continue
		}
		if i := slices.IndexFunc(missing, func(r ledger.Range) bool { return within(r, next) }); i >= 0 {
			if next = missing[i].Last + 1; missing[i].Last == 0 {
				next = j.Last + 1
			}
			if len(held) > 0 && held[0] < next {
				p.report.wrong(CheckGaps, "record %s/%d of %s is held, and a hole misses it", j.ID, held[0], p.cp.ID)
			}
			continue
		}
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
		p.report.wrong(CheckGaps, "%s of journal %s of %s %s neither held nor in a hole", span(next, last), j.ID, p.cp.ID, verb(next, last))
		next = last + 1
	}
	if n := len(held); n > 0 && held[n-1] > j.Last {
		p.report.wrong(CheckGaps, "record %s/%d of %s is held, and the position is %d", j.ID, held[n-1], p.cp.ID, j.Last)
	}
}

func within(r ledger.Range, seq charge.Seq) bool {
	return r.First != 0 && r.First <= seq && (seq <= r.Last || r.Last == 0)
}

// inHole reports whether a hole with an end misses the record: one without may
// name what comes after it.
func inHole(missing []ledger.Range, seq charge.Seq) bool {
	return slices.ContainsFunc(missing, func(r ledger.Range) bool { return r.Last != 0 && within(r, seq) })
}

func span(first, last charge.Seq) string {
	if first == last {
		return fmt.Sprintf("record %d", first)
	}
	return fmt.Sprintf("records %d to %d", first, last)
}

func verb(first, last charge.Seq) string {
	if first == last {
		return "is"
	}
	return "are"
}
