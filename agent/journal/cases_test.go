package journal_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
)

// tiny is a disk with one segment of a few records, in groups of two, and what
// it holds. used is where its frames end.
func tiny(t fataler) (d *journaltest.Disk, whole []byte, used int, all []string) {
	t.Helper()
	d = journaltest.New()
	l, _ := openDisk(t, d, "b1", func(o *journal.Options) {
		o.SegmentSize = 2048
		o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
	})
	for range 4 {
		must(t, l.Append(journal.Normal, record("x"), record("yy")))
	}
	all = heldIn(t, l)
	must(t, l.Close())
	whole = d.ReadFile(segment(1))
	used = len(bytes.TrimRight(whole[:len(whole)-256], "\x00"))
	return d, whole, used, all
}

// reopened is what Open recovers when the segment is replaced.
func reopened(t fataler, d *journaltest.Disk, b []byte) (got []string, rec journal.Recovery) {
	t.Helper()
	c := d.Clone()
	c.WriteFile(segment(1), b)
	l, rec := openDisk(t, c, "b2")
	got = heldIn(t, l)
	add(t, l, "goes on")
	must(t, l.Close())
	return got, rec
}

// TestCutAtEveryByte: Open recovers a prefix. Records that a later group proved to
// be on disk are reported as damage; none are when only the last group is cut.
func TestCutAtEveryByte(t *testing.T) {
	d, whole, used, all := tiny(t)
	for cut := range used {
		got, rec := reopened(t, d, whole[:cut])
		named := len(each(rec))
		if !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("cut at %d: found %q", cut, got)
		}
		switch {
		case cut < 256: // without a header
			if len(got) > 0 || len(rec.Damaged) != 1 || rec.Damaged[0].Journal != "unknown" {
				t.Fatalf("cut at %d: found %d, named %+v", cut, len(got), rec.Damaged)
			}
		case len(got) >= 2 && len(rec.Damaged) > 0, len(got) < 2 && len(got)+named != 2:
			t.Fatalf("cut at %d: found %d, named %+v: the first two were written with the header", cut, len(got), rec.Damaged)
		}
	}
}

// TestTornSectors: the last group is torn at any sector boundary, whatever its
// later sectors hold.
func TestTornSectors(t *testing.T) {
	d, whole, used, all := tiny(t)
	for _, sector := range []int{64, 512} {
		for at := 256; at < used; at += sector - at%sector {
			for _, fill := range []byte{0, 0xff} {
				b := slices.Clone(whole)
				for i := at; i < min(at+sector-at%sector, used); i++ {
					b[i] = fill
				}
				got, rec := reopened(t, d, b)
				for _, g := range got {
					if !slices.Contains(all, g) {
						t.Fatalf("%d…: %q was never written", at, g)
					}
				}
				if last := slices.Contains(got, all[7]); last && len(got)+len(each(rec)) != 8 || !last && len(rec.Damaged) > 1 {
					t.Fatalf("%d…: holds %d, names %+v", at, len(got), rec.Damaged)
				}
			}
		}
	}
}

// TestEveryBitFlipped: no record is invented or altered, and missing ones are
// reported, except those of the last group, which nothing proves.
func TestEveryBitFlipped(t *testing.T) {
	d, whole, used, all := tiny(t)
	bits := make([]int, 0, 8*(used+256))
	for bit := range 8 * used {
		bits = append(bits, bit)
	}
	for bit := 8 * (len(whole) - 256); bit < 8*len(whole); bit++ { // the copy of the header
		bits = append(bits, bit)
	}
	for _, bit := range bits {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		got, rec := reopened(t, d, b)
		missing := len(all) - len(got)
		for i, j := 0, 0; i < len(got); i, j = i+1, j+1 { // in order, none invented
			for j < len(all) && got[i] != all[j] {
				j++
			}
			if j == len(all) {
				t.Fatalf("bit %d: found %q", bit, got)
			}
		}
		if proven := len(got) < 6; missing > 2 || missing != len(each(rec)) && (proven || len(rec.Damaged) > 0) {
			t.Fatalf("bit %d: holds %d, names %+v", bit, len(got), rec.Damaged)
		}
		if bit/8 < 256 && (missing > 0 || len(rec.Notes) != 1) {
			t.Fatalf("bit %d of the header: %d missing, notes %q", bit, missing, rec.Notes)
		}
	}
}

// TestTails of zeros, ones and noise behind the last frame change nothing.
func TestTails(t *testing.T) {
	d, whole, used, all := tiny(t)
	r := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{1, 31, 32, 33, 511, 512, 513, 4095, 4096, 65535, 65536} {
		for name, fill := range map[string]func() byte{
			"zeros": func() byte { return 0 }, "ones": func() byte { return 0xff }, "noise": func() byte { return byte(r.Uint32()) },
			"beginnings of frames": func() byte { return "CAGR"[r.IntN(4)] },
		} {
			b := slices.Clone(whole[:used])
			for range size {
				b = append(b, fill())
			}
			got, rec := reopened(t, d, b)
			if !slices.Equal(got, all) || len(rec.Damaged) > 0 {
				t.Errorf("%d bytes of %s: found %d of %d, named %+v", size, name, len(got), len(all), rec.Damaged)
			}
		}
	}
}

