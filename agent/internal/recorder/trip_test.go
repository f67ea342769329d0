package recorder

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

// stopped is a trip by the emergency stop, after as many ticks as a trip has.
func stopped() safety.Trip {
	t := safety.Trip{Connector: 1, Limits: safety.DefaultLimits()}
	now, s, v := time.Hour, safety.State{}, safety.Verdict{}
	for i := range 200 {
		now += 10*time.Millisecond + time.Duration(i%7)*12345
		age := func(n int) safety.Input { return safety.Input{OK: true, Age: time.Duration((i*n)%9) * 1234567} }
		in := safety.Inputs{
			Now: now, Gap: 10 * time.Millisecond, Permit: true, Offer: true, Commanded: v.Close, Closed: v.Close,
			Pilot: charge.PilotC, PilotIn: age(1), EStopIn: age(2), ContactIn: age(3), TrippedIn: age(4), CableIn: age(5), ThermalIn: age(6),
			MaxCurrent: 32_000, Cable: 20_000, Temperature: 25_000, Current: charge.MilliAmps(i), MeterIn: age(7), Pressed: i == 199,
			Fitted: safety.Fitted{Cable: true, Thermal: true, Meter: true, Steered: true},
		}
		if i == 100 {
			t.Before = s
		}
		s, v = safety.Step(t.Limits, s, in)
		if i >= 100 {
			t.Ticks = append(t.Ticks, safety.Tick{In: in, Verdict: v})
		}
	}
	return t
}

// shown are the trips that a replay shows, and their differences.
func shown(t *testing.T, ring journal.ReadFS) (trips []safety.Trip, differences string) {
	t.Helper()
	if _, err := Replay(ring, func(i Item) error {
		if i.Trip != nil {
			trips, differences = append(trips, *i.Trip), differences+i.Difference
			if i.Now.Wall != 1_790_000_000_000 || i.Now.At != i.Trip.Ticks[len(i.Trip.Ticks)-1].In.Now {
				t.Errorf("at %s, %s", i.Now.Wall, i.Now.At)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return trips, differences
}

// TestTrip: a trip is read as it was recorded, and decided again. It is synced at once:
// power may be gone next. What is damaged before it does not matter.
func TestTrip(t *testing.T) {
	want := stopped()
	if last := want.Ticks[99].Verdict; !want.Ticks[98].Verdict.Close || !last.Faults.Has(charge.FaultEmergencyStop) {
		t.Fatalf("no trip: %+v", want.Ticks[98:])
	}
	for _, tc := range []struct {
		name       string
		change     func([]byte) []byte
		difference string
	}{
		{"nothing", func(b []byte) []byte { return b }, ""},
		{"a bit in the boot", func(b []byte) []byte { b[strings.Index(string(b), `"boot"`)] ^= 1; return b }, ""},
		{"another decision", planted(`"Verdict":{"Close":true`, `"Verdict":{"Close":false`), `tick 1 of 100: recorded {"Close":false}, this version decides {"Close":true}`},
		{"another input", planted(`"Pressed":true`, `"Pressed":false`), `tick 100 of 100: recorded {"Close":false,"Faults":1}, this version decides {"Close":true,"Faults":0}`},
		{"another limit", planted(`"MaxAge":100000000`, `"MaxAge":1`), `this version decides {"Close":false`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ring, synced := countSyncs()
			record(ring, func(r *rig) {
				plugs(1)(r)
				r.Trip(1_790_000_000_000, stopped())
				plugs(1)(r)
			})
			change(t, ring, first, tc.change)
			trips, difference := shown(t, ring)
			if len(trips) != 1 || *synced != 1 || !strings.Contains(difference, tc.difference) || (tc.difference == "") != (difference == "") {
				t.Fatalf("%d trips, %d syncs, difference %q", len(trips), *synced, difference)
			}
			if tc.difference == "" && !reflect.DeepEqual(trips[0], want) {
				t.Errorf("recorded %+v, read %+v", want, trips[0])
			}
		})
	}
}

// TestTripOfAnySort: each field of a trip is recorded, whatever it is. A field that is
// not exported would be missing.
func TestTripOfAnySort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	for range 200 {
		want := safety.Trip{Ticks: make([]safety.Tick, 5)}
		fill(t, rng, reflect.ValueOf(&want).Elem(), "Trip")
		l, err := (&trip{0, want}).encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.decode()
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("%v: recorded %+v, read %+v", err, want, got)
		}
	}
}

// fill sets every field to some value.
func fill(t *testing.T, rng *rand.Rand, v reflect.Value, path string) {
	t.Helper()
	if !v.CanSet() {
		t.Fatalf("%s is not exported", path)
	}
	switch n := rng.IntN(3); v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, rng, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(t, rng, v.Index(i), path)
		}
	case reflect.String:
		v.SetString([]string{"", "a", "b"}[n])
	case reflect.Bool:
		v.SetBool(n > 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n - 1))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(n)) //nolint:gosec // not negative
	default:
		t.Fatalf("%s is a %s; extend this test", path, v.Kind())
	}
}

// TestSizeOfATrip: what OPERATIONS states.
func TestSizeOfATrip(t *testing.T) {
	ring := journaltest.New()
	var before, after int64
	record(ring, func(r *rig) {
		plugs(1)(r)
	})
	record(ring, func(r *rig) {
		plugs(1)(r)
		r.Trip(1_790_000_000_000, stopped())
	})
	before, err := sizeOf(ring, first)
	if err == nil {
		after, err = sizeOf(ring, "000000000002.ring")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", after-before)
	if after-before > 32<<10 {
		t.Errorf("a trip has %d bytes", after-before)
	}
}

// TestTripsThatDoNotFit: the control loop's part never waits for a slow disk. The next
// trip states how many are missing.
func TestTripsThatDoNotFit(t *testing.T) {
	ring := journaltest.New()
	synctest.Test(t, func(*testing.T) {
		blocked := make(chan struct{})
		ring.Fault = func(o journaltest.Op) error {
			if o.Kind == journaltest.Write {
				<-blocked
			}
			return nil
		}
		record(ring, func(r *rig) {
			synctest.Wait()
			for range queuedTrips + 3 {
				r.Trip(1_790_000_000_000, stopped())
			}
			close(blocked)
			synctest.Wait()
			r.Trip(1_790_000_000_000, stopped())
		})
	})
	trips, differences := shown(t, ring)
	if len(trips) != queuedTrips+1 || trips[queuedTrips].LeftOut != 3 || differences != "" {
		t.Errorf("%d trips, %+v", len(trips), differences)
	}
}

// TestRingsOfEarlierVersions: this version reads what earlier ones have recorded.
func TestRingsOfEarlierVersions(t *testing.T) {
	rings, err := filepath.Glob("testdata/earlier/*.ring")
	if err != nil || len(rings) == 0 {
		t.Fatalf("no ring: %v", err)
	}
	trips := 0
	for _, path := range rings {
		raw, err := os.ReadFile(path) //nolint:gosec // a file of this package
		if err != nil {
			t.Fatal(err)
		}
		events := map[string]bool{}
		r, err := ReplayFile(path, raw, func(i Item) error {
			if i.Event != nil {
				events[reflect.TypeOf(i.Event).Name()] = true
			}
			return nil
		})
		// Later versions may do something else, and report it.
		trips += r.Trips
		if err != nil || r.Damaged > 0 || r.Steps < 10 || !events["PilotChanged"] || !events["FaultSeen"] || !events["PowerWithheld"] {
			t.Errorf("%s: %+v, %v, %v", path, r, events, err)
		}
	}
	if trips == 0 {
		t.Error("none has a trip")
	}
}
