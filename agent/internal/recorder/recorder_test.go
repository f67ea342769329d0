package recorder

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/crc32"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
)

// rig is a core whose disk writes at once, and its recorder.
type rig struct {
	*Recorder
	core *point.State
	at   time.Duration
	n    charge.Seq // records written
}

// record boots a core on a ring, runs it through steps, and ends its recorder.
func record(ring journal.FS, steps func(*rig)) {
	cfg := point.Config{CP: "CP_001", Journal: "boot1", Agent: "v1", Telemetry: time.Second, IdleTelemetry: time.Minute}
	found := point.Recovered{
		Saved:   []connector.Saved{{Connector: 1}},
		Outlets: []point.Outlet{{Pilot: charge.PilotA, Reading: connector.Reading{Import: 1000}, HasReading: true}},
	}
	r := &rig{Recorder: New(func() (journal.FS, error) { return ring, nil }, &cfg, slog.New(slog.DiscardHandler))}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	var effects []point.Effect
	r.core, effects = point.Boot(cfg, r.now(), found)
	r.Boot(cfg, r.now(), found, effects)
	r.perform(effects)
	steps(r)
	end()
	<-done
}

func (r *rig) now() point.Now {
	const began charge.Time = 1_790_000_000_000
	return point.Now{Now: connector.Now{At: r.at, Wall: began.Add(r.at), Clock: charge.ClockSynced}, Rand: uint64(r.at) * 7}
}

func (r *rig) do(e point.Event) {
	r.at += 1234567 * time.Nanosecond
	now := r.now()
	effects := r.core.Step(now, e)
	r.Step(now, e, effects, r.core)
	r.perform(effects)
}

// perform lets the disk write at once.
func (r *rig) perform(effects []point.Effect) {
	for _, f := range effects {
		a, is := f.(point.Append)
		if !is {
			continue
		}
		for i := range a.Batch.Records {
			r.n++
			if _, err := a.Batch.Encode(i, r.n, ""); err != nil {
				panic(err)
			}
		}
		r.do(point.Appended{Saved: a.Batch.Saved(), Held: delivery.Held{
			Present: "boot1", Ranges: []delivery.Range{{Journal: "boot0", First: 1, Last: 9, Index: 1}, {Journal: "boot1", First: 1, Last: r.n, Index: 10}},
		}})
	}
}

