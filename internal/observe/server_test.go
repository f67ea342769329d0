package observe_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is the body of /livez and /readyz.
type answer struct {
	OK     bool
	Checks []health.Status
}

func ask(t *testing.T, h http.Handler, path string, status int) answer {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	var a answer
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code != status || a.OK != (status == http.StatusOK) {
		t.Errorf("%s: got %d %s %v, want %d", path, rec.Code, rec.Body, err, status)
	}
	return a
}

func TestReadyNamesWhatIsMissingAndSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kafka atomic.Bool
		s := observe.NewServer("carga_x_", func(r *health.Registry) {
			r.Set("kafka", kafka.Load(), "connection refused")
			r.Put(health.Status{Name: "uplink", Informational: true, Since: time.Unix(1, 0), Reason: "no broker"})
		}, func() []metrics.Family { return nil }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		defer running.Wait()
		defer cancel()
		h := s.Handler(nil)

		began := time.Now()
		synctest.Wait()
		time.Sleep(2500 * time.Millisecond)
		a := ask(t, h, "/readyz", http.StatusServiceUnavailable)
		if len(a.Checks) != 3 || a.Checks[0].Name != "kafka" || a.Checks[0].Reason != "connection refused" || !a.Checks[0].Since.Equal(began) {
			t.Errorf("got %+v, want kafka down since %s", a.Checks, began)
		}
		kafka.Store(true)
		time.Sleep(1500 * time.Millisecond) // evaluated without a request
		up := time.Now().Add(-time.Second)
		time.Sleep(time.Minute)
		a = ask(t, h, "/readyz", http.StatusOK)
		if k := a.Checks[0]; !k.Up || k.Reason != "" || k.Since.After(up) {
			t.Errorf("got %+v, want kafka up since %s at most", k, up)
		}
		if u := a.Checks[2]; u.Name != "uplink" || u.Up || !u.Informational || u.Reason != "no broker" {
			t.Errorf("informational check: got %+v", u)
		}
	})
}

func TestAliveNamesTheLoopThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := observe.NewServer("carga_x_", func(*health.Registry) {}, func() []metrics.Family { return nil }, slog.New(slog.DiscardHandler))
		good, bad := s.Loop("good"), s.LoopWithin("bad", 3*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		defer running.Wait()
		defer cancel()
		h := s.Handler(nil)
		beat := func(n int, loops ...*health.Loop) {
			for range n {
				time.Sleep(time.Second)
				for _, o := range loops {
					o.Beat()
				}
			}
		}
		beat(30, good, bad)
		ask(t, h, "/livez", http.StatusOK)
		stuck := time.Now()
		beat(4, good)
		a := ask(t, h, "/livez", http.StatusServiceUnavailable)
		if b := a.Checks[0]; b.Name != "bad" || b.Up || !b.Since.Equal(stuck) || !strings.Contains(b.Reason, "no progress for 4s") {
			t.Errorf("got %+v, want bad to hang since %s", b, stuck)
		}
		r := ask(t, h, "/readyz", http.StatusServiceUnavailable)
		if l := r.Checks[0]; l.Name != "loops" || l.Reason != "these hang: bad" || !l.Since.Equal(stuck.Add(3*time.Second)) {
			t.Errorf("ready while a loop hangs: got %+v", l)
		}
		bad.Beat()
		ask(t, h, "/livez", http.StatusOK)
		ask(t, h, "/readyz", http.StatusOK)
	})
	var unwatched *health.Loop
	unwatched.Beat()
}

// A check that blocks is reported: the last result of the checks is out of date.
func TestAliveReportsThatTheChecksHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := observe.NewServer("carga_x_", func(*health.Registry) { <-release }, func() []metrics.Family { return nil }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		time.Sleep(time.Minute)
		if a := ask(t, s.Handler(nil), "/livez", http.StatusServiceUnavailable); a.Checks[0].Name != "checks" {
			t.Errorf("got %+v, want the loop of the checks to hang", a.Checks)
		}
		close(release)
		cancel()
		running.Wait()
	})
}

