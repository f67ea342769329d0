package obs

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/loopback"
	"github.com/carga-ev/carga/internal/process"
)

// hangs is how long a loop may not turn by default: a slow disk may hold one up
// for seconds.
const hangs = 15 * time.Second

// Watch is what a program shows of itself: whether it lives, whether it is
// ready, and its metrics.
//
// Alive: all its loops turn. Ready: it can do its work now; it informs, and
// nothing waits for it. Its methods may be called concurrently.
type Watch struct {
	loops    *Loops
	checks   *Registry
	judge    func(*Registry)
	judging  *Loop
	prefix   string
	families func() []Family
	log      *slog.Logger
}

// NewWatch makes a watch. judge looks at the states of the program, which must
// not wait, and says of each check how it is: each second, and whenever
// somebody asks. families are the program's metrics beside those of the watch;
// prefix, such as carga_bridge_, begins the names of all. log is the program's,
// whose lost lines are counted.
func NewWatch(prefix string, judge func(*Registry), families func() []Family, log *slog.Logger) *Watch {
	w := &Watch{loops: NewLoops(), checks: NewRegistry(), judge: judge, prefix: prefix, families: families, log: log}
	w.judging = w.loops.Add("judge", hangs)
	return w
}

// Loop watches a loop.
func (w *Watch) Loop(name string) *Loop { return w.loops.Add(name, hangs) }

// LoopWithin watches a loop that hangs after limit.
func (w *Watch) LoopWithin(name string, limit time.Duration) *Loop { return w.loops.Add(name, limit) }

// Run judges each second until ctx ends, so that it is known since when
// something is as it is.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(TurnEvery)
	defer tick.Stop()
	for {
		w.look()
		w.judging.Turn()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look judges everything now.
func (w *Watch) look() {
	hung := w.loops.Hung()
	w.checks.Judge(checkLoops, len(hung) == 0, "these hang: "+strings.Join(hung, ", "))
	w.judge(w.checks)
}

// Ready returns all checks, and whether those that count are up.
func (w *Watch) Ready() ([]Health, bool) {
	w.look()
	return w.checks.All(), w.checks.Ready()
}

// checkLoops is the check of a program whose loops must turn.
const checkLoops = "loops"

// Alive returns all loops, and whether all turn.
func (w *Watch) Alive() ([]Health, bool) {
	all := w.loops.All()
	return all, !slices.ContainsFunc(all, func(h Health) bool { return !h.Up })
}

// Families returns the metrics of the program and those of the watch.
func (w *Watch) Families() []Family {
	checks, ready := w.Ready()
	_, alive := w.Alive()
	up := Family{Name: w.prefix + "check_up", Kind: Gauge, Help: "Whether a check of /readyz is up."}
	since := Family{Name: w.prefix + "check_changed_timestamp_seconds", Kind: Gauge, Help: "When a check of /readyz last changed, in Unix time."}
	for _, h := range checks {
		l := []Label{{"check", h.Name}}
		up.Samples = append(up.Samples, Sample{Labels: l, Value: Truth(h.Up)})
		since.Samples = append(since.Samples, Sample{Labels: l, Value: float64(h.Since.UnixMilli()) / 1000})
	}
	own := []Family{
		{
			Name: w.prefix + "build_info", Kind: Gauge, Help: "1, labelled with the version of the program.",
			Samples: []Sample{{Labels: []Label{{"version", Version()}}, Value: 1}},
		},
		One(w.prefix+"alive", Gauge, "Whether all loops of the program turn, as /livez says.", Truth(alive)),
		One(w.prefix+"ready", Gauge, "Whether the program can do its work now, as /readyz says.", Truth(ready)),
		One(w.prefix+"log_lost_lines_total", Counter, "Lines of the log that could not be written, or not in time.", float64(LostLines(w.log))),
		up, since,
	}
	return append(own, w.families()...)
}

// answer is what /livez and /readyz say.
type answer struct {
	OK     bool     `json:"ok"`
	Checks []Health `json:"checks"`
}

// Handler serves GET /livez, /readyz and /metrics. metrics serves the last one;
// nil is the text format written here.
func (w *Watch) Handler(metrics http.Handler) http.Handler {
	if metrics == nil {
		metrics = http.HandlerFunc(w.text)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) { say(rw)(w.Alive()) })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) { say(rw)(w.Ready()) })
	mux.Handle("GET /metrics", metrics)
	return mux
}

// checkObserve is the check of the address where health and metrics are served.
const checkObserve = "observe"

// Serve serves Handler(metrics) at the address of o until ctx ends, and nothing
// if there is none. The work of a program does not hang on it: an address that
// cannot be opened is tried again, which the log and the check tell. given is
// used in the place of the address, and closed.
func (w *Watch) Serve(ctx context.Context, o Observe, given net.Listener, metrics http.Handler) {
	if given == nil && o.Listen == "" {
		return
	}
	known := ""
	down := func(err error) {
		w.checks.Note(checkObserve, false, err.Error())
		if err.Error() == known || ctx.Err() != nil {
			return
		}
		known = err.Error()
		w.log.Warn("health and metrics are not served; trying again", slog.String("addr", o.Listen), Err(err))
	}
	if err := loopback.Check(o.Listen, o.Insecure); given == nil && err != nil { // Validate has seen it
		down(err)
		return
	}
	for l := given; ctx.Err() == nil; l = nil {
		if l == nil {
			if l = process.ListenLater(ctx, o.Listen, down); l == nil {
				return
			}
		}
		w.checks.Note(checkObserve, true, "")
		known = ""
		if err := o.serve(ctx, l, w.Handler(metrics), w.log); err != nil {
			down(err)
		}
		if given != nil {
			return
		}
	}
}

func (w *Watch) text(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = rw.Write(AppendText(nil, w.Families())) // who asked has gone
}

// say answers 200 when all is well and 503 otherwise, with the reasons in both.
func say(rw http.ResponseWriter) func([]Health, bool) {
	return func(checks []Health, ok bool) {
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
		}
		body, err := json.MarshalIndent(answer{ok, checks}, "", "  ")
		if err != nil { // our own type always encodes
			status, body = http.StatusInternalServerError, []byte(err.Error())
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Cache-Control", "no-store")
		rw.WriteHeader(status)
		_, _ = rw.Write(append(body, '\n')) // who asked has gone
	}
}
