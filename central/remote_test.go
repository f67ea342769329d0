package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheCommandLineAsksACentral: the commands against a real one, with their exit
// codes.
func TestTheCommandLineAsksACentral(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "central.yaml")
	text := "http: {listen: '127.0.0.1:0'}\ndatabase: {path: " + filepath.Join(dir, "central.db") + "}\nkafka: {brokers: ['127.0.0.1:1']}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, secret := runCommand(t, config, "", "token", "add", "script", "--role", "operator")
	if code != 0 {
		t.Fatal(secret)
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	_, secret = runCommand(t, config, "", "token", "add", "reader", "--role", "auditor")
	p := startProgram(t, config)
	defer p.kill()
	url := "http://" + p.addr
	for _, c := range []struct {
		args   []string
		env    string
		code   int
		prints string
	}{
		{[]string{"cp", "list", "--url", url, "--token-file", token}, "", 0, "CP  CONNECTOR  STATE"},
		{[]string{"cp", "list", "--url", url, "-o", "json"}, "CARGA_TOKEN=" + strings.TrimSpace(secret), 0, "[]"},
		{[]string{"cp", "list", "--token-file", token}, "CARGA_CENTRAL_CLIENT__URL=" + url, 0, "CP  CONNECTOR"},
		{[]string{"ticket", "list", "--from", "2026-11-01", "--token-file", token, "--url", url}, "", 0, "ENDED  CP"},
		{[]string{"cp", "stop", "--all", "--token-file", token, "--url", url, "-o", "json"}, "", 0, `"commands": []`},
		{[]string{"cp", "resume", "CP_9", "--token-file", token, "--url", url}, "", 5, "unknown_cp"},
		{[]string{"cp", "stop", "--all", "--url", url}, "CARGA_TOKEN=" + strings.TrimSpace(secret), 5, "not_permitted"},
		{[]string{"cp", "list", "--url", url}, "", 5, "central token add"},
		{[]string{"cp", "list", "--url", "http://127.0.0.1:1"}, "", 4, "does not answer"},
		{[]string{"cp", "list", "--url", "ops.example"}, "", 2, "no address of a Central"},
		{[]string{"cp", "list", "-o", "xml"}, "", 2, "table, json or jsonl"},
		{[]string{"cp", "list", "--token-file", "nowhere"}, "", 1, "nowhere"},
		{[]string{"cp", "stop"}, "", 2, "--all"},
		{[]string{"cp", "stop", "CP_1", "--all"}, "", 2, "--all"},
		{[]string{"ticket", "list", "--from", "yesterday"}, "", 2, "2026-11-30"},
		{[]string{"cp"}, "", 2, "cp --help"},
		{[]string{"completion", "bash"}, "", 0, "__start_central"},
		{[]string{"completion", "zsh"}, "", 0, "#compdef central"},
		{[]string{"completion", "fish"}, "", 0, "complete -c central"},
		{[]string{"__complete", "cp", "list", "--output", ""}, "", 0, "jsonl"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), c.args, []string{c.env}, nil, &out, &out); code != c.code || !strings.Contains(out.String(), c.prints) {
			t.Errorf("%q: got code %d, want %d, and %q in %s", c.args, code, c.code, c.prints, out.String())
		}
	}
}

