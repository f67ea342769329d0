package observe

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/loopback"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/process"
)

// defaultLimit is how long a loop may make no progress by default. It is this
// long because a slow disk can block a loop for seconds.
const defaultLimit = 15 * time.Second

// The checks and the loop that every program has.
const (
	checkLoops   = "loops"   // all loops make progress
	checkObserve = "observe" // the endpoints are served at their address
	loopChecks   = "checks"  // the loop of Server.Run
)

// Server answers whether a program is alive, whether it is ready, and what its
// metrics are. Its methods may be called concurrently.
type Server struct {
	loops    *health.Loops
	checks   *health.Registry
	evaluate func(*health.Registry)
	running  *health.Loop // Run itself
	prefix   string
	families func() []metrics.Family
	log      *slog.Logger
}

// NewServer returns a server that serves nothing yet.
//
// evaluate reads the state of the program and sets each check of the registry.
// It is called each second and for each request, by several goroutines, and must
// not block. families returns the program's own metrics; prefix, such as
// carga_bridge_, begins the names of all. log is the program's logger, whose
// lost lines are a metric.
func NewServer(prefix string, evaluate func(*health.Registry), families func() []metrics.Family, log *slog.Logger) *Server {
	s := &Server{loops: health.NewLoops(), checks: health.NewRegistry(), evaluate: evaluate, prefix: prefix, families: families, log: log}
	s.running = s.loops.Add(loopChecks, defaultLimit)
	return s
}

// Loop starts to watch a loop with the default limit.
func (s *Server) Loop(name string) *health.Loop { return s.loops.Add(name, defaultLimit) }

// LoopWithin starts to watch a loop that hangs after limit without progress.
func (s *Server) LoopWithin(name string, limit time.Duration) *health.Loop {
	return s.loops.Add(name, limit)
}

// Run evaluates all checks each second until ctx ends, so that Since of each
// check is right even if no request comes.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(health.BeatEvery)
	defer tick.Stop()
	for {
		s.refresh()
		s.running.Beat()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh evaluates all checks now.
func (s *Server) refresh() {
	hung := s.loops.Hung()
	s.checks.Set(checkLoops, len(hung) == 0, "these hang: "+strings.Join(hung, ", "))
	s.evaluate(s.checks)
}

// Ready returns all checks, and whether all that are not informational are up.
func (s *Server) Ready() ([]health.Status, bool) {
	s.refresh()
	return s.checks.All(), s.checks.Ready()
}

// Alive returns all loops, and whether all of them make progress.
func (s *Server) Alive() ([]health.Status, bool) {
	all := s.loops.All()
	return all, !slices.ContainsFunc(all, func(h health.Status) bool { return !h.Up })
}

// Families returns the metrics of the program and those that every program has.
func (s *Server) Families() []metrics.Family {
	checks, ready := s.Ready()
	_, alive := s.Alive()
	up := metrics.Family{Name: s.prefix + "check_up", Kind: metrics.Gauge, Help: "Whether a check of /readyz is up."}
	since := metrics.Family{Name: s.prefix + "check_changed_timestamp_seconds", Kind: metrics.Gauge, Help: "When a check of /readyz last changed, in Unix time."}
	for _, h := range checks {
		l := []metrics.Label{{Name: "check", Value: h.Name}}
		up.Samples = append(up.Samples, metrics.Sample{Labels: l, Value: metrics.Bool(h.Up)})
		since.Samples = append(since.Samples, metrics.Sample{Labels: l, Value: float64(h.Since.UnixMilli()) / 1000})
	}
	own := []metrics.Family{
		metrics.By(s.prefix+"build_info", metrics.Gauge, "1, labelled with the version of the program.", "version", metrics.At(buildinfo.Version(), 1)),
		metrics.One(s.prefix+"alive", metrics.Gauge, "Whether all loops of the program make progress, as in /livez.", metrics.Bool(alive)),
		metrics.One(s.prefix+"ready", metrics.Gauge, "Whether the program can do its work now, as in /readyz.", metrics.Bool(ready)),
		metrics.One(s.prefix+"log_lost_lines_total", metrics.Counter, "Lines of the log that could not be written, or not in time.", float64(logs.LostLines(s.log))),
		up, since,
	}
	return append(own, s.families()...)
}

// answer is the body of /livez and /readyz.
type answer struct {
	OK     bool            `json:"ok"`
	Checks []health.Status `json:"checks"`
}

// Handler serves GET /livez, /readyz and /metrics. page serves /metrics; nil
// means the text format of package metrics.
func (s *Server) Handler(page http.Handler) http.Handler {
	if page == nil {
		page = http.HandlerFunc(s.text)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) { write(rw)(s.Alive()) })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) { write(rw)(s.Ready()) })
	mux.Handle("GET /metrics", page)
	return mux
}

// Serve serves h at the address of o until ctx ends; nil means Handler(nil). It
// returns at once if there is no address.
//
// A program does its work even if it cannot be observed, so that Serve never
// fails: it retries an address that cannot be opened, and reports the reason in
// the log and as an informational check. given replaces the address and is
// closed at the end.
func (s *Server) Serve(ctx context.Context, o Config, given net.Listener, h http.Handler) {
	if given == nil && o.Listen == "" {
		return
	}
	if h == nil {
		h = s.Handler(nil)
	}
	logged := ""
	down := func(err error) {
		s.checks.SetInformational(checkObserve, false, err.Error())
		if err.Error() == logged || ctx.Err() != nil {
			return
		}
		logged = err.Error()
		s.log.Warn("health and metrics are not served; trying again", slog.String("addr", o.Listen), logs.Err(err))
	}
	if err := loopback.Check(o.Listen, o.Insecure); given == nil && err != nil { // only without Config.Validate
		down(err)
		return
	}
	for l := given; ctx.Err() == nil; l = nil {
		if l == nil {
			if l = process.ListenLater(ctx, o.Listen, down); l == nil {
				return
			}
		}
		s.checks.SetInformational(checkObserve, true, "")
		logged = ""
		if err := o.serve(ctx, l, h, s.log); err != nil {
			down(err)
		}
		if given != nil {
			return
		}
	}
}

func (s *Server) text(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = rw.Write(metrics.AppendText(nil, s.Families())) // fails only if the client has gone
}

// write answers 200 if ok and 503 otherwise, with all checks in both cases.
func write(rw http.ResponseWriter) func([]health.Status, bool) {
	return func(checks []health.Status, ok bool) {
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		body, err := json.MarshalIndent(answer{ok, checks}, "", "  ")
		if err != nil { // cannot happen: the type always encodes
			status, body = http.StatusInternalServerError, []byte(err.Error())
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Cache-Control", "no-store")
		rw.WriteHeader(status)
		_, _ = rw.Write(append(body, '\n')) // fails only if the client has gone
	}
}
