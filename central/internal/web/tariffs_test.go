package web_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestTariffs: versions are listed, added and tried out; what cannot be a price is
// refused with the name of its field, and nothing reaches Orders.
func TestTariffs(t *testing.T) {
	f := newFixture(t)
	f.orders.answer.Commands = nil // none follows
	if w := f.do(t, http.MethodGet, "/api/v1/tariffs", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(),
		`{"version":"t1","currency":"EUR","start_fee":"0.00","per_kwh":"0.4275","per_minute":"0.00","per_idle_minute":"0.00","tax_percent":"19.00","valid_from":"1970-01-01T00:00:00.001Z","state":"current"}`) {
		t.Errorf("list: %d %s", w.Code, w.Body)
	}
	const all = `"currency":"EUR","start_fee":"1","per_kwh":"0.4275","per_minute":"0.02","per_idle_minute":"0.1","tax_percent":"7.7"`
	if w := f.do(t, http.MethodPost, "/api/v1/tariffs", `{"version":"t2",`+all+`,"valid_from":"2026-12-01T00:00:00Z"}`); w.Code != http.StatusCreated ||
		f.orders.all() != "tariff t2 1000000 427500 20000 100000 770 EUR from 1796083200000" {
		t.Errorf("add: %d %s, Orders received %q", w.Code, w.Body, f.orders.all())
	}
	if w := f.do(t, http.MethodPost, "/api/v1/tariffs/preview", `{`+all+`,"from":"2026-11-01T00:00:00Z"}`); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"after":"0.00"`) {
		t.Errorf("preview: %d %s", w.Code, w.Body)
	}
	for _, c := range []struct{ body, want string }{
		{`"currency":"EUX","per_kwh":"1"`, "bad_tariff"},
		{`"currency":"EUR","per_kwh":"1000001"`, "per_kwh"},
		{`"currency":"EUR","per_kwh":"0.4275001"`, "per_kwh"},
		{`"currency":"EUR","per_kwh":"9999999999999999999"`, "per_kwh"},
		{`"currency":"EUR","per_kwh":"1","per_minute":"0.0000001"`, "per_minute"},
		{`"currency":"EUR","per_kwh":"1","tax_percent":"100.01"`, "tax_percent"},
		{`"currency":"EUR","per_kwh":"-1"`, "invalid_request"},
		{`"currency":"EUR","per_kwh":"0,45"`, "invalid_request"},
		{`"currency":"EUR","per_kwh":0.45`, "invalid_request"},
		{`"currency":"EUR"`, "invalid_request"},
	} {
		for _, path := range []string{"/api/v1/tariffs", "/api/v1/tariffs/preview"} {
			f := newFixture(t)
			name := `"version":"t2",`
			if strings.HasSuffix(path, "preview") {
				name = ""
			}
			if w := f.do(t, http.MethodPost, path, `{`+name+c.body+`}`); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), c.want) || f.orders.all() != "" {
				t.Errorf("%s %s: got %d %s, Orders received %q", path, c.body, w.Code, w.Body, f.orders.all())
			}
		}
	}
}
