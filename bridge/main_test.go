package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		says    string
	}{
		{"version", []string{"--version"}, nil, 0, "bridge "},
		{"help", []string{"--help"}, nil, 0, "--check-config"},
		{"sample", []string{"--check-config", "--config", filepath.Join("..", "configs", "bridge.yaml")}, nil, 0, "carga-bridge"},
		{"unknown flag", []string{"--loud"}, nil, 2, "--loud"},
		{"argument", []string{"now"}, nil, 2, "now"},
		{"no such file", []string{"--config", "missing.yaml"}, nil, 3, "no such file"},
		{"bad value", nil, []string{"CARGA_BRIDGE_NAME="}, 3, "CARGA_BRIDGE_NAME"},
		{"no password", nil, []string{"CARGA_BRIDGE_MQTT__USERNAME=u", "CARGA_BRIDGE_MQTT__PASSWORD_FILE=missing"}, 1, "missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), tc.args, tc.environ, &out, &out); code != tc.code || !strings.Contains(out.String(), tc.says) {
				t.Errorf("exit code %d and %q, want %d and %q in it", code, out.String(), tc.code, tc.says)
			}
		})
	}
}

// TestStop runs the program without any broker and stops it.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	environ := []string{"CARGA_BRIDGE_MQTT__URL=tcp://127.0.0.1:1", "CARGA_BRIDGE_KAFKA__BROKERS=127.0.0.1:1", "CARGA_BRIDGE_STOP_WITHIN=100ms"}
	var out bytes.Buffer
	if code := run(ctx, nil, environ, &bytes.Buffer{}, &out); code != 0 || !strings.Contains(out.String(), "waiting for Kafka") {
		t.Errorf("exit code %d, log %s", code, out.String())
	}
}
