package journal_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
)

// life is the expected records of one charging point, over all boots.
type life struct {
	*rapid.T
	d    *journaltest.Disk
	r    *rand.Rand
	log  *journal.Log
	boot int

	truth   []string // every record that was announced or found, journal|bytes
	state   string   // as the encoders see it
	flying  []string // tried since then, and refused or cut off
	gone    int      // of truth, deleted by retention
	acked   int      // of truth
	group   []string // of the append under way
	retain  int64
	noCheck bool
}

func fold(state, record string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(state+record)))[:16]
}

func foldAll(state string, records []string) string {
	for _, r := range records {
		state = fold(state, r)
	}
	return state
}

func (f *life) name() string { return fmt.Sprint("b", f.boot) }

func (f *life) options(o *journal.Options) {
	o.RetainBytes = f.retain
	o.SegmentSize = 2048
	if !f.noCheck {
		o.Checkpoint = func() ([]byte, error) { return []byte("state=" + f.state), nil }
	}
}

// open boots, and checks what is found against what is true.
func (f *life) open() {
	f.boot++
	l, rec := openDisk(f, f.d, f.name(), f.options)
	f.log = l
	if len(rec.Damaged) > 0 {
		f.Fatalf("nothing was lost, yet %s (%+v)", lost(rec), rec.Damaged)
	}
	got := heldIn(f, l)
	all := slices.Concat(f.truth, f.flying)
	// The records held are the expected ones from some point on, and a prefix of the
	// last group.
	from := 0
	if len(got) > 0 {
		from = slices.Index(all, got[0])
	}
	if from < 0 || from > f.acked || from+len(got) > len(all) ||
		!slices.Equal(got, all[from:from+len(got)]) || from+len(got) < len(f.truth) && len(got) > 0 || len(got) == 0 && len(f.truth) > f.acked {
		f.Fatalf("found %d records from %d on, of %d and %d tried, %d acknowledged:\n%.60q\nwant of\n%.60q", len(got), from, len(f.truth), len(f.flying), f.acked, got, all)
	}
	if len(got) > 0 {
		f.gone = from
		f.truth = all[:from+len(got)]
	}
	f.flying = nil
	f.checkState(rec)
	if n := len(f.truth); n > 0 && (rec.Last == nil || string(rec.Last.Journal)+"|"+string(rec.Last.Bytes) != f.truth[n-1]) {
		f.Fatalf("the last record is %+v, want %q", rec.Last, f.truth[n-1])
	}
}

// checkState replays the checkpoint and what is behind it.
func (f *life) checkState(rec journal.Recovery) {
	want := foldAll("", f.truth)
	if f.noCheck {
		if len(rec.Since) != len(f.truth)-f.gone {
			f.Fatalf("%d records since the beginning, want %d", len(rec.Since), len(f.truth)-f.gone)
		}
		f.state = want
		return
	}
	n := len(f.truth) - len(rec.Since)
	state := ""
	if rec.Checkpoint != nil {
		state = strings.TrimPrefix(string(rec.Checkpoint), "state=")
	}
	for i, b := range rec.Since {
		r := f.truth[n+i]
		if !strings.HasSuffix(r, "|"+string(b)) {
			f.Fatalf("behind the checkpoint is %.60q, want %.60q", b, r)
		}
		state = fold(state, r)
	}
	if state != want {
		f.Fatalf("state %q from a checkpoint and %d records, want %q", state, len(rec.Since), want)
	}
	f.state = want
}

// append tries some records; the process may die in it.
func (f *life) append(n int) error {
	before := f.state
	f.group = nil
	encoders := make([]journal.Encode, 0, n)
	for range n {
		pad := strings.Repeat("p", 1+f.r.IntN(600))
		encoders = append(encoders, func(seq charge.Seq, prev string) ([]byte, error) {
			raw, err := record(pad)(seq, prev)
			r := f.name() + "|" + string(raw)
			f.group = append(f.group, r)
			f.state = fold(f.state, r)
			return raw, err
		})
	}
	f.flying = nil
	err := errCut
	defer func() {
		if err != nil {
			f.flying, f.state = f.group, before
			return
		}
		f.truth = append(f.truth, f.group...)
	}()
	err = f.log.Append(journal.Class(f.r.IntN(3)), encoders...)
	return err
}

