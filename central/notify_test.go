package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/systemd/systemdtest"
)

// systemd knows that Central works although Kafka is not there.
func TestTheServiceManagerIsNotified(t *testing.T) {
	manager := systemdtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out bytes.Buffer
	go func() {
		ended <- run(ctx, nil, append(manager.Environ(200*time.Millisecond),
			"CARGA_CENTRAL_DATABASE__PATH="+filepath.Join(t.TempDir(), "c.db"), "CARGA_CENTRAL_KAFKA__BROKERS=127.0.0.1:1",
			"CARGA_CENTRAL_HTTP__LISTEN=127.0.0.1:0"), nil, &bytes.Buffer{}, &out)
	}()
	manager.Watch(t, cancel)
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d, log %s", code, out.String())
	}
}
