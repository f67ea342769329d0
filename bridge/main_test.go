package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		prints  string
	}{
		{"version", []string{"--version"}, nil, 0, "bridge "},
		{"help", []string{"--help"}, nil, 0, "--check-config"},
		{"sample", []string{"--check-config", "--config", filepath.Join("..", "configs", "bridge.yaml")}, nil, 0, "carga-bridge"},
		{"unknown flag", []string{"--loud"}, nil, 2, "--loud"},
		{"argument", []string{"now"}, nil, 2, "now"},
		{"no such file", []string{"--config", "missing.yaml"}, nil, 3, "no such file"},
		{"bad value", nil, []string{"CARGA_BRIDGE_NAME="}, 3, "CARGA_BRIDGE_NAME"},
		{"no password", nil, []string{"CARGA_BRIDGE_MQTT__USERNAME=u", "CARGA_BRIDGE_MQTT__PASSWORD_FILE=missing", "CARGA_BRIDGE_OBSERVE__LISTEN="}, 1, "missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), tc.args, tc.environ, &out, &out); code != tc.code || !strings.Contains(out.String(), tc.prints) {
				t.Errorf("exit code %d and %q, want %d and %q in it", code, out.String(), tc.code, tc.prints)
			}
		})
	}
}

// TestStop runs the program without any broker and stops it when it has logged
// what it waits for.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	environ := []string{
		"CARGA_BRIDGE_MQTT__URL=tcp://127.0.0.1:1", "CARGA_BRIDGE_KAFKA__BROKERS=127.0.0.1:1", "CARGA_BRIDGE_STOP_WITHIN=100ms",
		"CARGA_BRIDGE_OBSERVE__LISTEN=127.0.0.1:0",
	}
	out := listener{word: "waiting for Kafka", onWord: cancel}
	if code := run(ctx, nil, environ, &bytes.Buffer{}, &out); code != 0 || !strings.Contains(out.String(), out.word) {
		t.Errorf("exit code %d, log %s", code, out.String())
	}
}

// listener keeps what is written and calls onWord when a word is in it.
type listener struct {
	word   string
	onWord func()

	mu sync.Mutex
	// mu guards what follows.
	written bytes.Buffer
}

func (l *listener) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written.String()
}

func (l *listener) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.written.Write(b)
	if strings.Contains(l.written.String(), l.word) {
		l.onWord()
	}
	return n, err
}