// forge makes a frame that is good for the segment b.
func forge(b []byte, seq, synced uint64, payload string) []byte {
	f := make([]byte, 32, 32+len(payload))
	copy(f, "CAGR")
	binary.LittleEndian.PutUint32(f[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(f[8:], seq)
	binary.LittleEndian.PutUint64(f[16:], synced)
	f = append(f, payload...)
	binary.LittleEndian.PutUint32(f[24:], crcOf(binary.LittleEndian.Uint32(b[252:]), f[4:24], f[32:]))
	return f
}

// seal writes a header's checksum again.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b[252:], crcOf(0, b[:252]))
}

// TestNegativeCases lists the bad files that a journal may have. Contents of
// records (bad JSON, signatures, sessions) are checked by their readers: to this
// package records are bytes; "agent journal verify" finds the JSON, the
// chain and strange journals.
func TestNegativeCases(t *testing.T) {
	rest := strings.Repeat("r", 1500)
	for _, c := range []struct {
		name string
		harm func(d *journaltest.Disk)
		held string // notes
		lost string
		err  string
	}{
		{"1 zero length", func(d *journaltest.Disk) { d.WriteFile(segment(2), []byte{}) }, "a0 a1 a4 a5 c", "b1:3-4", ""},
		{"1 zero length, the last", func(d *journaltest.Disk) { d.WriteFile(segment(4), []byte{}) }, "a0 a1 a2 a3 a4 a5", "b1:7-0", ""},
		{"2 header only", func(d *journaltest.Disk) { change(d, segment(2), func(b []byte) []byte { return b[:256] }) }, "a0 a1 a4 a5 c", "b1:3-4", ""},
		{"3 wrong magic, twice", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { b[0], b[len(b)-256] = 'X', 'X'; return b })
		}, "a0 a1 a4 a5 c", "b1:3-4", ""},
		{"4 newer version", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { b[8] = 2; seal(b); return b })
		}, "", "", "newer than this agent"},
		{"7 zero tail", func(d *journaltest.Disk) {
			change(d, segment(4), func(b []byte) []byte { return append(b, make([]byte, 4096)...) })
		}, "a0 a1 a2 a3 a4 a5 c", "", ""},
		{"10 length 0", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { clear(b[256+4 : 256+8]); return b })
		}, "a0 a1 a3 a4 a5 c", "b1:3-3", ""},
		{"11 length 2^31−1", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { copy(b[256+4:], "\xff\xff\xff\x7f"); return b })
		}, "a0 a1 a3 a4 a5 c", "b1:3-3", ""},
		{"12 length past the end", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { copy(b[256+4:], "\x00\xff\x00\x00"); return b })
		}, "a0 a1 a3 a4 a5 c", "b1:3-3", ""},
		{"16 seq gap", func(d *journaltest.Disk) {
			change(d, segment(4), func(b []byte) []byte { copy(b[1800:], forge(b, 4, 3, "4||d")); return b })
		}, "a0 a1 a2 a3 a4 a5 c d", "b2:2-3", ""},
		{"a frame that proves what comes behind it", func(d *journaltest.Disk) {
			change(d, segment(4), func(b []byte) []byte { copy(b[1800:], forge(b, 2, 1<<40, "2||d")); return b })
		}, "a0 a1 a2 a3 a4 a5 c", "", ""},
		{"17 seq repeated", func(d *journaltest.Disk) {
			change(d, segment(4), func(b []byte) []byte { copy(b[1800:], forge(b, 1, 0, "1||d")); return b })
		}, "a0 a1 a2 a3 a4 a5 c", "", ""},
		{"18 seq backwards", func(d *journaltest.Disk) {
			change(d, segment(3), func(b []byte) []byte { copy(b[3740:], forge(b, 2, 1, "2||d")); return b })
		}, "a0 a1 a2 a3 a4 a5 c", "", ""},
		{"20 two segments with the same first seq", func(d *journaltest.Disk) { d.WriteFile(segment(9), d.ReadFile(segment(2))) }, "a0 a1 a2 a3 a4 a5 c", "b2:2-0", ""},
		{"21 missing middle segment", func(d *journaltest.Disk) { d.WriteFile(segment(2), nil) }, "a0 a1 a4 a5 c", "b1:3-4", ""},
		{"21 missing segment before another boot", func(d *journaltest.Disk) { d.WriteFile(segment(3), nil) }, "a0 a1 a2 a3 c", "b1:5-6", ""},
		{"22 unknown files and leftovers", func(d *journaltest.Disk) {
			d.WriteFile("notes.txt", []byte("x"))
			d.WriteFile(segment(5)+".tmp", []byte("x"))
			d.WriteFile("reserve.tmp", []byte("x"))
			d.WriteFile("1.seg", []byte("x"))
		}, "a0 a1 a2 a3 a4 a5 c", "", ""},
		{"24 an older copy of a segment", func(d *journaltest.Disk) {
			change(d, segment(3), func(b []byte) []byte { clear(b[2000 : len(b)-256]); return b })
		}, "a0 a1 a2 a3 a4 c", "b1:6-6", ""},
		{"25 another charging point's directory", func(d *journaltest.Disk) {
			change(d, segment(4), func(b []byte) []byte { copy(b[88:], "\x06CP_002"); seal(b); return b })
		}, "", "", "CP_002"},
		{"28 acked position above the last seq", func(d *journaltest.Disk) {
			l, _ := openDisk(t, d, "other")
			must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b2", Seq: 3}))
			must(t, l.Close())
		}, "a0 a1 a2 a3 a4 a5 c", "b2:2-3", ""},
		{"a header bad, its copy good", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { clear(b[:256]); return b })
		}, "a0 a1 a2 a3 a4 a5 c", "", ""},
		{"the first file unusable", func(d *journaltest.Disk) {
			change(d, segment(1), func(b []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) })
		}, "a2 a3 a4 a5 c", "b1:1-2", ""},
		{"everything unusable", func(d *journaltest.Disk) {
			for i := range 4 {
				d.WriteFile(segment(i+1), []byte("x"))
			}
		}, "", "unknown:1-0 unknown:1-0 unknown:1-0 unknown:1-0", ""},
		{"larger than a segment can be", func(d *journaltest.Disk) {
			change(d, segment(2), func(b []byte) []byte { return append(b, make([]byte, 50<<20)...) })
		}, "a0 a1 a4 a5 c", "b1:3-4", ""},
		{"a position of noise", func(d *journaltest.Disk) { d.WriteFile("position", []byte(rest)) }, "a0 a1 a2 a3 a4 a5 c", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := journaltest.New()
			l, _ := openDisk(t, d, "b1")
			for _, n := range numbered("a", 6) { // two a segment, each a group
				must(t, l.Append(journal.Normal, func(seq charge.Seq, prev string) ([]byte, error) {
					return append([]byte(rest+"|"+rest[:200]), "|"+n...), nil
				}))
			}
			must(t, l.Close())
			l, _ = openDisk(t, d, "b2")
			add(t, l, "c")
			must(t, l.Close())
			c.harm(d)
			before := d.Clone()
			l, rec, err := journal.Open(d, small("b3"))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !slices.Equal(files(before), files(d)) {
					t.Fatalf("got %v and files %q, want %q and everything as it was", err, files(d), c.err)
				}
				return
			}
			must(t, err)
			if got := notesOf(heldIn(t, l)); got != c.held || lost(rec) != c.lost {
				t.Errorf("holds %q, lost %q; want %q and %q (%+v %q)", got, lost(rec), c.held, c.lost, rec.Damaged, rec.Notes)
			}
			add(t, l, "later")
			must(t, l.Close())
			_, rec = openDisk(t, d, "b4")
			if n := len(rec.Damaged); n > len(strings.Fields(c.lost)) {
				t.Errorf("the next boot names %q", lost(rec))
			}
		})
	}
}

