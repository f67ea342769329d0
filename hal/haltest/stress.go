package haltest

import (
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
)

// stressChecks call all methods at once, for the race detector.
func stressChecks() []testCase {
	return []testCase{{name: "every method on its own goroutine", run: checkTogether}}
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
			func() { _ = c.Pilot().SetCurrent(hal.MinOffer) },
			func() { _, _ = c.Meter().Read(r.Context()) },
			func() { _, _ = c.Meter().Identity() },
		)
		if p, ok := c.(hal.Protection); ok {
			calls = append(calls, func() { _, _, _ = p.Tripped() })
		}
		if l, err := c.Lock(); err == nil {
			calls = append(calls, func() { _ = l.Set(true) }, func() { _ = l.Set(false) }, func() { _, _, _ = l.State() })
		}
		if p, err := c.Proximity(); err == nil {
			calls = append(calls, func() { _, _, _ = p.CableLimit() })
		}
		if g, err := c.GroundFault(); err == nil {
			calls = append(calls, func() { _ = g.SelfTest(r.Context()) }, func() { _ = g.Reset() })
		}
		if h, err := c.Thermal(); err == nil {
			calls = append(calls, func() { _ = h.Sensors() }, func() { _, _, _ = h.Hottest() })
		}
		if p, err := r.Panel(); err == nil {
			calls = append(calls, func() { _ = p.Presses() }, func() { _ = p.Show(n, hal.LightReady) })
		}
	}
	if d, err := r.Reader(); err == nil {
		calls = append(calls, func() { _ = d.Tokens() }, func() { _ = d.Healthy() })
	}
	if w, err := r.Watchdog(); err == nil {
		calls = append(calls, func() { _ = w.Kick() }, func() { _ = w.Disarm() })
	}
	if k, err := r.Clock(); err == nil {
		calls = append(calls, func() { _, _ = k.Now() }, func() { _ = k.Set(time.Now()) })
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
