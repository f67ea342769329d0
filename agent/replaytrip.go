package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/safety"
)

// showTrip prints a trip: why, and below it the values of the first and the last tick,
// and between them what changed.
func (t *timeline) showTrip(i *recorder.Item) {
	ticks := i.Trip.Ticks
	last := &ticks[len(ticks)-1]
	_, _ = fmt.Fprintf(t.w, "%s %12s  Trip of connector %d:%s\n", i.Now.Wall, uptime(i), i.Trip.Connector, why(&last.Verdict))
	if i.Trip.LeftOut > 0 {
		_, _ = fmt.Fprintf(t.w, "%13s %d trips before it are not recorded\n", "", i.Trip.LeftOut)
	}
	var was []string // values without their ages
	for n := range ticks {
		k := &ticks[n]
		all, now := values(k), values(new(still(*k)))
		shown := all
		if n > 0 && k != last && !t.all {
			shown = nil
			for i, v := range now {
				if !slices.Contains(was, v) {
					shown = append(shown, all[i])
				}
			}
		}
		if was = now; len(shown) > 0 {
			_, _ = fmt.Fprintf(t.w, "%12.3fs %s\n", (k.In.Now - last.In.Now).Seconds(), strings.Join(shown, ", "))
		}
	}
}

// why is why power is withheld.
func why(v *safety.Verdict) (s string) {
	for _, f := range v.Faults.List() {
		s += " " + string(f)
	}
	if v.Withheld != "" {
		s += " " + v.Withheld
	}
	if v.Input != "" {
		s += " " + v.Input
	}
	return s
}

// still is a tick without the ages, which change in each one.
func still(k safety.Tick) safety.Tick {
	in := &k.In
	for _, i := range []*safety.Input{&in.PilotIn, &in.EStopIn, &in.ContactIn, &in.TrippedIn, &in.LockIn, &in.ThermalIn, &in.CableIn, &in.MeterIn} {
		i.Age = 0
	}
	return k
}

// values are the inputs of a tick with their ages, and what the rules decided.
func values(k *safety.Tick) (all []string) {
	in, v := &k.In, &k.Verdict
	add := func(fitted bool, name string, i safety.Input, value string) {
		switch {
		case !fitted || i.NotFitted:
		case !i.OK:
			all = append(all, name+" unreadable")
		default:
			all = append(all, fmt.Sprintf("%s %s (%s)", name, value, i.Age.Round(time.Millisecond)))
		}
	}
	add(true, "pilot", in.PilotIn, in.Pilot.String())
	add(true, "contactor_feedback", in.ContactIn, word(in.Closed, "closed", "open"))
	add(true, "emergency_stop", in.EStopIn, word(in.Pressed, "pressed", "released"))
	add(true, "protection", in.TrippedIn, word(in.Tripped == "", "untripped", string(in.Tripped)))
	add(in.Fitted.Lock, "lock", in.LockIn, word(in.Locked, "locked", word(in.Unlocked, "unlocked", "between")))
	add(in.Fitted.Cable, "cable", in.CableIn, fmt.Sprint(in.Cable, " mA"))
	add(in.Fitted.Thermal, "temperature", in.ThermalIn, fmt.Sprintf("%.1f °C", float64(in.Temperature)/1000))
	add(in.Fitted.Meter, "meter", in.MeterIn, fmt.Sprint(in.Current, " mA"))
	if !v.Limit.None() {
		all = append(all, fmt.Sprintf("limit %d mA (%s)", v.Limit.Current, v.Limit.By))
	}
	flag := func(is bool, name string) {
		if is {
			all = append(all, name)
		}
	}
	flag(in.WriteFailed, "contactor_output failed")
	flag(in.Testing, "self-test")
	flag(in.ResetLatch || in.ResetStop, "reset")
	flag(v.Late, fmt.Sprintf("%s after the tick before", in.Gap.Round(time.Millisecond)))
	return append(all, word(in.Permit, "permitted", "not permitted"), word(in.Commanded, "commanded closed", "commanded open"),
		"→ "+word(v.Close, "close", "open")+why(v))
}

// word is yes or no.
func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
