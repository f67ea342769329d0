package web_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/internal/charge"
)

// No path is redirected: an address that is written otherwise is not found, in the
// form of all refusals, and nothing is ordered.
func TestPathsAreNotCleaned(t *testing.T) {
	for _, path := range []string{
		"/api", "/api/v1//sessions", "//api/v1/sessions", "//sessions", "/api/v1/../v1/sessions", "/api/v1/./sessions", "/api/v1/sessions/..",
		"/api/v1/sessions//", "/api/v1/%2e%2e/v1/sessions", "/../api/v1/sessions", "/ui/../index.html",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			f := newFixture(t)
			w := f.do(t, method, path, "")
			if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(w.Body.String(), "#not_found") ||
				w.Header().Get("Location") != "" || f.orders.all() != "" {
				t.Errorf("%s %s: got %d %q %s", method, path, w.Code, w.Header(), w.Body)
			}
		}
	}
}

// An order is answered with 202 and the place of its first command, or with 200
// where no command follows.
func TestTheStatusOfAnOrder(t *testing.T) {
	for path, body := range map[string]string{
		"/api/v1/cps/CP_001/admit": "", "/api/v1/sessions/s/settle": "", "/api/v1/cps/CP_001/release": "", "/api/v1/alarms/7/clear": `{"note":"w"}`,
	} {
		f := newFixture(t)
		f.orders.answer = web.Answer{Accepted: true}
		if w := f.do(t, http.MethodPost, path, body); w.Code != http.StatusOK || w.Header().Get("Location") != "" {
			t.Errorf("%s without a command: got %d %q", path, w.Code, w.Header().Get("Location"))
		}
		f.orders.answer.Commands = []charge.CommandID{"k-1"}
		if w := f.do(t, http.MethodPost, path, body); w.Code != http.StatusAccepted || w.Header().Get("Location") != "/api/v1/commands/k-1" {
			t.Errorf("%s with a command: got %d %q", path, w.Code, w.Header().Get("Location"))
		}
	}
}

// What is no request of HTTP is refused before this server sees it, with the status
// that PROTOCOL names.
func TestTheHTTPLayerRefuses(t *testing.T) {
	const head = "POST /api/v1/cps/CP_001/admit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for raw, want := range map[string]int{
		"POST /api/v1/cps/CP_001/admit\r\n\r\n":                             http.StatusBadRequest,
		head + "no header\r\n\r\n":                                          http.StatusBadRequest,
		head + "Expect: wonders\r\nContent-Length: 0\r\n\r\n":               http.StatusExpectationFailed,
		head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n":             http.StatusRequestHeaderFieldsTooLarge,
		head + "Transfer-Encoding: gzip\r\n\r\n":                            http.StatusNotImplemented,
		"POST /api/v1/cps/CP_001/admit HTTP/4.0\r\nHost: localhost\r\n\r\n": http.StatusHTTPVersionNotSupported,
	} {
		onLines(t, func(f *fixture, dial func() net.Conn) {
			if got := statuses(t, dial(), raw); len(got) != 1 || got[0] != want || f.orders.all() != "" {
				t.Errorf("%.80q: answered %v, want %d", raw, got, want)
			}
		})
	}
}
