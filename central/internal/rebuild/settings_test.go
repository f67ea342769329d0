package rebuild_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/rebuild"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// TestSettingsOfVersion2 reads gaps under their name of versions 1 and 2, and
// refuses each name in a file of the other version.
func TestSettingsOfVersion2(t *testing.T) {
	const list = `[{"cp_id":"CP_1","journal":"j","first":3,"last":5,"cause":"damaged"}]`
	for file, want := range map[string]string{
		`{"v":1,"holes":` + list + `}`: "",
		`{"v":2,"holes":` + list + `}`: "",
		`{"v":3,"gaps":` + list + `}`:  "",
		`{"v":3,"holes":` + list + `}`: `use "gaps"`,
		`{"v":2,"gaps":` + list + `}`:  `use "holes"`,
		`{"v":4,"gaps":` + list + `}`:  "",
		`{"v":5,"gaps":` + list + `}`:  "",
		`{"v":6,"gaps":` + list + `}`:  "",
		`{"v":7,"gaps":` + list + `}`:  "want 1 to 6",
	} {
		s, err := rebuild.DecodeSettings([]byte(file))
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", file, err, want)
			}
			continue
		}
		if err != nil || len(s.Gaps) != 1 || s.Gaps[0].First != 3 || s.Gaps[0].Cause != "damaged" {
			t.Errorf("%s: got %+v %v", file, s, err)
			continue
		}
		raw, err := s.Encode()
		if err != nil || strings.Contains(string(raw), `"holes"`) || !strings.Contains(string(raw), `"v": 6`) {
			t.Errorf("%s: written as %s (%v)", file, raw, err)
		}
	}
}

// TestGroupsInSettings: a group is read as it was written, and what cannot be one is
// refused by its place in the file.
func TestGroupsInSettings(t *testing.T) {
	g := orders.Group{ID: "g-1", Name: "hall", Limit: 63_000, CPs: []charge.CPID{"CP_1", "CP_2"}, Version: 3, ChangedAt: 5_000}
	s := rebuild.Settings{Groups: []rebuild.Group{rebuild.NewGroup(&g)}}
	raw, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := rebuild.DecodeSettings(raw)
	if err != nil || !reflect.DeepEqual(got.Groups, s.Groups) {
		t.Errorf("got %+v %v, from %s", got.Groups, err, raw)
	}
	const group = `{"group_id":"g","name":"hall","limit_ma":6000,"version":1,"cps":["CP_1"]}`
	for file, want := range map[string]string{
		`{"v":5,"groups":[` + group + `]}`: "belong to version 6",
		`{"v":6,"groups":[` + group + `,{"group_id":"h","name":"yard","limit_ma":6000,"version":1,"cps":["CP_1"]}]}`: "groups[1].cps[0]: CP_1 is in groups[0]",
		`{"v":6,"groups":[{"group_id":"g","name":"a","version":1},{"group_id":"g","name":"b","version":1}]}`:         "groups[1].group_id",
		`{"v":6,"groups":[{"group_id":"g","name":" ","version":1}]}`:                                                 "groups[0] is none",
		`{"v":6,"groups":[{"group_id":"","name":"a","version":1}]}`:                                                  "groups[0] is none",
		`{"v":6,"groups":[{"group_id":"g","name":"a"}]}`:                                                             "groups[0] is none",
		`{"v":6,"groups":[{"group_id":"g","name":"a","version":1,"limit_ma":-1}]}`:                                   "groups[0] is none",
		`{"v":6,"groups":[{"group_id":"g","name":"a","version":1,"cps":["a b"]}]}`:                                   "groups[0].cps[0] is none",
	} {
		if _, err := rebuild.DecodeSettings([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
}

// TestOldSettingsMeanTheSame reads prices in whole minor units, the only ones of
// version 1, and writes them in the present form.
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

// TestTariffsInSettings: every field of a version is exported and read, and a file of an
// earlier program is valid from when the version was made.
func TestTariffsInSettings(t *testing.T) {
	all := ledger.Tariff{Version: "t2", StartFee: 1, PerKWh: 2, PerMinute: 3, PerIdleMinute: 4, Tax: 1900, Currency: "EUR", ValidFrom: 7_000}
	s := rebuild.Settings{Tariffs: []rebuild.Tariff{rebuild.NewTariff(all, 5_000)}}
	raw, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := rebuild.DecodeSettings(raw)
	if err != nil || len(got.Tariffs) != 1 || got.Tariffs[0] != rebuild.NewTariff(all, 5_000) {
		t.Errorf("got %+v %v, from %s", got.Tariffs, err, raw)
	}
	for _, bad := range []string{`"per_minute_e4":-1`, `"per_idle_minute_e4":-1`, `"tax_e4":10001`, `"tax_e4":-1`} {
		if _, err := rebuild.DecodeSettings([]byte(`{"v":4,"tariffs":[{"version":"t2","currency":"EUR",` + bad + `}]}`)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
