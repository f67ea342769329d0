package rpi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
)

// rcd is a board with all trip contacts on connector 1, and a residual current
// device that trips 20 ms after its test and is reset by a pulse.
type rcd struct {
	*bench
	board  *rpi.Board
	c      hal.Connector
	stuck  bool // it does not trip
	faulty bool // it cannot be reset
}

func newRCD(t *testing.T, change func(*rpi.Outlet)) *rcd {
	t.Helper()
	cfg := wiring()
	o := &cfg.Connectors[0]
	o.Protection = rpi.Protection{GroundFault: "GPIO6", Overcurrent: "GPIO7", Overtemperature: "GPIO8"}
	o.GroundFault = rpi.GroundFault{Test: "GPIO20", Reset: "GPIO21"}
	if change != nil {
		change(o)
	}
	r := &rcd{bench: newBench(t, cfg)}
	r.chip.Drive("GPIO7", false)
	r.chip.Drive("GPIO8", false)
	r.chip.OnWrite("GPIO20", func(high bool) {
		if high && !r.stuck {
			time.AfterFunc(20*time.Millisecond, func() { r.chip.Drive("GPIO6", true) })
		}
		if !high && o.GroundFault.Reset == "" {
			r.chip.Drive("GPIO6", false)
		}
	})
	r.chip.OnWrite("GPIO21", func(high bool) {
		if high && !r.faulty {
			r.chip.Drive("GPIO6", false)
		}
	})
	r.board = mustNew(t, cfg, computer(r.chip))
	t.Cleanup(func() {
		if err := r.board.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := r.board.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	r.c = c
	return r
}

// tripped reads the contacts for a while, as the safety loop does.
func (r *rcd) tripped(t *testing.T) charge.Fault {
	t.Helper()
	p, ok := r.c.(hal.Protection)
	if !ok {
		t.Fatal("the connector is no hal.Protection")
	}
	for range 4 {
		time.Sleep(10 * time.Millisecond)
		_, _, _ = p.Tripped()
	}
	fault, _, err := p.Tripped()
	if err != nil {
		t.Errorf("tripped: %v", err)
	}
	return fault
}

// device is the device that can be tested.
func (r *rcd) device(t *testing.T) hal.GroundFault {
	t.Helper()
	g, err := r.c.GroundFault()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAnOpenContactIsATripAndTheGravestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRCD(t, nil)
		if got := r.tripped(t); got != "" {
			t.Errorf("all closed: got %q", got)
		}
		for _, step := range []struct {
			pin  string
			want charge.Fault
		}{
			{"GPIO8", charge.FaultOvertemperature},
			{"GPIO7", charge.FaultOvercurrent},
			{"GPIO6", charge.FaultGroundFault},
		} {
			r.chip.Drive(step.pin, true)
			if got := r.tripped(t); got != step.want {
				t.Errorf("%s open: got %q, want %q", step.pin, got, step.want)
			}
		}
		other, _ := r.board.Connector(2)
		if _, ok := other.(hal.Protection); ok {
			t.Error("a connector without trip contacts is a hal.Protection")
		}
		r.chip.FailReads(errors.New("input/output error"))
		time.Sleep(10 * time.Millisecond)
		if p, _ := r.c.(hal.Protection); p != nil {
			if got, _, err := p.Tripped(); got != "" || !errors.Is(err, hal.ErrUnreadable) {
				t.Errorf("unreadable: got %q, %v", got, err)
			}
		}
		r.chip.FailReads(nil)
	})
}

func TestSelfTestTripsAndResets(t *testing.T) {
	for name, reset := range map[string]string{"by a pin": "GPIO21", "by itself": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRCD(t, func(o *rpi.Outlet) { o.GroundFault.Reset = reset })
				done := make(chan error, 1)
				go func() { done <- r.device(t).SelfTest(t.Context()) }()
				for {
					time.Sleep(10 * time.Millisecond)
					synctest.Wait()
					select {
					case err := <-done:
						if err != nil {
							t.Errorf("self-test: %v", err)
						}
						if got := r.tripped(t); got != "" || r.chip.Level("GPIO20") || reset != "" && r.chip.Level("GPIO21") {
							t.Errorf("left tripped (%q), or with a pin high", got)
						}
						if err := r.c.Contactor().Set(true); err != nil {
							t.Errorf("set true after the test: %v", err)
						}
						if n := len(r.chip.History("GPIO17")); n > 3 {
							t.Errorf("the relay moved during the test: %v", r.chip.History("GPIO17"))
						}
						return
					default:
						p, _ := r.c.(hal.Protection)
						if got, _, err := p.Tripped(); got != "" || err != nil {
							t.Errorf("a trip by the test was reported: %q, %v", got, err)
						}
						if err := r.c.Contactor().Set(true); err == nil || r.chip.Level("GPIO17") {
							t.Errorf("closed while a real trip would not be seen: %v", err)
						}
					}
				}
			})
		})
	}
}

