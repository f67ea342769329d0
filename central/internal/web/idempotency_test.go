package web_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/carga-ev/carga/central/internal/web"
)

// TestIdempotencyKeyIsPassedOn: Orders receives the key of each order with a
// fingerprint of the whole request; the order itself is the same as without a key.
func TestIdempotencyKeyIsPassedOn(t *testing.T) {
	seen := map[web.Idempotency]string{}
	for _, c := range []struct{ path, body string }{
		{"/api/v1/reservations", `{"username":"d"}`},
		{"/api/v1/reservations", `{"username":"e"}`},
		{"/api/v1/reservations", `{"username": "d"}`},
		{"/api/v1/reservations/x/cancel", ``},
		{"/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"d"}`},
		{"/api/v1/sessions/x/stop", ``},
		{"/api/v1/sessions/y/stop", ``},
		{"/api/v1/availability", `{"all":true,"available":false}`},
		{"/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"plug"}`},
		{"/api/v1/cps/CP_001/admit", ``},
		{"/api/v1/cps/CP_001/pass-next", ``},
		{"/api/v1/cps/CP_001/release", ``},
		{"/api/v1/sessions/x/settle", ``},
		{"/api/v1/gaps/7/explain", `{"note":"w"}`},
		{"/api/v1/alarms/7/clear", `{"note":"w"}`},
		{"/api/v1/central/lift-fence", ``},
	} {
		f := newFixture(t)
		var received []string
		for _, key := range []string{"a key ~", "a key ~", ""} {
			change := func(*http.Request) {}
			if key != "" {
				change = header("Idempotency-Key", key)
			}
			if w := f.do(t, http.MethodPost, c.path, c.body, change); w.Code >= 300 {
				t.Fatalf("%s: %d %s", c.path, w.Code, w.Body)
			}
			received = strings.Split(f.orders.all(), "; ")
		}
		if got := f.orders.keys; got[0].Key != "a key ~" || got[0] != got[1] || got[2] != (web.Idempotency{}) {
			t.Errorf("%s: got %+v, want twice the same key and then none", c.path, got)
		}
		if received[0] != received[2] {
			t.Errorf("%s: with a key Orders received %q, without %q", c.path, received[0], received[2])
		}
		if before, ok := seen[f.orders.keys[0]]; ok {
			t.Errorf("%s %s has the fingerprint of %s", c.path, c.body, before)
		}
		seen[f.orders.keys[0]] = c.path + " " + c.body
	}
}

// TestABodyThatBreaksOff: a body that is valid JSON but broke off has no effect,
// with a key or without.
func TestABodyThatBreaksOff(t *testing.T) {
	for _, key := range []string{"", "k"} {
		f := newFixture(t)
		w := f.do(t, http.MethodPost, "/api/v1/sessions", "{}", func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(
				strings.NewReader(`{"cp_id":"CP_001","connector":1,"username":"d"}`), iotest.ErrReader(io.ErrUnexpectedEOF)))
			if key != "" {
				r.Header.Set("Idempotency-Key", key)
			}
		})
		if received := f.orders.all(); w.Code < 400 || received != "" {
			t.Errorf("key %q: got %d %s, and Orders received %q", key, w.Code, w.Body, received)
		}
	}
}

// TestTheKeyIsDescribed: the description of each order has the header.
func TestTheKeyIsDescribed(t *testing.T) {
	w := newFixture(t).do(t, http.MethodGet, "/api/v1/openapi.json", "")
	if got, want := strings.Count(w.Body.String(), `"name":"Idempotency-Key"`), 23; got != want {
		t.Errorf("described at %d operations, want %d", got, want)
	}
}
