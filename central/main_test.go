package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test is in package main, because a program has no other entry point.
func TestTheCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("http: {listen: '0.0.0.0:1'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		code   int
		prints string
	}{
		{[]string{"--version"}, 0, "central "},
		{[]string{"--check-config"}, 0, "127.0.0.1:8080"},
		{[]string{"run", "--check-config", "--config", "../configs/central.yaml"}, 0, "127.0.0.1:8080"},
		{[]string{"--check-config", "--config", file}, 3, "web.tls.certificate"},
		{[]string{"--insecure"}, 2, "insecure"},
		{[]string{"--check-config", "--config", "nowhere.yaml"}, 3, "nowhere.yaml"},
		{[]string{"walk"}, 2, "walk"},
		{[]string{"backup"}, 2, "--to FILE"},
		{[]string{"backup", "--to", "/nowhere/b.db", "--config", "nowhere.yaml"}, 3, "nowhere.yaml"},
		{[]string{"backup", "--to", "/nowhere/b.db"}, 1, "central.db"},
		{[]string{"backup", "all"}, 2, "all"},
		{[]string{"verify", "--db", "nowhere.db"}, 1, "nowhere.db"},
		{[]string{"verify", "--db"}, 2, "db"},
		{[]string{"export-settings", "--db", "nowhere.db"}, 1, "nowhere.db"},
		{[]string{"rebuild"}, 2, "--into FILE"},
		{[]string{"rebuild", "--into", "/nowhere/new.db", "--settings", "nowhere.json"}, 1, "nowhere.json"},
		{[]string{"user"}, 2, "user --help"},
		{[]string{"user", "add"}, 2, "add NAME"},
		{[]string{"user", "add", "eve", "--password", "secret"}, 2, "password"},
		{[]string{"user", "add", "eve", "--config", "nowhere.yaml"}, 2, "standard input"},
		{[]string{"user", "list", "--config", "nowhere.yaml"}, 3, "nowhere.yaml"},
		{[]string{"token", "revoke"}, 2, "revoke ID"},
		{[]string{"--fast"}, 2, "fast"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), c.args, []string{"CARGA_CENTRAL_WEB__ACCESS=accounts"}, nil, &out, &out); code != c.code || !strings.Contains(out.String(), c.prints) {
			t.Errorf("%q: got code %d, want %d, and %q in %s", c.args, code, c.code, c.prints, out.String())
		}
	}
}
