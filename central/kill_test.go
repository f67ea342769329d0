package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asCentral is the environment variable that makes this test binary be the
// program, in a process that can be killed.
const asCentral = "CARGA_TEST_AS_CENTRAL"

func TestMain(m *testing.M) {
	if os.Getenv(asCentral) != "" {
		main()
	}
	m.Run()
}

// program is a Central in a process of its own, without Kafka.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	log  bytes.Buffer // read it only after the end
	end  func()       // of reading its log
}

// within bounds each wait for the program.
const within = 60 * time.Second

func startProgram(t *testing.T, config string) *program {
	t.Helper()
	p := &program{t: t}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0], "run", "--config", config)
	p.cmd.Env = append(os.Environ(), asCentral+"=1")
	out, in := io.Pipe()
	p.cmd.Stderr = io.MultiWriter(&p.log, in)
	p.end = func() { _ = in.Close() }
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 1)
	go func() {
		lines := json.NewDecoder(out)
		for {
			var line struct{ Addr string }
			if lines.Decode(&line) != nil {
				_, _ = io.Copy(io.Discard, out) // the program must be able to write
				return
			}
			if line.Addr != "" {
				served <- line.Addr
			}
		}
	}()
	select {
	case p.addr = <-served:
	case <-time.After(within):
		p.kill()
		t.Fatalf("no page is served: %s", p.log.String())
	}
	return p
}

// kill is kill -9.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it is dead already otherwise
	_ = p.cmd.Wait()         // it was killed, so there is an error
	p.end()
}

const stopAll = "POST /api/v1/availability HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n" +
	"Idempotency-Key: stop-all\r\nContent-Length: 30\r\n\r\n" + `{"all":true,"available":false}`

// order sends a raw request and does not read the response.
func (p *program) order(raw string) net.Conn {
	p.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(p.t.Context(), "tcp", p.addr)
	if err == nil {
		_, err = io.WriteString(c, raw)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// answer sends a raw request and returns the status of the response.
func (p *program) answer(raw string) int {
	p.t.Helper()
	c := p.order(raw)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = res.Body.Close()
	_ = c.Close()
	return res.StatusCode
}

// wantedAvailability is the desired availability in the database, as exported.
func wantedAvailability(t *testing.T, config string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"export-settings", "--config", config}, nil, nil, &out, &errs); code != 0 {
		t.Fatalf("export-settings: %d %s", code, errs.String())
	}
	var s struct {
		Availability json.RawMessage `json:"availability"`
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return string(s.Availability)
}

// An order is committed, and its response is lost because the program is
// killed. When it is repeated to the next run it is not executed again.
func TestAnOrderOutlivesKill9(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "central.yaml")
	text := "http: {listen: '127.0.0.1:0'}\nweb: {access: open}\ndatabase: {path: " + filepath.Join(dir, "central.db") + "}\nkafka: {brokers: ['127.0.0.1:1']}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, config)
	lost := p.order(stopAll)
	deadline, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for wantedAvailability(t, config) == "[]" {
		select {
		case <-deadline.Done():
			p.kill()
			t.Fatalf("it was not committed: %s", p.log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	p.kill()
	_ = lost.Close() // the answer was not read
	first := wantedAvailability(t, config)
	if !strings.Contains(first, "asked_at") {
		t.Fatalf("got %s, want the order of the killed one", first)
	}

	p = startProgram(t, config)
	defer p.kill()
	for again := range 2 {
		if status := p.answer(stopAll); status != http.StatusAccepted {
			t.Errorf("repeat %d: got %d, want the order of before as accepted", again, status)
		}
	}
	if status := p.answer(strings.Replace(stopAll, "false", "true ", 1)); status != http.StatusUnprocessableEntity {
		t.Errorf("another order with its key: got %d, want it refused", status)
	}
	if now := wantedAvailability(t, config); now != first {
		t.Errorf("a repeat ordered it again: got %s, want %s", now, first)
	}
	if status := p.answer(strings.Replace(stopAll, "stop-all", "stop-two", 1)); status != http.StatusAccepted || wantedAvailability(t, config) == first {
		t.Errorf("with another key: got %d, want another order", status)
	}
}
