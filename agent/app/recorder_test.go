package app_test

import (
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	core "github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// replayed replays a ring, and returns the names of what happened. Nothing may
// differ from what was recorded, and nothing be damaged.
func replayed(t *testing.T, ring journal.ReadFS) (story []string) {
	t.Helper()
	r, err := recorder.Replay(ring, func(i recorder.Item) error {
		switch {
		case i.Difference != "":
			t.Errorf("%s %+v: %s", i.File, i.Event, i.Difference)
		case i.Note != "":
			story = append(story, "note: "+i.Note)
		case i.Boot:
			story = append(story, "boot")
		case i.Event != nil:
			story = append(story, reflect.TypeOf(i.Event).Name())
		}
		return nil
	})
	if err != nil || r.Differences > 0 || r.Damaged > 0 || r.Steps == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	return story
}

// session charges for a while.
func (p *point) session() {
	p.t.Helper()
	p.do(p.board.Plug(1))
	p.status(time.Minute, charge.StatusPreparing)
	if r := p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}); r.Result != wire.ResultDone {
		p.t.Fatalf("START: %+v", r)
	}
	p.status(time.Minute, charge.StatusCharging)
	time.Sleep(5 * time.Minute)
	if r := p.order(1, &wire.Stop{SessionID: "s1"}); r.Result != wire.ResultDone {
		p.t.Fatalf("STOP: %+v", r)
	}
	p.do(p.board.Unplug(1))
	p.status(time.Minute, charge.StatusAvailable)
}

// recorded gives the agent a flight recorder, and returns its disk.
func (p *point) recorded() *journaltest.Disk {
	ring := journaltest.New()
	p.recorder = func() (journal.FS, error) { return ring, nil }
	return ring
}

// TestReplayOfASession: the core does the same again with what the flight recorder
// has recorded of two boots, a session, a fault and a kill.
func TestReplayOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoint(t, nil)
		ring := p.recorded()
		p.play(func() {
			p.start()
			p.ready()
			p.session()
			time.Sleep(10 * time.Second)
			p.kill()
			p.start()
			p.ready()
		})
		story := replayed(t, ring)
		for _, want := range []string{"boot", "PilotChanged", "ContactChanged", "MeterRead", "CommandReceived", "AckReceived", "Appended", "Shutdown"} {
			if !slices.Contains(story, want) {
				t.Errorf("no %s in %v", want, story)
			}
		}
	})
}

// TestReplayExplainsEachOpening: the cause of each opening of the contactor is in the
// timeline before it. Where the control loop opened by itself there is also what it
// measured: good until the tick before, and bad in the last one.
func TestReplayExplainsEachOpening(t *testing.T) {
	for name, c := range map[string]struct {
		open func(p *point)
		want core.Event
		good func(*safety.Inputs) bool // nil: the control loop did not trip
	}{
		"a safety input": {
			func(p *point) { p.do(p.board.Inject(1, charge.FaultSafetyInput)) },
			core.PowerWithheld{Connector: 1, Reason: "safety_input", Input: "pilot"},
			func(in *safety.Inputs) bool { return in.PilotIn.OK && in.Pilot == charge.PilotC },
		},
		"a trip": {
			func(p *point) { p.do(p.board.Inject(1, charge.FaultGroundFault)) },
			core.FaultSeen{Connector: 1, Fault: charge.FaultGroundFault},
			func(in *safety.Inputs) bool { return in.Tripped == "" },
		},
		"the stop": {
			func(p *point) { p.do(p.board.Inject(1, charge.FaultEmergencyStop)) },
			core.FaultSeen{Connector: 1, Fault: charge.FaultEmergencyStop},
			func(in *safety.Inputs) bool { return !in.Pressed },
		},
		"the vehicle": {func(p *point) { p.do(p.board.Ask(1, false)) }, core.PilotChanged{Connector: 1, Pilot: charge.PilotB}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPoint(t, func(c *app.Config, _ *sim.Config) { c.Policies.FreeVend = true })
				ring := p.recorded()
				p.play(func() {
					p.start()
					p.ready()
					p.do(p.board.Plug(1))
					p.status(time.Minute, charge.StatusCharging)
					time.Sleep(10 * time.Second)
					c.open(p)
					p.within(10*time.Second, "open", func() bool { return !p.outlet().Closed })
					p.do(p.board.Repair(1)) // so that the contact can be read again
					time.Sleep(10 * time.Second)
				})
				var events []core.Event
				var trips []safety.Trip
				if _, err := recorder.Replay(ring, func(i recorder.Item) error {
					if i.Difference != "" {
						t.Error(i.Difference)
					}
					if i.Trip != nil {
						trips = append(trips, *i.Trip)
						return nil
					}
					if e, ok := i.Event.(core.PilotChanged); ok {
						e.NewSession = ""
						i.Event = e
					}
					events = append(events, i.Event)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				closed := slices.Index(events, core.Event(core.ContactChanged{Connector: 1, Closed: true}))
				opened := slices.Index(events[max(closed, 0):], core.Event(core.ContactChanged{Connector: 1}))
				if closed < 0 || opened < 0 || !slices.Contains(events[closed:closed+opened], c.want) {
					t.Errorf("closed at %d, opened %d steps later; no %+v between", closed, opened, c.want)
				}
				if (len(trips) == 0) != (c.good == nil) {
					t.Fatalf("%d trips", len(trips))
				}
				if c.good == nil {
					return
				}
				ticks := trips[0].Ticks
				for i := range ticks {
					if last := i == len(ticks)-1; c.good(&ticks[i].In) == last || ticks[i].Verdict.Close == last {
						t.Errorf("tick %d of %d: %+v", i, len(ticks), ticks[i])
					}
				}
			})
		})
	}
}

