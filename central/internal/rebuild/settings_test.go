package rebuild_test

import (
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/rebuild"
	"github.com/carga-ev/carga/internal/money"
)

// A file of settings from before prices could be finer than a minor unit means
// the same, and is written in the version of now.
func TestOldSettingsMeanTheSame(t *testing.T) {
	old := `{"v":1,"tariffs":[{"version":"hrk-1","start_fee_cents":750,"per_kwh_cents":350,"currency":"HRK","made_at":"2026-11-22T10:00:00.000Z"}]}`
	s, err := rebuild.DecodeSettings([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if k := s.Tariffs[0]; k.StartFee != 750*money.MinorUnit || k.PerKWh != 350*money.MinorUnit || k.Currency != "HRK" {
			t.Errorf("got %+v, want 7.50 and 3.50 HRK", k)
		}
		raw, err := s.Encode()
		if err != nil || strings.Contains(string(raw), "cents") {
			t.Fatalf("%v: %s", err, raw)
		}
		if s, err = rebuild.DecodeSettings(raw); err != nil {
			t.Fatal(err)
		}
	}
}
