package environment_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/internal/need"
)

// TestPortInUse: an agent and a bridge work, and serve health once the port is
// free. Central and the demo, whose page is essential, end with a message.
func TestPortInUse(t *testing.T) {
	occupied := func(t *testing.T, newSubject func(*testing.T) *program) (*program, net.Listener) {
		t.Helper()
		var lc net.ListenConfig
		for range 10 { // another process may take the port before
			s := newSubject(t)
			if l, err := lc.Listen(t.Context(), "tcp", s.addr); err == nil {
				t.Cleanup(func() { _ = l.Close() }) // may be closed already
				return s, l
			}
		}
		t.Fatal("no port can be occupied")
		return nil, nil
	}
	for name, make := range map[string]func(*testing.T) *program{"agent": newAgent, "bridge": newBridge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := occupied(t, make)
			p := s.start(t)
			p.await(t, "it reports what is wrong", p.logContains("another program uses the port"))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			p.await(t, "it serves", s.responseContains("/readyz", `"observe"`))
			if name == "agent" {
				p.await(t, "its own page works", s.responseContains("/status.json", `"status":"available"`))
			}
			p.stop(t)
		})
	}
	for name, make := range map[string]func(*testing.T) *program{"central": newCentral, "demo": newDemo} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := occupied(t, make)
			p := s.start(t)
			p.awaitExit(t, 1)
			if err := contains(p.log, "address already in use"); err != nil {
				t.Error(err)
			}
			if err := contains(p.log, "another port"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAddressNotYetAssigned: a program works without its listening address, and
// serves there once the machine has the address.
func TestAddressNotYetAssigned(t *testing.T) {
	const late = "192.0.2.77"
	ip := need.Program(t, "ip", "apt-get install iproute2")
	unshare, nsenter := need.Program(t, "unshare", "apt-get install util-linux"), need.Program(t, "nsenter", "apt-get install util-linux")
	curl := need.Program(t, "curl", "apt-get install curl")
	code, _ := (&program{path: unshare, dir: t.TempDir()}).runToEnd(t, nil, "--net", "true")
	need.That(t, code == 0, "a network of its own", "run it as root on Linux")
	own := wrapped(unshare, "--net", "sh", "-c", ip+` link set lo up && exec "$0" "$@"`) // the program gets the process id
	arrive := func(t *testing.T, p *process, port string) {
		t.Helper()
		inside := &program{path: nsenter, dir: p.dir}
		pid := strconv.Itoa(p.cmd.Process.Pid)
		if code, out := inside.runToEnd(t, nil, "--net", "--target", pid, ip, "addr", "add", late+"/32", "dev", "lo"); code != 0 {
			t.Fatal(out)
		}
		p.await(t, "it serves", func(context.Context) error {
			code, out := inside.runToEnd(t, nil, "--net", "--target", pid, curl, "-s", "-w", "%{http_code}", "http://"+net.JoinHostPort(late, port)+"/readyz") //nolint:contextcheck // it uses the test's
			// A Central with accounts shows its checks to this machine alone.
			if code != 0 || !strings.Contains(out, `"checks"`) && !strings.HasSuffix(out, "503") {
				return fmt.Errorf("curl: %d %s", code, out)
			}
			return nil
		})
	}
	t.Run("an agent charges", func(t *testing.T) {
		s, controls := agentWithBoard(t)
		s.set("CARGA_AGENT_OBSERVE__LISTEN="+late+":9464", "CARGA_AGENT_OBSERVE__INSECURE=true")
		p := s.start(t, own)
		p.await(t, "it reports what is wrong", p.logContains("this machine does not have the address"))
		if err := controls.Plug(1); err != nil {
			t.Fatal(err)
		}
		p.await(t, "it charges", p.logContains(`"status":"charging"`))
		arrive(t, p, "9464")
		p.stop(t)
		if got := records(t, s); strings.Count(got, `"charging_started"`) != 1 || strings.Count(got, `"charging_stopped"`) != 1 {
			t.Errorf("want one session, begun and ended: %s", got)
		}
	})
	t.Run("a bridge", func(t *testing.T) {
		s := newBridge(t)
		s.set("CARGA_BRIDGE_OBSERVE__LISTEN="+late+":9464", "CARGA_BRIDGE_OBSERVE__INSECURE=true")
		p := s.start(t, own)
		p.await(t, "it reports what is wrong", p.logContains("this machine does not have the address"))
		p.await(t, "it works", p.logContains("waiting for Kafka"))
		arrive(t, p, "9464")
		p.stop(t)
	})
	t.Run("a Central", func(t *testing.T) {
		s := newCentral(t)
		// Beyond loopback it needs accounts, and HTTPS or a proxy that has it.
		s.set("CARGA_CENTRAL_HTTP__LISTEN="+late+":8080", "CARGA_CENTRAL_WEB__ACCESS=accounts",
			"CARGA_CENTRAL_HTTP__PUBLIC_URL=https://"+late+":8080", "CARGA_CENTRAL_HTTP__TRUSTED_PROXIES="+late)
		p := s.start(t, own)
		p.await(t, "it reports what is wrong", p.logContains("this machine does not have the address"))
		p.await(t, "it works", p.logContains("waiting for Kafka"))
		arrive(t, p, "8080")
		p.stop(t)
	})
}

// disk mounts a small file system, with options, at the program's folder
// "data", and returns a function that remounts it.
func disk(t *testing.T, s *program, options string) (remount func(options string)) {
	t.Helper()
	dir := filepath.Join(s.dir, "data")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	mount := need.Program(t, "mount", "apt-get install mount")
	do := func(options string) error {
		out, err := exec.CommandContext(t.Context(), mount, "-t", "tmpfs", "-o", options, "carga-test", dir).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
	err := do(options)
	need.That(t, err == nil, "to mount a tmpfs", "run it as root on Linux")
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return func(options string) {
		t.Helper()
		if err := do("remount," + options); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFolderThatCannotBeWritten: an agent and a Central wait, and report for
// what; programs that people start end with a remedy.
func TestFolderThatCannotBeWritten(t *testing.T) {
	for _, c := range []struct{ name, bad, good, hint string }{
		{"read-only", "ro,size=1g", "rw,size=1g", "mount it writable"},
		{"full", "size=4k", "size=1g", "free some"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, make := range map[string]func(*testing.T) *program{"agent": newAgent, "central": newCentral} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := make(t)
					remount := disk(t, s, c.bad)
					p := s.start(t)
					p.await(t, "it reports what it waits for", p.logContains("cannot start yet; trying again"))
					if err := contains(p.log, c.hint); err != nil && errors.Join(err, contains(p.log, "free some")) != nil {
						t.Error(err)
					}
					p.await(t, "health reports it", s.responseContains("/readyz", `"up": false`))
					p.await(t, "and since when", s.responseContains("/readyz", `"since"`))
					remount(c.good)
					p.await(t, "it starts", s.responseContains("/readyz", `"loops"`))
					p.await(t, "it works", func(ctx context.Context) error {
						return errors.Join(p.logContains("waiting for ")(ctx), p.isLive(ctx))
					})
					p.stop(t)
				})
				t.Run(name+" is stopped", func(t *testing.T) {
					t.Parallel()
					s := make(t)
					disk(t, s, c.bad)
					p := s.start(t)
					p.await(t, "it reports what it waits for", p.logContains("cannot start yet; trying again"))
					p.stop(t)
				})
			}
		})
	}
	for name, code := range map[string]int{"demo": 2, "fleet": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newDemo(t)
			if name == "fleet" {
				s = newSim(t, "fleet", "--cps", "1", "--mqtt", "tcp://"+nowhere)
				s.args = append(s.args, "--data", filepath.Join(s.dir, "data"))
			}
			disk(t, s, "ro,size=1g")
			p := s.start(t)
			p.awaitExit(t, code)
			if err := contains(p.log, "mount it writable"); err != nil {
				t.Error(err)
			}
		})
	}
}
