package operator_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/operator"
)

// fakeCentral answers each request with the next of its answers: a status, or 0 for
// none at all. The last one is that of all the others.
type fakeCentral struct {
	mu       sync.Mutex
	answers  []int
	received []string // method, path, key and body
}

func (c *fakeCentral) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = append(c.received, strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("Idempotency-Key"), string(body)}, " "))
	status := c.answers[0]
	if len(c.answers) > 1 {
		c.answers = c.answers[1:]
	}
	if status == 0 {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"session_id":"s-1"}`)
}

// requests returns those received so far. A client may have its answer before the
// handler has returned.
func (c *fakeCentral) requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.received)
}

// TestAnOrderIsRepeatedWithItsKey while its answer is missing, and no longer.
func TestAnOrderIsRepeatedWithItsKey(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int
		calls   int
		refused int // the status of the error; 0 for none, -1 for one without
	}{
		"answered":          {[]int{202}, 1, 0},
		"lost and answered": {[]int{0, 202}, 2, 0},
		"503 and answered":  {[]int{503, 0, 202}, 3, 0},
		"refused":           {[]int{409, 202}, 1, 409},
		"never answered":    {[]int{0}, 3, -1},
		"503 for ever":      {[]int{503}, 3, 503},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeCentral{answers: c.answers}
			server := httptest.NewServer(f)
			defer server.Close()
			api := operator.New(strings.TrimPrefix(server.URL, "http://"), 5*time.Second)
			defer api.Close()
			id, err := api.StartSession(t.Context(), "CP_1", 1, "ann")
			if got := statusOf(err); got != c.refused || c.refused == 0 && id != "s-1" {
				t.Errorf("got %q %v, want status %d", id, err, c.refused)
			}
			received := f.requests()
			if len(received) != c.calls {
				t.Fatalf("%d calls, want %d: %q", len(received), c.calls, received)
			}
			for _, h := range received {
				if h != received[0] || strings.Contains(h, "  ") {
					t.Errorf("got %q and %q, want the same with a key", received[0], h)
				}
			}
		})
	}
}

func statusOf(err error) int {
	if refused, ok := errors.AsType[*operator.RefusedError](err); ok {
		return refused.Status
	}
	if err != nil {
		return -1
	}
	return 0
}

// TestEachOrderHasItsOwnKey, and what only reads has none.
func TestEachOrderHasItsOwnKey(t *testing.T) {
	f := &fakeCentral{answers: []int{202}}
	server := httptest.NewServer(f)
	defer server.Close()
	api := operator.New(strings.TrimPrefix(server.URL, "http://"), 5*time.Second)
	defer api.Close()
	for range 2 {
		if err := errors.Join(api.StopSession(t.Context(), "s"), api.CancelReservation(t.Context(), "r")); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[string]bool{}
	for _, h := range f.requests() {
		keys[strings.Split(h, " ")[2]] = true
	}
	if len(keys) != 4 || keys[""] {
		t.Errorf("got the keys %v, want four", keys)
	}
	_, err := api.Network(t.Context())
	if last := f.requests()[4]; err != nil || last != "GET /api/v1/network  " {
		t.Errorf("got %q %v, want no key", last, err)
	}
}