// centralStub answers as a Central with one charging point.
func centralStub(t *testing.T, command string) string {
	t.Helper()
	mux := http.NewServeMux()
	answers := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) })
	}
	point := `"cp_id":"CP_1","link":"online","connectors":[{"connector":1,"status":"charging","session_id":"s","username":"Ana","power_w":7200,"energy_wh":1250}]`
	answers("GET /api/v1/network", `{"cps":[{`+point+`},{"cp_id":"CP_2","link":"offline","connectors":[]}]}`)
	answers("POST /api/v1/availability", `{"accepted":true,"count":1,"commands":["c1"]}`)
	mux.HandleFunc("POST /api/v1/cps/CP_1/connectors/2/simulate", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["action"] == "tap" && body["uid"] != "04A1B2C3" {
			t.Errorf("simulate: %v %v", body, err)
		}
		_, _ = fmt.Fprint(w, `{"accepted":true,"count":1,"commands":["c1"]}`)
	})
	answers("GET /api/v1/commands/c1", command)
	mux.HandleFunc("GET /api/v1/tickets", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "" {
			_, _ = fmt.Fprint(w, `{"items":[{"ticket_id":"t2","energy_wh":1250,"cost":"1.56","currency":"EUR","duration_sec":60}],"next":"tickets:t2"}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"items":[{"ticket_id":"t1","cost":"1.00","currency":"EUR","corrects":"t0"}]}`)
	})
	connections := 0
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		if connections++; connections == 2 && r.Header.Get("Last-Event-ID") != "b.1" {
			t.Errorf("the second connection has Last-Event-ID %q", r.Header.Get("Last-Event-ID"))
		}
		row := `{"i":0,"cp_id":"CP_1","connector":1,"link":"online","status":%q,"username":"Ana"}`
		_, _ = fmt.Fprintf(w, "retry: 2000\n\nid: b.1\nevent: snapshot\ndata: {\"at\":\"2026-11-30T08:00:00.000Z\",\"rows\":["+row+"]}\n\n", "charging")
		if connections > 1 {
			_, _ = fmt.Fprintf(w, "id: b.2\nevent: delta\ndata: {\"at\":\"2026-11-30T08:00:01.000Z\",\"rows\":["+row+"],\"facts\":[{\"kind\":\"fault\",\"what\":\"raised\",\"cp_id\":\"CP_1\",\"text\":\"a fault\"}]}\n\n", "faulted")
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// TestWhatTheCommandsPrint: tables for people, documents for programs, and the exit
// code of what was not done.
func TestWhatTheCommandsPrint(t *testing.T) {
	done := `{"command_id":"c1","state":"done","ended_at":"2026-11-30T08:00:00.000Z"}`
	for _, c := range []struct {
		command string
		args    string
		code    int
		prints  []string
	}{
		{done, "cp list", 0, []string{"CP_1  1          charging  online   Ana     7.2 kW  1.250 kWh", "CP_2  -"}},
		{done, "cp list --state offline -o jsonl", 0, []string{`{"cp_id":"CP_2"`}},
		{done, "ticket list", 0, []string{"1.250 kWh  1.56 EUR  1m0s", "t1 corrects t0"}},
		{done, "ticket list --limit 1 -o json", 0, []string{`"ticket_id": "t2"`}},
		{done, "cp stop CP_1", 0, []string{"CP_1  done"}},
		{done, "cp stop CP_1 -o jsonl", 0, []string{`"state":"done"`}},
		{`{"command_id":"c1","state":"rejected","reason":"occupied","ended_at":"2026-11-30T08:00:00.000Z"}`, "cp stop CP_1", 5, []string{"rejected occupied", "cp list"}},
		{`{"command_id":"c1","state":"sent"}`, "cp stop CP_1 --wait 50ms", 6, []string{"CP_1  sent"}},
		{`{"command_id":"c1","state":"sent"}`, "cp stop CP_1 --wait 0", 0, []string{"CP_1  sent"}},
		{done, "cp simulate CP_1 plug --connector 2", 0, []string{"CP_1  done"}},
		{done, "cp simulate CP_1 tap --connector 2 -o jsonl", 0, []string{`"state":"done"`}},
		{`{"command_id":"c1","state":"failed","reason":"no card reader is fitted","ended_at":"2026-11-30T08:00:00.000Z"}`, "cp simulate CP_1 tap --connector 2", 5, []string{"failed no card reader is fitted"}},
		{done, "cp simulate CP_1 open", 2, []string{"plug, unplug, fault, repair, tap"}},
		{done, "cp simulate CP_1", 2, []string{"name a charging point"}},
		{"<html>", "cp stop CP_1", 4, []string{"no JSON"}},
	} {
		var out bytes.Buffer
		args := append(strings.Fields(c.args), "--url", centralStub(t, c.command))
		code := run(t.Context(), args, nil, strings.NewReader("04A1B2C3\n"), &out, &out)
		if strings.Contains(out.String(), "04A1B2C3") {
			t.Errorf("%s: prints the UID of the card", c.args)
		}
		for _, want := range c.prints {
			if code != c.code || !strings.Contains(out.String(), want) {
				t.Errorf("%s: got code %d, want %d, and %q in %s", c.args, code, c.code, want, out.String())
			}
		}
	}
}

// lines passes each line that is written to a channel.
type lines chan string

// Write implements io.Writer.
func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// TestWatchContinues: each change is printed once, also over a break, until the
// command is interrupted.
func TestWatchContinues(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	out, ended := make(lines, 10), make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"cp", "watch", "CP_1", "-o", "jsonl", "--url", centralStub(t, "")}, nil, nil, out, &errs)
	}()
	for _, want := range []string{`"charging"`, `"faulted"`, `"a fault"`} {
		select {
		case line := <-out:
			if !json.Valid([]byte(line)) || !strings.Contains(line, want) {
				t.Errorf("got %s, want %s", line, want)
			}
		case <-time.After(within):
			t.Fatalf("nothing with %s is printed", want)
		}
	}
	interrupt()
	if code := <-ended; code != 0 || !strings.Contains(errs.String(), "does not answer") {
		t.Errorf("code %d, %s", code, errs.String())
	}
}
