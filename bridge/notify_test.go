package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/systemd/systemdtest"
)

// systemd knows that the bridge works although no broker is there.
func TestTheServiceManagerIsNotified(t *testing.T) {
	manager := systemdtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out bytes.Buffer
	go func() {
		ended <- run(ctx, nil, append(manager.Environ(200*time.Millisecond),
			"CARGA_BRIDGE_MQTT__URL=tcp://127.0.0.1:1", "CARGA_BRIDGE_KAFKA__BROKERS=127.0.0.1:1", "CARGA_BRIDGE_STOP_WITHIN=100ms",
			"CARGA_BRIDGE_OBSERVE__LISTEN="), &bytes.Buffer{}, &out)
	}()
	manager.Watch(t, cancel)
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d, log %s", code, out.String())
	}
}
