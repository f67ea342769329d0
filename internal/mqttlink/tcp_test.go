package mqttlink_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/internal/mqttlink"
)

type mqttMessage = mqttlink.Message

// TestOverTCP: one round over loopback TCP, after which no goroutine is left.
func TestOverTCP(t *testing.T) {
	defer goleak.VerifyNone(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := errors.Join(s.AddHook(&hook{w: &wires{}}, nil), s.AddListener(listeners.NewNet("tcp", l)), s.Serve()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()

	got := make(chan mqttlink.Message, 1)
	up := make(chan struct{}, 1)
	cfg := config(nil, &inbox{})
	cfg.Brokers, cfg.Open = []string{"tcp://127.0.0.1:1", "tcp://" + l.Addr().String()}, nil
	cfg.Handler = func(m mqttlink.Message) { got <- m }
	cfg.OnUp = func(context.Context, *mqttlink.Conn) { up <- struct{}{} }
	link := mustNew(t, cfg)
	stop := run(t, link)
	<-up
	if err := link.Publish(t.Context(), "down/x", 1, false, []byte("a")); err != nil {
		t.Error(err)
	}
	select {
	case m := <-got:
		if string(m.Payload) != "a" || m.Topic != "down/x" {
			t.Errorf("received %+v", m)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing received")
	}
	stop()
}
