package journal_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
)

// refSegment is a segment as the reference reader sees it.
type refSegment struct {
	journal, after              string
	first, last, afterSeq, know uint64
	end                         uint64
	records                     map[uint64]string
}

func crcOf(seed uint32, parts ...[]byte) uint32 {
	for _, p := range parts {
		seed = crc32.Update(seed, crc32.MakeTable(crc32.Castagnoli), p)
	}
	return seed
}

func refText(b []byte) string { return string(b[1 : 1+int(b[0])]) }

// refHeader reads a header by the table of docs/adr/0005-journal-format.md.
func refHeader(b []byte) (s refSegment, sum uint32, number uint64, ok bool) {
	u64 := binary.LittleEndian.Uint64
	if len(b) < 256 || string(b[:8]) != "CARGAJ1\n" || crcOf(0, b[:252]) != binary.LittleEndian.Uint32(b[252:]) {
		return s, 0, 0, false
	}
	s = refSegment{
		journal: refText(b[128:]), after: refText(b[168:]), first: u64(b[24:]), last: u64(b[32:]), afterSeq: u64(b[48:]),
		records: map[uint64]string{},
	}
	return s, binary.LittleEndian.Uint32(b[252:]), u64(b[16:]), true
}

// reference reads a disk in the simplest way: it tries a frame at every byte, and
// looks at every seq separately.
func reference(d *journaltest.Disk, position journal.Position) (held, lost []string, good map[string]bool) {
	good = map[string]bool{}
	names, _ := d.List()
	var all []*refSegment
	for _, name := range names {
		var number uint64
		if _, err := fmt.Sscanf(name, "%d.seg", &number); err != nil || len(name) != 16 {
			continue
		}
		b := d.ReadFile(name)
		s, sum, n, ok := refHeader(b)
		if !ok && len(b) >= 512 {
			s, sum, n, ok = refHeader(b[len(b)-256:])
		}
		if !ok || n != number {
			continue
		}
		good[name] = true
		expect := s.first
		for at := 256; at+32 < len(b); {
			size := int(binary.LittleEndian.Uint32(b[at+4:]))
			if string(b[at:at+4]) != "CAGR" || size < 1 || size > 64<<10 || at+32+size > len(b) ||
				binary.LittleEndian.Uint32(b[at+28:]) != 0 ||
				crcOf(sum, b[at+4:at+24], b[at+32:at+32+size]) != binary.LittleEndian.Uint32(b[at+24:]) {
				at++
				continue
			}
			seq, know := binary.LittleEndian.Uint64(b[at+8:]), binary.LittleEndian.Uint64(b[at+16:])
			if seq >= expect {
				s.records[seq] = string(b[at+32 : at+32+size])
				s.know, expect = max(s.know, know), seq+1
			}
			at += 32 + size
		}
		all = append(all, &s)
	}
	var kept []*refSegment
	for _, s := range slices.Backward(all) {
		s.end = max(s.last, s.know)
		switch {
		case len(kept) > 0 && kept[0].journal == s.journal:
			s.end = kept[0].first - 1
		case len(kept) > 0 && kept[0].after == s.journal:
			s.end = kept[0].afterSeq
		default:
			if string(position.Journal) == s.journal {
				s.end = max(s.end, uint64(position.Seq))
			}
			for s.records[s.end+1] != "" {
				s.end++
			}
		}
		if s.end >= s.first {
			kept = slices.Insert(kept, 0, s)
		}
	}
	reached := map[string]uint64{}
	for i, s := range kept {
		if i > 0 && s.journal != kept[i-1].journal {
			for seq := reached[s.after] + 1; s.after != "" && seq <= s.afterSeq; seq++ {
				lost = append(lost, fmt.Sprint(s.after, "/", seq))
			}
		}
		for seq := s.first; seq <= s.end; seq++ {
			if r := s.records[seq]; r != "" {
				held = append(held, s.journal+"|"+r)
			} else {
				lost = append(lost, fmt.Sprint(s.journal, "/", seq))
			}
		}
		reached[s.journal] = s.end
	}
	return held, lost, good
}

// each is the damage record by record, without what is open-ended.
func each(rec journal.Recovery) (list []string) {
	for _, d := range rec.Damaged {
		for seq := d.First; seq <= d.Last; seq++ {
			list = append(list, fmt.Sprint(d.Journal, "/", seq))
		}
	}
	return list
}

// history fills a disk over some boots and returns all records in order, and
// how many of them are surely proven by what was written behind them.
func history(t fataler, r *rand.Rand, boots int) (d *journaltest.Disk, all []string, proven int) {
	d = journaltest.New()
	for boot := range boots {
		l, _ := openDisk(t, d, fmt.Sprint("b", boot), func(o *journal.Options) {
			o.SegmentSize = 1024 << r.IntN(3)
			if r.IntN(2) == 0 {
				o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
			}
		})
		for range r.IntN(30) + 1 {
			proven = len(all)
			must(t, l.Append(journal.Normal, slices.Repeat([]journal.Encode{record(strings.Repeat("x", r.IntN(200)))}, 1+r.IntN(3))...))
		}
		all = heldIn(t, l)
		if r.IntN(3) == 0 {
			at := r.IntN(len(all))
			f := strings.Split(all[at], "|")
			var seq charge.Seq
			_, err := fmt.Sscan(f[1], &seq)
			must(t, err)
			must(t, l.SetPosition(journal.Position{Central: central(), Journal: charge.JournalID(f[0]), Seq: seq}))
		}
		must(t, l.Close())
	}
	return d, all, proven
}

