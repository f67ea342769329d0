package environment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/sim/chaos"
)

// root is the module's folder, relative to this one.
const root = "../.."

// limit bounds each wait, for a test that hangs; it is not a measurement.
const limit = time.Minute

// bin builds the programs once and returns their folder.
var bin = sync.OnceValues(func() (string, error) {
	dir := os.Getenv("CARGA_TEST_BIN")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "./agent", "./bridge", "./central", "./sim")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "carga")
	if err == nil {
		err = os.Setenv("CARGA_TEST_BIN", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// built returns the path of a built program.
func built(t *testing.T, name string) string {
	t.Helper()
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// program is a program as these tests run it: alone.
type program struct {
	name string   // for messages
	path string   // of the program
	args []string // with which it runs until it is stopped
	env  []string
	dir  string                      // its own folder
	addr string                      // HOST:PORT of its health; "": none
	up   func(context.Context) error // succeeds when the program works; nil: cannot be observed
	code int                         // exit code of a clean stop
}

func (s *program) set(env ...string) { s.env = append(s.env, env...) }

// folder makes a folder with a path short enough for a socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carga") //nolint:usetesting // the name of the test is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	addrs, err := chaos.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

// nowhere is an address without a listener: no broker is reachable here.
const nowhere = "127.0.0.1:1"

func newAgent(t *testing.T) *program {
	t.Helper()
	s := &program{name: "agent", path: built(t, "agent"), dir: folder(t), addr: freePort(t)}
	s.set("CARGA_AGENT_DATA_DIR="+filepath.Join(s.dir, "data"), "CARGA_AGENT_MQTT__URL=tcp://"+nowhere,
		"CARGA_AGENT_OBSERVE__LISTEN="+s.addr, "CARGA_AGENT_STOP_WITHIN=100ms")
	s.up = s.isLive
	return s
}

func newBridge(t *testing.T) *program {
	t.Helper()
	s := &program{name: "bridge", path: built(t, "bridge"), dir: folder(t), addr: freePort(t)}
	s.set("CARGA_BRIDGE_MQTT__URL=tcp://"+nowhere, "CARGA_BRIDGE_KAFKA__BROKERS="+nowhere,
		"CARGA_BRIDGE_OBSERVE__LISTEN="+s.addr, "CARGA_BRIDGE_STOP_WITHIN=100ms")
	s.up = s.isLive
	return s
}

func newCentral(t *testing.T) *program {
	t.Helper()
	s := &program{name: "central", path: built(t, "central"), dir: folder(t), addr: freePort(t)}
	s.set("CARGA_CENTRAL_KAFKA__BROKERS="+nowhere, "CARGA_CENTRAL_HTTP__LISTEN="+s.addr, "CARGA_CENTRAL_WEB__ACCESS=open",
		"CARGA_CENTRAL_DATABASE__PATH="+filepath.Join(s.dir, "data", "central.db"))
	s.up = s.isLive
	return s
}

func newSim(t *testing.T, args ...string) *program {
	t.Helper()
	return &program{name: "sim " + args[0], path: built(t, "sim"), args: args, dir: folder(t)}
}

func newBoard(t *testing.T) *program {
	t.Helper()
	s := newSim(t, "board", "--power", "11000")
	socket := s.socket()
	s.args = append(s.args, "--socket", socket)
	s.up = func(ctx context.Context) error {
		_, err := board.Inspect(ctx, board.Unix(socket))
		return err
	}
	return s
}

func (s *program) socket() string { return filepath.Join(s.dir, "s") }

func newFleet(t *testing.T) *program {
	t.Helper()
	s := newSim(t, "fleet", "--cps", "1", "--mqtt", "tcp://"+nowhere)
	s.args = append(s.args, "--data", s.dir)
	s.up = func(context.Context) error { return contains(filepath.Join(s.dir, "fleet.log"), `"registered"`) }
	return s
}

func newDemo(t *testing.T) *program {
	t.Helper()
	s := newSim(t, "demo", "--cps", "1", "--drivers", "0", "--no-open", "--verbose")
	s.addr = freePort(t)
	s.args = append(s.args, "--data", filepath.Join(s.dir, "data"), "--http", s.addr, "--mqtt", freePort(t), "--kafka", freePort(t))
	s.up = s.isLive
	return s
}

func newKafka(t *testing.T) *program {
	t.Helper()
	s := newSim(t, "kafka")
	addr := freePort(t)
	s.args = append(s.args, "--listen", addr)
	s.up = func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return s
}

// newDriver makes a driver, which waits for Kafka and ends by itself at its
// deadline. It serves no health; only its output can be observed.
func newDriver(t *testing.T) *program {
	t.Helper()
	s := newSim(t, "driver", "request", "--kafka", nowhere, "--deadline", "1s", "--repeat", "100ms")
	s.code = 4
	return s
}

// each runs a test with every program that keeps running, and with the driver,
// which has no up.
func each(t *testing.T, test func(*testing.T, *program)) {
	t.Helper()
	for _, p := range []struct {
		name string
		make func(*testing.T) *program
	}{
		{"agent", newAgent},
		{"bridge", newBridge},
		{"central", newCentral},
		{"board", newBoard},
		{"fleet", newFleet},
		{"demo", newDemo},
		{"kafka", newKafka},
		{"driver", newDriver},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p.make(t))
		})
	}
}