func TestSelfTestThatFailsLeavesTheTestOff(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(*testing.T, *rcd) context.Context
		want    string
		tested  bool // the test pin was high
	}{
		"does not trip": {func(t *testing.T, r *rcd) context.Context { t.Helper(); r.stuck = true; return t.Context() }, "did not trip", true},
		"stays tripped": {func(t *testing.T, r *rcd) context.Context { t.Helper(); r.faulty = true; return t.Context() }, "still tripped; reset the device by hand", true},
		"tripped before": {func(t *testing.T, r *rcd) context.Context {
			t.Helper()
			r.chip.Drive("GPIO6", true)
			_ = r.tripped(t)
			return t.Context()
		}, "tripped already; reset it first", false},
		"contactor closed": {func(t *testing.T, r *rcd) context.Context {
			t.Helper()
			if err := r.c.Contactor().Set(true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(hal.MaxContactorDelay)
			return t.Context()
		}, "the contactor is not open; open it first", false},
		"contactor welded": {func(t *testing.T, r *rcd) context.Context {
			t.Helper()
			r.held[0].Store(1)
			r.show(0, true)
			_ = r.tripped(t)
			return t.Context()
		}, "the contactor is not open; open it first", false},
		"unreadable": {func(t *testing.T, r *rcd) context.Context {
			t.Helper()
			r.chip.FailReads(errors.New("input/output error"))
			t.Cleanup(func() { r.chip.FailReads(nil) })
			time.Sleep(10 * time.Millisecond)
			return t.Context()
		}, "the contactor is not open; open it first", false},
		"cancelled": {func(t *testing.T, r *rcd) context.Context {
			t.Helper()
			r.stuck = true
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx
		}, context.Canceled.Error(), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRCD(t, nil)
				ctx := row.prepare(t, r)
				if err := r.device(t).SelfTest(ctx); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v; want an error with %q", err, row.want)
				}
				if r.chip.Level("GPIO20") || r.chip.Level("GPIO21") {
					t.Error("a pin of the device is still high")
				}
				if tested := len(r.chip.History("GPIO20")) > 2; tested != row.tested {
					t.Errorf("tested: got %v, want %v", tested, row.tested)
				}
				if r.faulty && r.tripped(t) != charge.FaultGroundFault {
					t.Error("a device that stays tripped after its test is not reported")
				}
			})
		})
	}
}

func TestResetClearsATripOrReportsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRCD(t, nil)
		r.chip.Drive("GPIO6", true)
		if got := r.tripped(t); got != charge.FaultGroundFault {
			t.Fatalf("got %q", got)
		}
		r.faulty = true
		if err := r.device(t).Reset(); err == nil || !strings.Contains(err.Error(), "by hand") {
			t.Errorf("reset of a device that stays tripped: got %v", err)
		}
		r.faulty = false
		if err := r.device(t).Reset(); err != nil {
			t.Error(err)
		}
		if got := r.tripped(t); got != "" {
			t.Errorf("after the reset: got %q", got)
		}
	})
}

func TestWithoutAFeedbackContactTheCommandCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRCD(t, func(o *rpi.Outlet) { o.Feedback = "" })
		if err := r.c.Contactor().Set(true); err != nil {
			t.Fatal(err)
		}
		if err := r.device(t).SelfTest(t.Context()); err == nil || !strings.Contains(err.Error(), "the contactor is not open") {
			t.Errorf("tested under power: %v", err)
		}
		if err := r.c.Contactor().Set(false); err != nil {
			t.Fatal(err)
		}
		if err := r.device(t).SelfTest(t.Context()); err != nil {
			t.Errorf("without power: %v", err)
		}
	})
}