// TestReplayOfAFullJournal: that there is space again is known by a check of the disk
// that looks like the one before.
func TestReplayOfAFullJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoint(t, nil)
		ring := p.recorded()
		p.play(func() {
			p.start()
			p.ready()
			p.disk.breaks(app.ErrNoSpace)
			p.do(p.board.Plug(1))
			time.Sleep(10 * time.Second)
			p.do(p.board.Unplug(1))
			time.Sleep(10 * time.Second)
			p.disk.breaks(nil)
			time.Sleep(10 * time.Second)
			p.session()
		})
		replayed(t, ring)
	})
}

// TestRecorderNeverStopsCharging: a disk that the flight recorder cannot write costs
// its records alone; they go on by themselves.
func TestRecorderNeverStopsCharging(t *testing.T) {
	for _, failure := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			p := newPoint(t, nil)
			ring := p.recorded()
			var broken atomic.Bool
			ring.Fault = func(o journaltest.Op) error {
				if broken.Load() && (o.Kind == journaltest.Write || o.Kind == journaltest.Create) {
					return failure
				}
				return nil
			}
			p.play(func() {
				p.start()
				p.ready()
				broken.Store(true)
				p.session()
				broken.Store(false)
				time.Sleep(2 * recorder.RetryEvery)
			})
			story := replayed(t, ring)
			missing := slices.IndexFunc(story, func(s string) bool { return strings.Contains(s, "steps are not recorded") })
			if missing < 0 || !slices.Contains(story[missing:], "MeterRead") {
				t.Errorf("%v: what is missing is not stated, or nothing follows: %v", failure, story)
			}
		})
	}
}

// TestRecorderWear measures what the flight recorder writes.
func TestRecorderWear(t *testing.T) {
	for name, plugged := range map[string]bool{"idle": false, "charging": true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPoint(t, func(c *app.Config, _ *sim.Config) { c.Policies.FreeVend = true })
			ring := p.recorded()
			var written atomic.Int64
			ring.Fault = func(o journaltest.Op) error {
				if o.Kind == journaltest.Write {
					written.Add(int64(o.Len))
				}
				return nil
			}
			p.play(func() {
				p.start()
				p.ready()
				if plugged {
					p.do(p.board.Plug(1))
					p.status(time.Minute, charge.StatusCharging)
				}
				before := written.Load()
				time.Sleep(30 * time.Minute)
				perHour := 2 * (written.Load() - before)
				t.Logf("%s: %d bytes an hour", name, perHour)
				if perHour > 4<<20 {
					t.Errorf("%s: %d bytes an hour", name, perHour)
				}
			})
			replayed(t, ring)
		})
	}
}