// eachServer is each without the driver.
func eachServer(t *testing.T, test func(*testing.T, *program)) {
	t.Helper()
	each(t, func(t *testing.T, s *program) {
		t.Helper()
		if s.up != nil {
			test(t, s)
		}
	})
}

// isLive returns nil if the program answers /livez.
func (s *program) isLive(ctx context.Context) error {
	_, err := s.get(ctx, "/livez")
	return err
}

// get returns the body of a path that the program serves.
func (s *program) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		return "", fmt.Errorf("%s: %s", path, res.Status)
	}
	return string(body), nil
}

// responseContains is a look function for await: the body of a path contains
// words.
func (s *program) responseContains(path, words string) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := s.get(ctx, path)
		if err == nil && !strings.Contains(body, words) {
			err = fmt.Errorf("%s does not have %q: %s", path, words, body)
		}
		return err
	}
}

// process is one run of a program.
type process struct {
	*program
	cmd   *exec.Cmd
	log   string // file of its output, unless adjust replaced its streams
	ended chan struct{}
}

// start starts the program. Its output goes to a file unless adjust replaces
// the streams. It is killed when the test ends.
func (s *program) start(t *testing.T, adjust ...func(*exec.Cmd)) *process {
	t.Helper()
	p := &process{program: s, log: filepath.Join(s.dir, "out.log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the program has its own descriptor
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), s.path, s.args...)
	p.cmd.Env, p.cmd.Dir = append(os.Environ(), s.env...), s.dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, f := range adjust {
		f(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the result is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote:\n%s", s.name, p.output())
		}
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended
		<-p.ended
	})
	return p
}

// wrapped runs the program through another one, such as nohup.
func wrapped(path string, args ...string) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Args = append(append([]string{path}, args...), append([]string{c.Path}, c.Args[1:]...)...)
		c.Path = path
	}
}

// streams replaces stdout and stderr.
func streams(out, errs *os.File) func(*exec.Cmd) {
	return func(c *exec.Cmd) { c.Stdout, c.Stderr = out, errs }
}

func (p *process) output() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(raw))
}

// await waits until look succeeds; it fails if the program ends before.
func (p *process) await(t *testing.T, what string, look func(context.Context) error) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := look(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s has ended (%s) before this: %s", p.name, p.cmd.ProcessState, what)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %s: %v", p.name, what, err)
		}
	}
}

func (p *process) awaitUp(t *testing.T) {
	t.Helper()
	if p.up != nil {
		p.await(t, "it works", p.up)
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
}

// awaitExit waits for the end and wants an exit code.
func (p *process) awaitExit(t *testing.T, code int) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		t.Fatalf("%s does not end", p.name)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s ended with %s, want exit code %d", p.name, p.cmd.ProcessState, code)
	}
}

// stop ends the program with SIGTERM and wants its clean exit code.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.up != nil {
		p.signal(t, syscall.SIGTERM)
	}
	p.awaitExit(t, p.code)
}

// contains returns nil if a file contains words.
func contains(file, words string) error {
	raw, err := os.ReadFile(file)
	if err == nil && !bytes.Contains(raw, []byte(words)) {
		err = fmt.Errorf("%s does not have %s", file, strconv.Quote(words))
	}
	return err
}

func (p *process) logContains(words string) func(context.Context) error {
	return func(context.Context) error { return contains(p.log, words) }
}

// runToEnd runs the program to its end and returns its exit code and its
// output.
func (s *program) runToEnd(t *testing.T, stdin io.Reader, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = append(os.Environ(), s.env...), s.dir, stdin
	raw, err := cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatalf("%s %v: %v", s.name, args, err)
	}
	return cmd.ProcessState.ExitCode(), string(raw)
}
