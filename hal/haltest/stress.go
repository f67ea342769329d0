package haltest

import (
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
)

// stressChecks call all methods at once, for the race detector.
func stressChecks() []check {
	return []check{{name: "every method on its own goroutine", run: checkTogether}}
}

// checkTogether: every method may be called from a goroutine of its own, and
// SafeState still opens afterwards.
func checkTogether(r *rig) {
	// Every method of package hal, except Close: it would make all others errors.
	var calls []func()
	for _, n := range r.numbers() {
		c := r.connector(n)
		calls = append(calls,
			func() { _ = c.Contactor().Set(true) },
			func() { _ = c.Contactor().Set(false) },
			func() { _ = c.Contactor().Commanded() },
			func() { _, _, _ = c.Contactor().Feedback() },
			func() { _, _, _ = c.Pilot().State() },
			func() { _ = c.Pilot().SetAvailable(true) },
			func() { _, _ = c.Meter().Read(r.Context()) },
			func() { _, _ = c.Meter().Identity() },
		)
		if p, ok := c.(hal.Protection); ok {
			calls = append(calls, func() { _, _, _ = p.Tripped() })
		}
	}
	calls = append(calls,
		func() { _ = r.Info() },
		func() { _ = r.Mono() },
		func() { _ = r.SafeState() },
		func() { r.kick() },
		func() {
			if e, err := r.EStop(); err == nil {
				_, _, _ = e.Pressed()
			}
		},
	)
	// The results are not checked: the race detector and the end are the test.
	var all sync.WaitGroup
	for _, call := range calls {
		all.Go(func() {
			for range 30 {
				call()
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	if err := r.SafeState(); err != nil {
		r.Errorf("safe state: %v", err)
	}
	r.advance(hal.MaxContactorDelay)
	r.wantOpen("after SafeState among all other calls")
}
