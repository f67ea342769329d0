package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/operator"
)

// machine is one of the machines of docs/OPERATIONS.md: an address of loopback,
// and a folder with the programs and the samples. Loopback in the samples is
// replaced by the machine's own address, so that it reaches another machine
// only where a command of the document names that one.
type machine struct {
	name, dir, addr string
	replacer        *strings.Replacer // addresses of the document → addresses here
	start           []string          // commands that start it
	env             []string          // its exports
	staying         map[string]*chaos.Process
}

// stayingCommand matches the commands that run until they are stopped.
var stayingCommand = regexp.MustCompile(`^bin/(bridge|(central|agent) --config|sim board|sim driver request .*ben)`)

// TestThreeMachines performs the document's commands for several machines: a
// session from the request to the ticket; then each machine loses power during
// a session and is started again by the same commands.
func TestThreeMachines(t *testing.T) {
	m := machines(t)
	t.Parallel()
	central := operator.New(m["B"].addr+":8080", 5*time.Second)
	t.Cleanup(central.Close)
	_, section, _ := strings.Cut(operations(t), "\n## On several machines\n")
	section, _, _ = strings.Cut(section, "\n## ")
	starts, checks, found := strings.Cut(section, "\n### Check\n")
	if !found {
		t.Fatal("the document has no check where this test looks for it")
	}
	for _, c := range commands(starts) {
		m[c.machine].start = append(m[c.machine].start, c.line)
		m[c.machine].run(t, c.line)
	}
	checks, pulls, _ := strings.Cut(checks, "\n### Pull a machine\n")
	pulls, _, _ = strings.Cut(pulls, "\n### ")
	check := func() {
		for _, c := range commands(checks) {
			m[c.machine].run(t, c.line)
		}
	}
	check()
	checkOperations(t, m["B"])

	drive := commands(pulls)
	if len(drive) != 1 {
		t.Fatalf("the document has %d commands where this test looks for the one of a driver", len(drive))
	}
	for _, pulled := range []struct {
		machine string
		until   func(context.Context) error // the others have noticed
	}{
		{"B", m["B"].silent},
		{"A", func(ctx context.Context) error {
			return errors.Join(m["B"].healthIs(ctx, "8080", false, "waiting for Kafka"), m["C"].healthIs(ctx, "9464", true, "waiting for MQTT"))
		}},
		{"C", func(ctx context.Context) error {
			v, err := central.Network(ctx)
			if p := v.Point("CP_001"); err == nil && (p == nil || p.Link != "offline") {
				err = fmt.Errorf("the charging point is not offline: %+v", p)
			}
			return err
		}},
	} {
		before := awaitCharging(t, central, m["D"], drive[0].line)
		t.Logf("%s %s loses power", time.Now().Format(time.TimeOnly), pulled.machine)
		m[pulled.machine].cutPower(t)
		await(t, pulled.machine+" is noticed as missing", pulled.until)
		for _, line := range m[pulled.machine].start {
			m[pulled.machine].run(t, line)
		}
		await(t, pulled.machine+" is back", func(ctx context.Context) error {
			return sessionAdvanced(ctx, central, before, pulled.machine == "C")
		})
	}
	m["D"].cutPower(t)
	check()
	settled(t, central)
}

// machines prepares the machines; nothing runs yet.
func machines(t *testing.T) map[string]*machine {
	t.Helper()
	need.That(t, runtime.GOOS == "linux", "Linux", "elsewhere loopback has one address")
	for _, program := range []string{"make", "curl"} {
		need.Program(t, program, "apt-get install "+program)
	}
	apache(t) // is fetched
	bin, dir := programs(t), folder(t)
	network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), 1+rand.IntN(254)) // several of these tests may run on one machine
	m := map[string]*machine{}
	for name, host := range map[string]string{"A": "2", "B": "3", "C": "4", "D": "5"} {
		o := &machine{name: name, dir: filepath.Join(dir, name), addr: network + host, staying: map[string]*chaos.Process{}}
		o.replacer = strings.NewReplacer("192.168.1.10", network+"2", "192.168.1.20", network+"3", "192.168.1.30", network+"4", "127.0.0.1", o.addr)
		o.install(t, bin)
		m[name] = o
	}
	for _, addr := range []string{m["A"].addr + ":1883", m["A"].addr + ":9092", m["A"].addr + ":9093", m["B"].addr + ":8080"} {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", addr)
		need.That(t, err == nil, "the port of "+addr, "stop what listens there at all addresses of this machine")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m["A"].endEngines(t)
	return m
}

