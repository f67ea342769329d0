package engines_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/engines"
)

// TestStopWhileClientsDisconnect: the library's own way to stop blocks for ever
// when a client disconnects at the wrong moment.
func TestStopWhileClientsDisconnect(t *testing.T) {
	broker := engines.NewMQTT("127.0.0.1:0", nil, nil)
	for range 200 {
		if err := broker.Start(); err != nil {
			t.Fatal(err)
		}
		var leaving sync.WaitGroup
		start := make(chan struct{})
		for i := range 16 {
			c := connectClient(t, broker.Addr(), byte('a'+i))
			leaving.Go(func() {
				<-start
				_ = c.Close()
			})
		}
		close(start)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			broker.Stop()
		}()
		select {
		case <-stopped:
		case <-time.After(20 * time.Second):
			t.Fatal("the broker does not stop")
		}
		leaving.Wait()
	}
}

// TestStopBeforeAClientSendsConnect: the broker does not know the client of
// that connection yet, and would wait for its end.
func TestStopBeforeAClientSendsConnect(t *testing.T) {
	broker := engines.NewMQTT("127.0.0.1:0", nil, nil)
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	silent, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	_ = connectClient(t, broker.Addr(), 'a').Close() // accepted after the silent one
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		broker.Stop()
	}()
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		t.Fatal("the broker does not stop")
	}
}

// connectClient returns the connection of a client after its CONNACK.
func connectClient(t *testing.T, addr string, name byte) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	connect := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, name}
	if _, err := c.Write(connect); err != nil {
		t.Fatal(err)
	}
	var answer [4]byte
	if _, err := c.Read(answer[:]); err != nil || answer[3] != 0 {
		t.Fatalf("the broker returns % x, %v", answer, err)
	}
	return c
}