// harmSomewhere damages a file of a disk in one of many ways.
func harmSomewhere(d *journaltest.Disk, r *rand.Rand) string {
	names, _ := d.List()
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
	if len(names) == 0 {
		return "nothing"
	}
	name := names[r.IntN(len(names))]
	b := d.ReadFile(name)
	if len(b) == 0 {
		return "nothing"
	}
	at := r.IntN(len(b))
	how := []string{"bit", "cut", "zeros", "ones", "noise", "gone", "copy", "swap"}[r.IntN(8)]
	switch how {
	case "bit":
		b[at] ^= 1 << r.IntN(8)
	case "cut":
		b = b[:at]
	case "zeros":
		clear(b[at:min(at+512, len(b))])
	case "ones", "noise":
		for i := at; i < min(at+512, len(b)); i++ {
			b[i] = 0xff
			if how == "noise" {
				b[i] = byte(r.Uint32())
			}
		}
	case "gone":
		b = nil
	case "copy": // another segment's bytes at the place of some of these
		o := d.ReadFile(names[r.IntN(len(names))])
		copy(b[at:], o[min(at, len(o)):])
	case "swap":
		other := names[r.IntN(len(names))]
		o := d.ReadFile(other)
		d.WriteFile(other, b)
		b = o
	}
	d.WriteFile(name, b)
	return how + " at " + name
}

// TestAgainstReference: whatever was done to the files, recovery returns the same
// records and the same damage as the slow reader.
func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		d, _, _ := history(t, r, rapid.IntRange(1, 4).Draw(t, "boots"))
		var harms []string
		for range rapid.IntRange(0, 3).Draw(t, "harms") {
			harms = append(harms, harmSomewhere(d, r))
		}
		l, rec := openDisk(t, d, "later")
		held, lost, good := reference(d, rec.Position)
		if got := heldIn(t, l); !slices.Equal(got, held) {
			t.Fatalf("%q: held %.40q, the reference %.40q", harms, got, held)
		}
		rec.Damaged = slices.DeleteFunc(rec.Damaged, func(x journal.Damage) bool { // what was before all that is good
			return !good[x.Segment] && x.Last != 0
		})
		got := each(rec)
		if rec.Damaged = slices.DeleteFunc(rec.Damaged, func(d journal.Damage) bool { return d.Last != 0 }); len(rec.Damaged) > 0 {
			return // what unusable files held is not known record by record
		}
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(lost))) {
			t.Fatalf("%q: lost %q, the reference %q", harms, got, lost)
		}
		add(t, l, "goes on")
		must(t, l.Close())
	})
}

// TestDamageIsNamed: after one change to a file, every record is held or reported,
// once, except those at the end that nothing written later proves.
func TestDamageIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		d, all, proven := history(t, r, rapid.IntRange(1, 4).Draw(t, "boots"))
		names, _ := d.List()
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
		n := rapid.IntRange(0, len(names)-1).Draw(t, "file")
		how := rapid.SampledFrom([]string{"bit", "zeros", "header", "gone", "cut"}).Draw(t, "how")
		b := d.ReadFile(names[n])
		at := r.IntN(len(b))
		last := n == len(names)-1
		switch how {
		case "bit":
			b[at] ^= 1 << r.IntN(8)
		case "zeros":
			clear(b[at:min(at+700, len(b))])
		case "header": // and its copy
			clear(b[:256])
			clear(b[len(b)-256:])
		case "gone":
			b = nil
		case "cut":
			b = b[:at]
		}
		d.WriteFile(names[n], b)
		l, rec := openDisk(t, d, "later")
		got := heldIn(t, l)
		for _, h := range got {
			if !slices.Contains(all, h) {
				t.Fatalf("%s of %s: %.60q was never written", how, names[n], h)
			}
		}
		named := each(rec)
		open := slices.ContainsFunc(rec.Damaged, func(d journal.Damage) bool { return d.Last == 0 })
		for i, a := range all {
			f := strings.Split(a, "|")
			has, names := slices.Contains(got, a), count(named, f[0]+"/"+f[1])
			switch {
			case has && names > 0, names > 1:
				t.Fatalf("%s of file %d: record %s/%s is held %t and named %d times", how, n, f[0], f[1], has, names)
			case !has && names == 0 && i < proven && !last && n > 0 && !open:
				t.Fatalf("%s of file %d: record %s/%s is neither held nor named: %+v", how, n, f[0], f[1], rec.Damaged)
			}
		}
		if len(named) > len(all)-len(got) {
			t.Fatalf("%s of file %d: %d named, %d lost: %+v", how, n, len(named), len(all)-len(got), rec.Damaged)
		}
	})
}

func count(list []string, what string) (n int) {
	for _, x := range list {
		if x == what {
			n++
		}
	}
	return n
}