// install copies the programs and the samples to the machine.
func (m *machine) install(t *testing.T, bin string) {
	t.Helper()
	cache, err := filepath.Abs(filepath.Join(root, ".cache"))
	if err == nil {
		err = errors.Join(os.MkdirAll(m.dir, 0o750), os.CopyFS(filepath.Join(m.dir, ".ci"), os.DirFS(filepath.Join(root, ".ci"))))
	}
	if err == nil {
		err = errors.Join(os.CopyFS(filepath.Join(m.dir, "configs"), os.DirFS(filepath.Join(root, "configs"))),
			os.Symlink(bin, filepath.Join(m.dir, "bin")), os.Symlink(cache, filepath.Join(m.dir, ".cache")))
	}
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(m.dir, "configs/*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(m.dir, "Makefile")) {
		from := file
		if filepath.Base(file) == "Makefile" {
			from = filepath.Join(root, "Makefile")
		}
		raw, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(file, []byte(m.replacer.Replace(string(raw))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// endEngines stops the engines when this process ends, however it ends.
func (m *machine) endEngines(t *testing.T) {
	t.Helper()
	cleaner := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", `trap "" INT; cat >/dev/null; exec .ci/engines stop`)
	cleaner.Dir = m.dir
	life, err := cleaner.StdinPipe()
	if err == nil {
		err = cleaner.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(life.Close(), cleaner.Wait()); err != nil {
			t.Errorf("the engines did not end: %v", err)
		}
	})
}

// run executes a command of the document. One that stays is started unless it
// runs; any other must succeed, and is retried where it depends on other
// machines.
func (m *machine) run(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, "  #")
	line = m.replacer.Replace(strings.TrimSpace(line))
	t.Logf("%s %s$ %s", time.Now().Format(time.TimeOnly), m.name, line)
	if set, is := strings.CutPrefix(line, "export "); is {
		m.env = append(m.env, strings.Fields(set)...)
		return
	}
	if stayingCommand.MatchString(line) {
		m.startStaying(t, line)
		return
	}
	attempt := func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Dir, cmd.Env = m.dir, append(os.Environ(), m.env...)
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil:
			err = fmt.Errorf("%s$ %s: %w\n%s", m.name, line, err, out)
		case strings.Contains(line, "readyz") && !strings.Contains(string(out), `"ok": true`),
			strings.Contains(line, "POST") && !strings.Contains(string(out), `"accepted":true`):
			err = fmt.Errorf("%s$ %s printed %s", m.name, line, out)
		}
		return err
	}
	if strings.Contains(line, "curl") || strings.Contains(line, "driver") {
		await(t, line, attempt)
	} else if err := attempt(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// startStaying starts a command that stays, unless it runs.
func (m *machine) startStaying(t *testing.T, line string) {
	t.Helper()
	p := m.staying[line]
	if p == nil {
		p = &chaos.Process{
			Name: strings.Fields(line)[0], Path: "/bin/sh", Args: []string{"-c", "exec " + line}, Dir: m.dir, Env: m.env,
			Log: filepath.Join(m.dir, fmt.Sprintf("%d.log", len(m.staying))),
		}
		if m.name == "C" && os.Geteuid() == 0 {
			p.Args[1] = "exec nice -n -15 " + line // a real charging point has a CPU of its own
		}
		m.staying[line] = p
		t.Cleanup(func() {
			if _, err := p.Kill(); err != nil && !errors.Is(err, chaos.ErrNotRunning) {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("%s$ %s\n%s", m.name, line, p.Tail())
			}
		})
	}
	if p.Alive() {
		return
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// cutPower kills all processes of the machine but the board, which is hardware.
func (m *machine) cutPower(t *testing.T) {
	t.Helper()
	for line, p := range m.staying {
		if strings.Contains(line, "sim board") {
			continue
		}
		if _, err := p.Kill(); err != nil && !errors.Is(err, chaos.ErrNotRunning) {
			t.Fatal(err)
		}
	}
	engines, err := filepath.Glob(filepath.Join(m.dir, ".engines/*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range engines {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		number, _, _ := strings.Cut(string(raw), " ")
		pid, err := strconv.Atoi(number)
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	m.env = nil // its commands set it again
}

// get reads a JSON document from the machine over HTTP.
func (m *machine) get(ctx context.Context, port, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(m.addr, port)+path, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return json.NewDecoder(resp.Body).Decode(out)
}

// healthIs wants /readyz to return ok, and a reason that begins with words.
func (m *machine) healthIs(ctx context.Context, port string, ok bool, words string) error {
	var ready struct {
		OK     bool `json:"ok"`
		Checks []struct {
			Reason string `json:"reason"`
		} `json:"checks"`
	}
	if err := m.get(ctx, port, "/readyz", &ready); err != nil {
		return err
	}
	for _, c := range ready.Checks {
		if ready.OK == ok && strings.HasPrefix(c.Reason, words) {
			return nil
		}
	}
	return fmt.Errorf("%s returns %+v, want ok %v because of %q", m.name, ready, ok, words)
}

// silent wants no answer.
func (m *machine) silent(ctx context.Context) error {
	var answer any
	if err := m.get(ctx, "8080", "/readyz", &answer); err == nil {
		return errors.New("it still answers")
	}
	return nil
}

// connectorState is the state of the one connector.
type connectorState struct {
	status  charge.Status
	session charge.SessionID
	energy  charge.WattHours
}

// awaitCharging waits until a session charges, and returns its connector. If
// there is no session, a driver is started.
func awaitCharging(t *testing.T, central *operator.API, drivers *machine, line string) connectorState {
	t.Helper()
	var now connectorState
	await(t, "a session that charges", func(ctx context.Context) (err error) {
		if now, err = connector(ctx, central); err != nil {
			return err
		}
		if now.status == charge.StatusAvailable { // and the previous driver has left
			drivers.run(t, line) //nolint:contextcheck // the driver outlives this call
		}
		if now.session == "" || now.energy == 0 {
			return fmt.Errorf("no energy flows: %+v", now)
		}
		return nil
	})
	return now
}

func connector(ctx context.Context, central *operator.API) (connectorState, error) {
	v, err := central.Network(ctx)
	if err != nil {
		return connectorState{}, err
	}
	if p := v.Point("CP_001"); p != nil && len(p.Connectors) == 1 {
		k := &p.Connectors[0]
		return connectorState{k.Status, k.SessionID, k.Energy}, nil
	}
	return connectorState{}, errors.New("the charging point is not known")
}

// sessionAdvanced wants a session to have continued, or to have ended: by the
// power loss if its charging point was cut.
func sessionAdvanced(ctx context.Context, central *operator.API, before connectorState, cut bool) error {
	all, err := central.Sessions(ctx, "")
	if err != nil {
		return err
	}
	now, err := connector(ctx, central)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.ID != before.session {
			continue
		}
		if s.State == "closed" && (!cut || s.Reason == charge.StopPowerLoss) || !cut && now.session == s.ID && now.energy > before.energy {
			return nil
		}
		return fmt.Errorf("the session is %+v, its connector %+v; before it was %+v", s, now, before)
	}
	return fmt.Errorf("session %s is gone", before.session)
}

// settled wants every record to be applied, and all energy to be on tickets.
func settled(t *testing.T, central *operator.API) {
	t.Helper()
	await(t, "all is settled", func(ctx context.Context) error {
		v, err := central.Network(ctx)
		if err != nil {
			return err
		}
		open, err := central.Sessions(ctx, "open")
		if b := v.Books; err == nil && (len(open) > 0 || b.Unacked > 0 || b.Lost > 0 || b.Twice > 0 || b.Unaccounted > 0 || b.Applied == 0) {
			err = fmt.Errorf("%d sessions are open, the books are %+v", len(open), b)
		}
		return err
	})
}

// checkOperations wants Central's API to have each operation that the document
// names.
func checkOperations(t *testing.T, central *machine) {
	t.Helper()
	var api struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := central.get(t.Context(), "8080", "/api/v1/openapi.json", &api); err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\{[a-z]+\}`)
	has := map[string]bool{}
	for path, methods := range api.Paths {
		_, post := methods["post"]
		has[parameter.ReplaceAllString(path, "{}")] = post
	}
	named := regexp.MustCompile("`POST (/[^`]+)`").FindAllStringSubmatch(operations(t), -1)
	for _, n := range named {
		if !has[parameter.ReplaceAllString(n[1], "{}")] {
			t.Errorf("the document names POST %s, which Central does not have", n[1])
		}
	}
	if len(named) == 0 {
		t.Error("the document names no operation")
	}
}

// command is a command of the document, with its machine.
type command struct{ machine, line string }

// commands returns the commands in a part of the document.
func commands(text string) (all []command) {
	for _, found := range regexp.MustCompile(`(?m)^([A-D])\$ (.+)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, command{found[1], found[2]})
	}
	return all
}

// operations returns docs/OPERATIONS.md.
func operations(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docs/OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