func problems(t *testing.T, o observe.Config) []config.Fault {
	t.Helper()
	c := struct{ Observe checked }{checked{o}}
	err := config.Load(&c.Observe, config.Options{})
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatal(err)
	}
	return e.Faults
}

type checked struct {
	Observe observe.Config `yaml:"observe"`
}

func (c *checked) Validate(p *config.Problems) { c.Observe.Validate(p) }

func TestListenIsLoopbackUnlessInsecure(t *testing.T) {
	for _, c := range []struct {
		o  observe.Config
		ok bool
	}{
		{observe.Config{}, true},
		{observe.Config{Listen: "127.0.0.1:9464"}, true},
		{observe.Config{Listen: "[::1]:0"}, true},
		{observe.Config{Listen: "0.0.0.0:9464"}, false},
		{observe.Config{Listen: "metrics.example:9464"}, false},
		{observe.Config{Listen: "metrics.example:9464", Insecure: true}, true},
		{observe.Config{Listen: "127.0.0.1"}, false},
		{observe.Config{Listen: "127.0.0.1:99999"}, false},
		{observe.Config{Listen: "127.0.0.1:no such service"}, false},
	} {
		faults := problems(t, c.o)
		if (len(faults) == 0) != c.ok {
			t.Errorf("%+v: got %v, want ok %v", c.o, faults, c.ok)
		}
		for _, f := range faults {
			if f.Key != "observe.listen" {
				t.Errorf("%+v: names %q", c.o, f.Key)
			}
		}
	}
	// It would be served until the test ends.
	newServer(slog.New(slog.DiscardHandler)).Serve(t.Context(), observe.Config{Listen: "0.0.0.0:0"}, nil, nil)
}

func newServer(log *slog.Logger) *observe.Server {
	return observe.NewServer("carga_x_", func(r *health.Registry) { r.Up("all") }, func() []metrics.Family {
		return []metrics.Family{metrics.One("carga_x_things", metrics.Gauge, "Things.", 7)}
	}, log)
}

// TestBusyAddressIsServedOnceItIsFree: the log names it with its remedy once,
// and the check of readiness shows since when it is served.
func TestBusyAddressIsServedOnceItIsFree(t *testing.T) {
	var lc net.ListenConfig
	busy, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logged := make(chan string, 10)
	s := newServer(slog.New(slog.NewTextHandler(writerFunc(func(b []byte) { logged <- string(b) }), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(ctx, observe.Config{Listen: busy.Addr().String()}, nil, nil) })
	defer serving.Wait()
	defer cancel()
	if line := <-logged; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "another program uses the port") || !strings.Contains(line, busy.Addr().String()) {
		t.Errorf("got %s, want a warning with address and remedy", line)
	}
	if all, ready := s.Ready(); !ready || !slices.ContainsFunc(all, func(h health.Status) bool { return h.Name == "observe" && !h.Up && h.Informational }) {
		t.Errorf("got %v %+v, want it ready, with the check down", ready, all)
	}
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	if line := <-logged; !strings.Contains(line, "level=INFO") { // and no second warning
		t.Errorf("got %s, want it served", line)
	}
	if body := get(t, busy.Addr(), "localhost", "/readyz", http.StatusOK); !strings.Contains(body, `"observe"`) {
		t.Errorf("got %s", body)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

func TestServe(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(ctx, observe.Config{}, l, nil) })

	body := get(t, l.Addr(), "localhost", "/metrics", http.StatusOK)
	p := expfmt.NewTextParser(model.UTF8Validation)
	got, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	for _, name := range []string{"carga_x_things", "carga_x_build_info", "carga_x_alive", "carga_x_ready", "carga_x_check_up", "carga_x_check_changed_timestamp_seconds"} {
		if got[name] == nil {
			t.Errorf("metric %s is missing", name)
		}
	}
	get(t, l.Addr(), "evil.example", "/metrics", http.StatusMisdirectedRequest)
	get(t, l.Addr(), "localhost", "/", http.StatusNotFound)
	cancel()
	serving.Wait()
}

func get(t *testing.T, at net.Addr, host, path string, status int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != status {
		t.Errorf("GET %s of %s: got %s %v, want %d", path, host, res.Status, err, status)
	}
	return string(body)
}
