package ledger_test

import (
	"maps"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// readTest is a small log of one charging point: records in order, each in a
// partition, and a reader that reads the partitions in the given order.
type readTest struct {
	reads   ledger.LogReads
	log     [][]int // by partition: the numbers of the records there, by offset
	applied int     // records 1 to this one are applied
}

const reader charge.CPID = "CP_001"

// read reads the partitions in this order, from the offsets in from, or else from
// the first.
func (r *readTest) read(order []int, from map[int]int64, all bool) {
	for _, p := range order {
		at, ok := from[p]
		if !ok && !all {
			continue
		}
		for offset := at; offset < int64(len(r.log[p])); offset++ {
			out := ledger.Outcome{Verdict: ledger.OutOfOrder}
			switch n := r.log[p][offset]; {
			case n <= r.applied:
				out.Verdict = ledger.Duplicate
			case n == r.applied+1:
				r.applied, out.Verdict = n, ledger.Applied
			}
			r.reads.RecordRead(reader, &out, p, offset)
		}
	}
}

// wait is a record that may be passed only once the log is read. It returns whether
// it may, and else the request for a read.
func (r *readTest) wait() (ledger.LogRead, bool) {
	if r.reads.Covers(reader) {
		return ledger.LogRead{}, true
	}
	out := ledger.Outcome{Verdict: ledger.OutOfOrder, AwaitsLog: true}
	r.reads.RecordRead(reader, &out, 0, 1000)
	want, _ := r.reads.Request(reader)
	return want, false
}

// TestDroppedRecordsAreReadAgain: a topic got partitions several times, and they are
// read in the wrong order. Each read goes back for what was dropped; nothing is
// covered before all is applied, and then it is.
func TestDroppedRecordsAreReadAgain(t *testing.T) {
	for name, log := range map[string][][]int{
		"never grew":  {{1, 2, 3, 4, 5, 6}},
		"grew once":   {{1, 2, 3}, {4, 5, 6}},
		"grew twice":  {{1, 2}, {3, 4}, {5, 6}},
		"grew thrice": {{1}, {2, 3}, {4}, {5, 6}},
		"with a gap":  {{1, 2}, {4, 5}, {6}},
	} {
		t.Run(name, func(t *testing.T) {
			r := readTest{reads: ledger.NewLogReads(), log: log}
			r.reads.PresenceApplied(reader)
			var order []int
			for p := range log {
				order = append([]int{p}, order...) // the latest partition first
			}
			r.read(order, nil, true)
			reads := 0
			for ; ; reads++ {
				want, covered := r.wait()
				if covered {
					break
				}
				if reads > len(log) {
					t.Fatalf("after %d reads still not covered; %d applied", reads, r.applied)
				}
				r.read(order, want.From, false)
				r.reads.Read(want.N)
			}
			if want := 6; r.applied != want && name != "with a gap" {
				t.Errorf("after %d reads %d records are applied, want %d", reads, r.applied, want)
			}
			if name == "with a gap" && r.applied != 2 {
				t.Errorf("applied %d", r.applied)
			}
		})
	}
}

// TestAReadUnderWayDoesNotGoBack: a charging point that begins to wait for dropped
// records while another read is under way needs one of its own; one that dropped
// nothing is covered by it.
func TestAReadUnderWayDoesNotGoBack(t *testing.T) {
	l := ledger.NewLogReads()
	for _, cp := range []charge.CPID{"A", "B", "C"} {
		l.PresenceApplied(cp)
	}
	first, ok := l.Request("A")
	if !ok || len(first.From) != 0 {
		t.Fatalf("request %v %v", first, ok)
	}
	if _, ok := l.Request("B"); ok {
		t.Error("B waits for a read of its own")
	}
	l.RecordRead("C", &ledger.Outcome{Verdict: ledger.OutOfOrder}, 3, 17)
	l.RecordRead("C", &ledger.Outcome{Verdict: ledger.OutOfOrder}, 3, 18)
	second, ok := l.Request("C")
	if !ok || !maps.Equal(second.From, map[int]int64{3: 17}) {
		t.Fatalf("request %v %v", second, ok)
	}
	if _, ok := l.Request("C"); ok {
		t.Error("C asks twice")
	}
	l.Read(first.N)
	if !l.Covers("A") || !l.Covers("B") || l.Covers("C") {
		t.Errorf("after the first read: A %v, B %v, C %v", l.Covers("A"), l.Covers("B"), l.Covers("C"))
	}
	l.Read(second.N)
	if !l.Covers("C") {
		t.Error("C is not covered after its read")
	}
}

// TestMergedReads: of two requests the one that does both.
func TestMergedReads(t *testing.T) {
	a := ledger.LogRead{N: 3, From: map[int]int64{0: 5, 1: 9}}
	b := ledger.LogRead{N: 7, From: map[int]int64{1: 4, 2: 0}}
	for _, m := range []ledger.LogRead{a.Merge(b), b.Merge(a)} {
		if m.N != 7 || !maps.Equal(m.From, map[int]int64{0: 5, 1: 4, 2: 0}) {
			t.Errorf("merged: %v", m)
		}
	}
}
