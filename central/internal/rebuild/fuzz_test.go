package rebuild_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/rebuild"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// FuzzSettings decodes any bytes as settings. What is accepted is strict JSON with
// possible values, and is the same after it is encoded and decoded again.
func FuzzSettings(f *testing.F) {
	s := rebuild.Settings{
		ExportedAt:   morning,
		Tariffs:      []rebuild.Tariff{{Version: "t1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR", MadeAt: 1}},
		Points:       []rebuild.Point{{CPID: "CP_001", Admitted: true}},
		Availability: []rebuild.Availability{{Available: true, AskedAt: morning}, {CPID: "CP_001", Connector: 1}},
		Gaps:         []rebuild.Gap{{CPID: "CP_001", Journal: "j1", First: 3, Last: 5, Cause: ledger.GapForgotten}, {CPID: "CP_001", Journal: "j2", First: 1}},
		Settled:      []rebuild.Settled{{CPID: "CP_001", SessionID: "s1", Tariff: "t1"}},
		Groups:       []rebuild.Group{{ID: "g1", Name: "hall", Limit: 63_000, CPs: []charge.CPID{"CP_001"}, Version: 1}},
	}
	good, err := s.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"v":1}`))
	for from, to := range map[string]string{
		`"admitted": true`: `"admitted": true, "Admitted": false`, `"j1"`: `"a b"`, `"first": 3`: `"first": 7`, `"cp_id": ""`: `"cp_id": "+"`,
		`"session_id": "s1"`: `"session_id": ""`, `"gaps"`: `"gap"`, `"v": 6`: `"v": 3`, `"EUR"`: "\"E\xffR\"",
	} {
		bad := []byte(strings.Replace(string(good), from, to, 1))
		if _, err := rebuild.DecodeSettings(bad); err == nil || bytes.Equal(bad, good) {
			f.Errorf("%s instead of %s was read", to, from)
		}
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := rebuild.DecodeSettings(raw)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "settings: ") {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if err := wire.Check(raw); err != nil {
			t.Fatalf("%q was read: %v", raw, err)
		}
		for _, g := range s.Gaps {
			if !g.CPID.Valid() || !charge.ValidID(string(g.Journal)) || g.Last > 0 && g.First > g.Last {
				t.Fatalf("%q names the gap %+v", raw, g)
			}
		}
		written, err := s.Encode()
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", raw, err)
		}
		back, err := rebuild.DecodeSettings(written)
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v is written as %s\nand read back as %+v (%v)", s, written, back, err)
		}
		if again, err := back.Encode(); err != nil || !bytes.Equal(again, written) {
			t.Fatalf("written twice:\n%s\n%s (%v)", written, again, err)
		}
	})
}
