package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/systemd/systemdtest"
)

// systemd knows that the agent works although its broker is not there.
func TestTheServiceManagerIsNotified(t *testing.T) {
	manager := systemdtest.New(t)
	for _, entry := range manager.Environ(200 * time.Millisecond) {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	text := "cp_id: CP_001\ndata_dir: " + filepath.Join(dir, "data") + "\nmqtt: {url: 'tcp://127.0.0.1:1'}\nobserve: {listen: ''}\nstop_within: 100ms\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out bytes.Buffer
	go func() { ended <- run(ctx, []string{"--config", config}, stdin, &bytes.Buffer{}, &out) }()
	manager.Watch(t, cancel)
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d, log %s", code, out.String())
	}
}
