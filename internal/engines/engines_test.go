package engines_test

import (
	"log/slog"
	"net"
	"testing"

	"github.com/carga-ev/carga/internal/engines"
)

type engine interface {
	Start() error
	Stop()
	Up() bool
	Addr() string
}

// TestCutAndRestore: an engine starts again at the port that it chose first,
// and a second start or stop does nothing.
func TestCutAndRestore(t *testing.T) {
	for name, e := range map[string]engine{
		"mqtt":  engines.NewMQTT("127.0.0.1:0", nil, slog.New(slog.DiscardHandler)),
		"kafka": engines.NewKafka("127.0.0.1:0", t.TempDir(), nil),
	} {
		t.Run(name, func(t *testing.T) {
			var first string
			for round := range 3 {
				for range 2 {
					if err := e.Start(); err != nil {
						t.Fatal(err)
					}
				}
				if round == 0 {
					first = e.Addr()
				}
				if e.Addr() != first || !e.Up() {
					t.Fatalf("at %s (up %v), want %s again", e.Addr(), e.Up(), first)
				}
				var d net.Dialer
				c, err := d.DialContext(t.Context(), "tcp", e.Addr())
				if err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
				e.Stop()
				e.Stop()
				if _, err := d.DialContext(t.Context(), "tcp", first); err == nil {
					t.Fatal("still listening after Stop")
				}
			}
		})
	}
}

// TestBusyPortIsNamed: an occupied port is an error.
func TestBusyPortIsNamed(t *testing.T) {
	a := engines.NewMQTT("127.0.0.1:0", nil, slog.New(slog.DiscardHandler))
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	b := engines.NewMQTT(a.Addr(), nil, slog.New(slog.DiscardHandler))
	if err := b.Start(); err == nil {
		b.Stop()
		t.Fatal("two brokers at one address")
	}
}
