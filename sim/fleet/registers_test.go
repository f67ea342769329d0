package fleet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/fleet"
)

func open(tb testing.TB, path string) *fleet.Registers {
	tb.Helper()
	r, err := fleet.OpenRegisters(path)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// TestRegistersGoOn: every written value is there after each opening, no
// register goes back, and Metered counts from the first value; also when the
// process ends without Close, or during a write.
func TestRegistersGoOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "registers")
		r := open(t, path)
		first, last := map[int]charge.WattHours{}, map[int]charge.WattHours{}
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				_ = r.Close()
				r = open(t, path)
			case 1:
				_ = r.Close()
				torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					rt.Fatal(err)
				}
				_, _ = torn.Write(make([]byte, rapid.IntRange(1, 15).Draw(rt, "torn")))
				_ = torn.Close()
				r = open(t, path)
			default:
				n := rapid.IntRange(0, len(last)).Draw(rt, "meter")
				v := charge.WattHours(rapid.Int64Range(0, 10_000).Draw(rt, "register"))
				r.Put(n, v)
				if _, known := first[n]; !known {
					first[n], last[n] = v, v
				}
				last[n] = max(last[n], v)
			}
			var metered charge.WattHours
			for n := range last {
				if got, ok := r.Get(n); !ok || got != last[n] {
					rt.Fatalf("meter %d is at %d (%v), want %d", n, got, ok, last[n])
				}
				metered += last[n] - first[n]
			}
			if got := r.Metered(); got != metered || r.Len() != len(last) {
				rt.Fatalf("metered %d with %d meters, want %d with %d", got, r.Len(), metered, len(last))
			}
		}
	})
}

func TestRegistersRefuseAGapAndDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registers")
	r := open(t, path)
	r.Put(1, 5)
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "slot 1") {
		t.Errorf("a meter before the first: %v", err)
	}
	if err := os.WriteFile(path, []byte("sixteen bytes !!"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.OpenRegisters(path); err == nil || !strings.Contains(err.Error(), "slot 0") {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	held, err := fleet.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Lock(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("locked twice: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := fleet.Lock(dir)
	if err != nil {
		t.Fatalf("not given back: %v", err)
	}
	_ = again.Close()
}