// plugs lets a vehicle come and go n times.
func plugs(n int) func(*rig) {
	return func(r *rig) {
		for range n {
			r.do(point.PilotChanged{Connector: 1, Pilot: charge.PilotB, NewSession: "unused"})
			r.do(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
			r.do(point.PilotChanged{Connector: 1, Pilot: charge.PilotA, NewSession: "unused"})
		}
	}
}

// play replays a ring and returns the result, with all notes and differences.
func play(t *testing.T, ring journal.ReadFS) (r Result, notes []string) {
	t.Helper()
	r, err := Replay(ring, func(i Item) error {
		for _, s := range []string{i.Note, i.Difference} {
			if s != "" {
				notes = append(notes, s)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, notes
}

// change changes the bytes of a file.
func change(t *testing.T, ring journal.FS, name string, f func([]byte) []byte) {
	t.Helper()
	raw, err := read(ring, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Remove(name); err != nil {
		t.Fatal(err)
	}
	file, err := ring.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(f(raw), 0); err != nil {
		t.Fatal(err)
	}
}

// planted changes a text in a file, and corrects the checksum of its line.
func planted(from, to string) func([]byte) []byte {
	return func(raw []byte) []byte {
		lines := bytes.Split(raw, []byte("\n"))
		for i, l := range lines {
			if bytes.Contains(l, []byte(from)) {
				body := bytes.Replace(l[9:], []byte(from), []byte(to), 1)
				lines[i] = fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE(body), body)
				break
			}
		}
		return bytes.Join(lines, []byte("\n"))
	}
}

const first = "000000000001.ring"

// all is how many steps plugs(5) has, with those of the disk.
const all = 26

// TestDamage: what is wrong with a ring is reported, and nothing else is lost by it.
func TestDamage(t *testing.T) {
	for _, tc := range []struct {
		name        string
		change      func([]byte) []byte
		lost        int // steps of the first boot that are not replayed
		differences int
		damaged     int
		want        string // in the notes
	}{
		{"nothing", func(b []byte) []byte { return b }, 0, 0, 0, ""},
		{"another effect", planted(`"did":["Recorded","Append","SetTimer"]`, `"did":["Recorded"]`), 0, 1, 0, "recorded [Recorded], this version does [Recorded, Append"},
		{"another input", planted(`"Connector":1,"Pilot":66`, `"Connector":1,"Pilot":67`), 0, 1, 0, "this version"},
		{"another content", planted(`"sum":`, `"sum":1`), 0, 1, 0, "another content"},
		{"a torn tail", func(b []byte) []byte { return b[:len(b)-20] }, 1, 0, 0, "not complete"},
		{"a bit in the last line", func(b []byte) []byte { b[len(b)-20] ^= 1; return b }, 1, 0, 1, "checksum"},
		{"a bit in the boot", func(b []byte) []byte { b[bytes.Index(b, []byte(`"boot"`))] ^= 1; return b }, all, 0, 1, "line 2 cannot be used"},
		{"another format", planted(`"format":1`, `"format":7`), all, 0, 1, "the file has format 7, this version reads 1; replay it with agent v1"},
		{"an event of another version", planted(`"event":"PilotChanged"`, `"event":"PilotGone"`), all - 1, 0, 1, "PilotGone is not known"},
		{"a state that is no state", planted(`"Saved":[{`, `"Saved":7,"x":[{`), all, 0, 1, "cannot be used"},
		{"empty", func([]byte) []byte { return nil }, all, 0, 0, ""},
		{"another file", func([]byte) []byte { return []byte("hello\nworld") }, all, 0, 1, "checksum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ring := journaltest.New()
			record(ring, plugs(5))
			record(ring, plugs(5))
			good, notes := play(t, ring)
			if len(notes) > 0 {
				t.Fatal(notes)
			}
			change(t, ring, first, tc.change)
			r, notes := play(t, ring)
			if lost := good.Steps - r.Steps; lost != tc.lost || r.Differences != tc.differences || r.Damaged != tc.damaged ||
				!strings.Contains(strings.Join(notes, "\n"), tc.want) {
				t.Errorf("%d steps lost, %+v; %q", lost, r, notes)
			}
		})
	}
}

// TestBounded: the ring has a bound, and what is left begins with a state. The states
// are those that the steps before lead to.
func TestBounded(t *testing.T) {
	ring := journaltest.New()
	synctest.Test(t, func(*testing.T) {
		for range 3 {
			record(ring, func(r *rig) {
				for range 1500 {
					plugs(2)(r)
					synctest.Wait() // the recorder has written what is queued
				}
			})
		}
	})
	names, err := files(ring)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, name := range names {
		size, err := sizeOf(ring, name)
		if err != nil {
			t.Fatal(err)
		}
		total += size
	}
	if slices.Contains(names, first) || len(names) < 4 || total > Capacity+fileSize {
		t.Errorf("%d bytes in %v", total, names)
	}
	if r, notes := play(t, ring); r.Differences > 0 || r.Damaged > 0 || len(notes) > 0 || r.Steps < 1000 {
		t.Errorf("%+v %q", r, notes)
	}
}

// TestManyBoots: an agent that is started again and again keeps a bounded number of
// files.
func TestManyBoots(t *testing.T) {
	ring := journaltest.New()
	for range maxFiles + 10 {
		record(ring, plugs(1))
	}
	if names, err := files(ring); err != nil || len(names) > maxFiles {
		t.Errorf("%d files, %v", len(names), err)
	}
}

// TestQueueFull: what the core could not queue is counted and stated in the ring, and
// the replay goes on behind it. The core never waits.
func TestQueueFull(t *testing.T) {
	ring := journaltest.New()
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		ring.Fault = func(o journaltest.Op) error {
			if o.Kind == journaltest.Write {
				<-blocked
			}
			return nil
		}
		record(ring, func(r *rig) {
			plugs(queued)(r)
			close(blocked)
			synctest.Wait()
			plugs(10)(r)
			if r.Lost() == 0 {
				t.Error("nothing was left out")
			}
		})
	})
	r, notes := play(t, ring)
	// Twice if the queue was full before the recorder's goroutine first ran.
	if len(notes) < 1 || len(notes) > 2 || !strings.Contains(notes[0], "steps are not recorded") || r.Differences > 0 || r.Damaged > 0 || r.Steps < queued {
		t.Errorf("%+v %q", r, notes)
	}
}

// TestSpaceOfTheJournal: no file begins in the space that the journal needs.
func TestSpaceOfTheJournal(t *testing.T) {
	ring := journaltest.New()
	ring.Capacity = leaveFree - 1
	record(ring, func(r *rig) {
		plugs(5)(r)
		for r.Trouble() == "" { // its goroutine tries
			time.Sleep(time.Millisecond)
		}
		if got := r.Trouble(); !strings.Contains(got, "which the journal needs") {
			t.Errorf("trouble: %s", got)
		}
	})
	if names, err := files(ring); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
}

// countSyncs returns an empty ring, and how many times a file of it was synced.
func countSyncs() (ring *journaltest.Disk, synced *int) {
	ring, synced = journaltest.New(), new(int)
	ring.Fault = func(o journaltest.Op) error {
		if o.Kind == journaltest.Sync {
			*synced++
		}
		return nil
	}
	return ring, synced
}

// TestFaultIsSynced: a fault may be the last thing before the power is gone.
func TestFaultIsSynced(t *testing.T) {
	ring, synced := countSyncs()
	record(ring, func(r *rig) {
		plugs(2)(r)
		r.do(point.FaultSeen{Connector: 1, Fault: charge.FaultOther})
	})
	if *synced != 1 {
		t.Errorf("synced %d times", *synced)
	}
}

// TestAllEvents: an event that is added to the core is added here too.
func TestAllEvents(t *testing.T) {
	var known, want []string
	for _, e := range events() {
		known = append(known, reflect.TypeOf(e).Name())
	}
	sources, err := filepath.Glob("../../point/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if m, is := d.(*ast.FuncDecl); is && m.Name.Name == "pointEvent" {
				want = append(want, m.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	slices.Sort(known)
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(known, want) {
		t.Errorf("the recorder knows %v, the core has %v", known, want)
	}
}