func files(d *journaltest.Disk) (list []string) {
	names, _ := d.List()
	for _, n := range names {
		list = append(list, n+" "+string(d.ReadFile(n)))
	}
	return list
}

// TestBrokenAccess: 26, an error at some byte, a read-only disk, a short read.
func TestBrokenAccess(t *testing.T) {
	d, _, _, all := tiny(t)
	c := d.Clone()
	c.ReadOnly = true
	l, rec := openDisk(t, c, "b2") // it can be read; what was not proven is not adopted
	if got := heldIn(t, l); !slices.Equal(got, all[:len(got)]) || len(got) < 6 || len(rec.Damaged) > 0 {
		t.Errorf("read-only: found %d of %d, named %+v", len(got), len(all), rec.Damaged)
	}
	if err := l.Append(journal.Final, record("x")); err == nil {
		t.Error("a record on a read-only disk")
	}
	for _, kind := range []journaltest.Kind{journaltest.List, journaltest.SyncDir} {
		c := d.Clone()
		c.Fault = failing(kind, -1, syscall.EIO)
		if _, _, err := journal.Open(c, small("b2")); err == nil {
			t.Errorf("%s fails: opened", kind)
		}
		c.Fault = nil
		openDisk(t, c, "b2") // it is not locked any more
	}
	c = d.Clone()
	c.Fault = failing(journaltest.Open, 1, syscall.EMFILE)
	if _, _, err := journal.Open(c, small("b2")); err == nil {
		t.Error("too many open files are no damage of the journal")
	}
	c = d.Clone()
	c.Fault = failing(journaltest.Open, 1, syscall.EIO)
	if _, rec := openDisk(t, c, "b2"); lost(rec) != "unknown:1-0" {
		t.Errorf("the only segment cannot be opened: named %q", lost(rec))
	}
}

// central is the epoch of the Central that acknowledges.
func central() charge.Epoch { return charge.Epoch{Number: 1, Run: "00000000000000ab"} }
