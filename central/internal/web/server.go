package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/carga-ev/carga/central/access"
)

// maxBody limits a request's body, in bytes. Bodies of orders have at most a few
// hundred.
const maxBody = 64 << 10

// Server is Central's HTTP server. New starts nothing; Run serves until its
// context ends.
type Server struct {
	cfg      Config
	live     Live
	orders   Orders
	archive  Archive
	accounts Accounts // nil: access is open
	breaker  Breaker
	log      *slog.Logger
	hub      *hub
	handler  http.Handler

	statuses map[string]int // of the success of a POST, by its operation; routes fills it
	proxy    proxyRules
}

// New returns a server. breaker is nil outside the demo.
func New(cfg Config, live Live, orders Orders, archive Archive, breaker Breaker, log *slog.Logger) (*Server, error) {
	s := &Server{cfg: cfg, live: live, orders: orders, archive: archive, accounts: cfg.Accounts, breaker: breaker, log: log, hub: newHub(live, cfg.Tick, log), statuses: map[string]int{}, proxy: newProxyRules(&cfg)}
	built, err := fs.Sub(dist, "ui/dist")
	if err != nil {
		return nil, fmt.Errorf("embedded page: %w", err)
	}
	pages, err := newPage(built)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	s.routes(mux)
	// Without this handler an unknown operation would be answered by the page's
	// files, as text.
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := methodsAt(mux, r, "/api/"); len(allowed) > 0 {
			methodNotAllowed(w, r.Method, allowed)
			return
		}
		writeProblem(w, "not_found", "there is no such operation; see openapi.json")
	})
	if cfg.Observe != nil {
		for _, path := range observed() {
			mux.HandleFunc("GET "+path, s.observe)
		}
	}
	mux.Handle("/", pages)
	mux.HandleFunc("GET /signin", s.signInByLink(pages.ServeHTTP))
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, "cross_origin", "")
	}))
	if s.proxy.origin != "" {
		if err := origin.AddTrustedOrigin(s.proxy.origin); err != nil {
			return nil, fmt.Errorf("public URL: %w", err)
		}
	}
	// The order matters: nothing reads the body before host and origin are checked,
	// and no operation runs before its body is complete.
	s.handler = s.guard(origin.Handler(s.identify(readBody(withIdempotency(mux)))))
	return s, nil
}

// methodsAt returns the methods for which a path has a handler other than the
// pattern rest, which handles all paths without one.
func methodsAt(mux *http.ServeMux, r *http.Request, rest string) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != rest {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// Handler returns the server as a handler, for tests.
func (s *Server) Handler() http.Handler { return s.handler }

// Streams returns how many live streams are open.
func (s *Server) Streams() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.subscribers)
}

// Run serves on l until ctx ends. Then it ends the live streams, waits for at most
// three seconds until other requests are answered, and closes their connections.
// It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	hubCtx, stopHub := context.WithCancel(ctx)
	defer stopHub()
	hubDone := make(chan struct{})
	go func() {
		defer close(hubDone)
		s.hub.run(hubCtx)
	}()
	// The limits end connections that send nothing, or a byte now and then. Requests
	// get a context that outlives ctx, so that those under way can end.
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       60 * time.Second, // no WriteTimeout: it would end live streams, which set their own deadlines
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() {
		if s.cfg.TLS != nil {
			server.TLSConfig = s.cfg.TLS.Config()
			failed <- server.ServeTLS(l, "", "")
			return
		}
		failed <- server.Serve(l)
	}()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		<-hubDone // live streams end first: Shutdown would wait for them
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err = server.Shutdown(limit); err != nil {
			err = errors.Join(err, server.Close())
		}
		<-failed
	}
	stopHub()
	<-hubDone
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// noFeatures turns off what the page does not use.
const noFeatures = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), geolocation=(), gyroscope=(), " +
	"magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()"

// observed are the paths of health and metrics.
func observed() []string { return []string{"/livez", "/readyz", "/metrics"} }

// observe serves health and metrics. They name brokers and files, so with accounts
// only a program of this machine reads them without a permission; to others health
// is a status.
func (s *Server) observe(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	switch {
	case s.accounts == nil || s.proxy.local(r) || c.known && c.principal.Role.May(access.MetricsRead):
		s.cfg.Observe.ServeHTTP(w, r)
	case r.URL.Path == "/metrics" && !c.known:
		writeProblem(w, "sign_in_required", "")
	case r.URL.Path == "/metrics":
		writeProblem(w, "not_permitted", "")
	default:
		s.cfg.Observe.ServeHTTP(&statusAlone{ResponseWriter: w}, r)
	}
}

// statusAlone passes on the status of an answer, and an empty body.
type statusAlone struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (s *statusAlone) WriteHeader(status int) {
	s.Header().Del("Content-Length")
	s.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (*statusAlone) Write(b []byte) (int, error) { return len(b), nil }

// guard sets security headers and refuses requests for another host, by another
// scheme, with a method that is never allowed, or with a malformed query.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = s.proxy.original(r)
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
			"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", noFeatures)
		if s.proxy.secure { // browsers ignore it in what they get by plain HTTP
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if s.proxy.alone && !s.proxy.trusts(r.RemoteAddr) && !peer(r).IsLoopback() {
			writeProblem(w, "wrong_host", "this address is for the proxy alone; use the public one")
			return
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		if !s.proxy.serves(r.Host) {
			writeProblem(w, "wrong_host", "")
			return
		}
		if s.proxy.base != "" && r.URL.Path == s.proxy.base { // links of the page are relative to the folder
			http.Redirect(w, r, s.proxy.base+"/", http.StatusPermanentRedirect)
			return
		}
		if !cleanPath(r.URL.EscapedPath()) {
			writeProblem(w, "not_found", "")
			return
		}
		if s.proxy.otherScheme(r) {
			writeProblem(w, "cross_origin", "")
			return
		}
		if r.Method == http.MethodTrace || r.Method == http.MethodConnect {
			methodNotAllowed(w, r.Method, []string{http.MethodGet, http.MethodHead, http.MethodPost})
			return
		}
		if fault := queryError(r.URL.RawQuery); fault != "" {
			writeProblem(w, "bad_query", fault)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// queryError returns why a query is malformed; "" if it is not. A malformed part
// would otherwise be ignored, and a list would show rows that the filter excludes.
func queryError(query string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && !strings.Contains(pair, "=") {
			return "query: write name=value&name=value, each part percent-encoded"
		}
	}
	given, err := url.ParseQuery(query)
	if err != nil {
		return "query: write name=value&name=value, each part percent-encoded"
	}
	for name, values := range given {
		switch {
		case len(values) > 1:
			return fmt.Sprintf("%.*q is given more than once", maxLocation, name)
		case values[0] == "":
			return fmt.Sprintf("%.*q has no value: leave it out", maxLocation, name)
		}
	}
	return ""
}
