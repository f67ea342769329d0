package pi_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/pi"
)

// root is the module's folder, relative to this one.
const root = "../.."

// limit bounds each wait, for a test that hangs; it is not a measurement.
const limit = 90 * time.Second

// binaries is the folder of the built programs, until TestMain ends.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "carga")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// buildHost builds bridge, Central and the simulator, once.
var buildHost = sync.OnceValue(func() error {
	return build(nil, "-o", binaries+"/", "./bridge", "./central", "./sim")
})

// buildInit builds the first process of the machine, once.
var buildInit = sync.OnceValue(func() error {
	return build([]string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"},
		"-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(binaries, "init"), "./sim/pi/init")
})

// build runs go build in the module's folder.
func build(env []string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// agentFor builds the agent for a target as it is released, and returns its path.
func agentFor(t *testing.T, target string) string {
	t.Helper()
	run(t, "make", "-s", "-C", root, "cross-"+target)
	return filepath.Join(root, "bin/cross/agent-linux-"+target)
}

// run runs a program to its end.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// await calls look until it returns nil.
func await(t *testing.T, what string, look func(context.Context) error) {
	t.Helper()
	if err := chaos.Await(t.Context(), limit, look); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// folder makes a folder with a path short enough for sockets. It is kept when
// the test fails.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carga") //nolint:usetesting // the name of the test is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("everything is kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// system is what is needed of Debian: the emulator, and what it boots.
type system struct {
	qemu, mkfs, debugfs string // programs
	kernel, tree        string
	modules             []string // drivers, in the order in which they are loaded
}

// needSystem finds it, or ends the test.
func needSystem(t *testing.T) *system {
	t.Helper()
	const remedy = ".ci/pi fetch, as root on Debian"
	dir := filepath.Join(root, ".cache/pi")
	s := &system{
		qemu:    need.Program(t, "qemu-system-aarch64", "apt-get install qemu-system-arm"),
		mkfs:    need.Program(t, "mkfs.ext4", "apt-get install e2fsprogs"),
		debugfs: need.Program(t, "debugfs", "apt-get install e2fsprogs"),
		kernel:  filepath.Join(dir, "vmlinuz"),
		tree:    filepath.Join(dir, "bcm2837-rpi-3-b.dtb"),
	}
	list, err := os.ReadFile(filepath.Join(dir, "modules.txt")) // written last
	need.That(t, err == nil, "Debian's kernel for a Raspberry Pi", remedy)
	for name := range strings.Lines(string(list)) {
		s.modules = append(s.modules, filepath.Join(dir, strings.TrimSpace(name)))
	}
	return s
}

// systemFiles are the files of a machine: init, the agent with its
// configuration and the shipped board file, and the drivers.
func systemFiles(t *testing.T, s *system, config string) []file {
	t.Helper()
	if err := buildInit(); err != nil {
		t.Fatal(err)
	}
	files := []file{{pi.ConfigFile, 0o644, []byte(config)}}
	add := func(name string, mode uint32, from string) {
		f, err := readFile(name, mode, from)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	add(pi.BoardFile, 0o644, filepath.Join(root, "configs/boards/bench-contacts.yaml"))
	add("/init", 0o755, filepath.Join(binaries, "init"))
	add(pi.AgentFile, 0o755, agentFor(t, "arm64"))
	for i, from := range s.modules {
		add(fmt.Sprintf("%s/%02d-%s", pi.ModuleDir, i, filepath.Base(from)), 0o644, from)
	}
	return files
}

// network starts broker, bridge and Central.
func network(t *testing.T) *chaos.Network {
	t.Helper()
	engines := chaos.Engines{
		Mosquitto:     need.Program(t, "mosquitto", "apt-get install mosquitto"),
		MosquittoConf: filepath.Join(root, "configs/mosquitto.conf"),
	}
	if err := buildHost(); err != nil {
		t.Fatal(err)
	}
	n, err := chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: binaries, Dir: folder(t), Engines: engines, Connectors: 1, Partitions: 1, KeepAlive: 30 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// online returns a look function for await: Central has a charging point, with all
// its records.
func online(n *chaos.Network, id charge.CPID) func(context.Context) error {
	return func(ctx context.Context) error {
		v, err := n.API.Network(ctx)
		if err != nil {
			return err
		}
		if p := v.Point(id); p == nil || p.Link != "online" || p.Unacked > 0 {
			return fmt.Errorf("%s is %+v", id, p)
		}
		return nil
	}
}

// reconcile waits until Central has all that is in a journal, whose agent has
// ended.
func reconcile(t *testing.T, n *chaos.Network, id charge.CPID, journal string) (a chaos.Account) {
	t.Helper()
	await(t, "journal and Central agree", func(ctx context.Context) (err error) {
		if a, err = n.ReconcileJournal(ctx, id, journal); err == nil && (len(a.Violations) > 0 || a.Applied == 0) {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
	return a
}