// under runs f until an operation at which the process dies, if there is one.
func (f *life) under(ops int, do func()) {
	f.d.Fault = func(o journaltest.Op) error {
		if o.Kind == journaltest.Read || o.Kind == journaltest.Free {
			return nil
		}
		if ops--; ops < 0 {
			if o.Kind == journaltest.Write && o.Len > 1 {
				return journaltest.ShortError{Written: f.r.IntN(o.Len), Err: errCut}
			}
			panic(errCut)
		}
		return nil
	}
	defer func() {
		f.d.Fault = nil
		if p := recover(); p != nil && p != errCut { //nolint:errorlint // the value itself was thrown
			panic(p)
		}
	}()
	do()
}

func (f *life) end(power bool) {
	if !power {
		f.d.Kill()
		return
	}
	how := f.r.IntN(4)
	f.d.Cut(func(n int) int {
		switch how {
		case 0:
			return 0
		case 1:
			return n - 1
		}
		return f.r.IntN(n)
	})
}

func (f *life) ack() {
	if f.gone == len(f.truth) {
		return
	}
	i := f.gone + f.r.IntN(len(f.truth)-f.gone)
	r := strings.Split(f.truth[i], "|")
	var seq charge.Seq
	_, err := fmt.Sscan(r[1], &seq)
	must(f, err)
	must(f, f.log.SetPosition(journal.Position{Central: central(), Journal: charge.JournalID(r[0]), Seq: seq}))
	f.acked = max(f.acked, i+1)
}

// TestAnyHistory: after any appends, acknowledgements, kills, power cuts and failed
// syncs the log holds the announced records, and perhaps the beginning of the last
// group. None is reported as lost, and the state is that of the records.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		f := &life{T: t, d: journaltest.New(), r: rand.New(rand.NewPCG(seed, 1))}
		f.d.Sector = rapid.SampledFrom([]int{512, 4096}).Draw(t, "sector")
		f.retain = rapid.SampledFrom([]int64{1, 10_000, 1 << 30}).Draw(t, "retain")
		f.noCheck = rapid.Bool().Draw(t, "without checkpoints") && f.retain > 1<<20
		f.open()
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "append", "ack", "die", "die", "die in open", "clean", "fail", "rescue"}).Draw(t, "step") {
			case "append":
				must(t, f.append(1+f.r.IntN(4)))
			case "ack":
				f.ack()
			case "clean":
				must(t, f.log.Close())
				f.open()
			case "die":
				f.under(f.r.IntN(8), func() { _ = f.append(1 + f.r.IntN(4)) })
				f.end(f.r.IntN(2) == 0)
				f.open()
			case "die in open":
				f.under(f.r.IntN(8), func() { _ = f.append(1 + f.r.IntN(4)) })
				f.end(f.r.IntN(2) == 0)
				f.boot++
				f.under(f.r.IntN(8), func() {
					if l, _, err := journal.Open(f.d, small(f.name(), f.options)); err == nil {
						_ = l.Close()
					}
				})
				f.end(f.r.IntN(2) == 0)
				f.open()
			case "fail": // for good
				f.d.Fault = failing(rapid.SampledFrom([]journaltest.Kind{journaltest.Sync, journaltest.Write, journaltest.Rename, journaltest.SyncDir}).Draw(t, "kind"), -1, syscall.EIO)
				err := f.append(1 + f.r.IntN(4))
				f.d.Fault = nil
				if err == nil || !errors.Is(err, journal.ErrFailed) {
					if err != nil {
						t.Fatal(err)
					}
					continue // it found space without that operation
				}
				f.end(f.r.IntN(2) == 0)
				f.open()
			case "rescue":
				f.d.Fault = failing(rapid.SampledFrom([]journaltest.Kind{journaltest.Sync, journaltest.Write, journaltest.Rename, journaltest.SyncDir}).Draw(t, "kind"), 1, syscall.EIO)
				must(t, f.append(1+f.r.IntN(4)))
				f.d.Fault = nil
			}
		}
	})
}
