package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/loopback"
)

// Config is where a program serves its health and its metrics.
type Config struct {
	// Listen is HOST:PORT; port 0 picks a free one, and empty serves nothing.
	Listen string `yaml:"listen"`
	// Insecure permits requests from other machines, although there are no
	// accounts.
	Insecure bool `yaml:"insecure"`
}

// Validate adds a problem for each rule that is broken. The keys begin with
// observe., the name of this section in all configurations.
func (o *Config) Validate(p *config.Problems) {
	if o.Listen == "" {
		return
	}
	if _, err := net.ResolveTCPAddr("tcp", numeric(o.Listen)); err != nil {
		p.Addf("observe.listen", "want HOST:PORT; port 0 picks a free one, and \"\" serves nothing")
	} else if loopback.Check(o.Listen, o.Insecure) != nil {
		p.Addf("observe.listen", "want a loopback address such as 127.0.0.1: there are no accounts, so anything that reaches it reads everything; observe.insecure: true allows it")
	}
}

// numeric replaces the host of an address by an IP address, so that the port is
// checked without a DNS query.
func numeric(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // the caller refuses it
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// serve serves h on l until ctx ends, and closes l.
func (o *Config) serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           o.guard(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	log.Info("health and metrics are served", slog.String("addr", l.Addr().String()))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve health and metrics: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := server.Shutdown(limit)
	if err != nil {
		err = server.Close() // a client that reads slowly is disconnected
	}
	<-failed
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health and metrics: %w", err)
	}
	return nil
}

// guard refuses requests that name another host than this machine, unless that
// is configured: a page in a browser could send them (DNS rebinding).
func (o *Config) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !o.Insecure && !loopback.Asked(r.Host) {
			http.Error(w, "answers on loopback only", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
		next.ServeHTTP(w, r)
	})
}
