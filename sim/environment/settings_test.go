package environment_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// configured runs a test with the programs that have a configuration: with the
// prefix of their variables and the path of their sample.
func configured(t *testing.T, test func(t *testing.T, s *program, prefix, sample string)) {
	t.Helper()
	for _, p := range []struct {
		name string
		make func(*testing.T) *program
	}{{"agent", newAgent}, {"bridge", newBridge}, {"central", newCentral}} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			sample, err := filepath.Abs(filepath.Join(root, "configs", p.name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			test(t, p.make(t), "CARGA_"+strings.ToUpper(p.name)+"_", sample)
		})
	}
}

// TestVariablesOfAService: a Kubernetes service with the name of a program sets
// variables that look like those of the program. They are ignored.
func TestVariablesOfAService(t *testing.T) {
	configured(t, func(t *testing.T, s *program, prefix, _ string) {
		t.Helper()
		for _, v := range []string{
			"SERVICE_HOST=10.0.0.5", "SERVICE_PORT=8080", "SERVICE_PORT_HTTP=8080", "PORT=tcp://10.0.0.5:8080", "PORT_8080_TCP=tcp://10.0.0.5:8080",
			"PORT_8080_TCP_PROTO=tcp", "PORT_8080_TCP_PORT=8080", "PORT_8080_TCP_ADDR=10.0.0.5",
		} {
			s.set(prefix + v)
		}
		if code, out := s.runToEnd(t, nil, "--check-config"); code != 0 {
			t.Errorf("code %d, want 0: %s", code, out)
		}
		s.set(prefix + "LOG__LEVEL=debug")
		p := s.start(t)
		p.awaitUp(t)
		p.await(t, "it names them", p.logContains(prefix+"PORT_8080_TCP_ADDR"))
		p.stop(t)
		s.set(prefix + "LOG__LEVEL2=debug")
		if code, out := s.runToEnd(t, nil, "--check-config"); code != 3 || !strings.Contains(out, `did you mean "level"?`) {
			t.Errorf("code %d, want 3 and a suggestion: %s", code, out)
		}
	})
}

// TestConfigurationFromAPipe: the configuration is read once and to its end,
// whatever writes it.
func TestConfigurationFromAPipe(t *testing.T) {
	configured(t, func(t *testing.T, s *program, _, sample string) {
		t.Helper()
		raw, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		fifo := filepath.Join(s.dir, "pipe")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		windows := "\xef\xbb\xbf" + strings.ReplaceAll(string(raw), "\n", "\r\n")
		for _, text := range []string{string(raw), windows} {
			if code, out := s.runToEnd(t, strings.NewReader(text), "--check-config", "--config", "/dev/stdin"); code != 0 {
				t.Errorf("standard input: code %d, %s", code, out)
			}
			written := make(chan error, 1)
			go func() { written <- os.WriteFile(fifo, []byte(text), 0) }()
			if code, out := s.runToEnd(t, nil, "--check-config", "--config", fifo); code != 0 {
				t.Errorf("a named pipe: code %d, %s", code, out)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		}
		if code, out := s.runToEnd(t, strings.NewReader(strings.Repeat("# too long\n", 1<<20)), "--check-config", "--config", "/dev/stdin"); code != 3 || !strings.Contains(out, "larger than 1 MiB") {
			t.Errorf("without end: code %d, %s", code, out)
		}
		bash, err := exec.LookPath("bash")
		if err != nil {
			return // other shells have no process substitution
		}
		shell := *s
		shell.path = bash
		if code, out := shell.runToEnd(t, nil, "-c", `exec "$0" --check-config --config <(cat "$1")`, s.path, sample); code != 0 {
			t.Errorf("a process substitution: code %d, %s", code, out)
		}
		// It runs with that configuration.
		s.args = []string{"--config", "/dev/stdin"}
		r, w := pipe(t)
		p := s.start(t, func(c *exec.Cmd) { c.Stdin = r })
		if _, err := w.WriteString(windows); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		p.awaitUp(t)
		p.stop(t)
	})
}

// TestFilesOfAnotherSystem: byte order marks and CRLF are accepted in every
// file that a user supplies; UTF-16 is reported.
func TestFilesOfAnotherSystem(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("list of a driver", func(t *testing.T) {
		s := newSim(t, "driver")
		if code, out := s.runToEnd(t, nil, "driver", "run", file("list", "\xef\xbb\xbfCP_1\r\n# two\r\nany\r\n"), "--kafka", nowhere, "--deadline", "100ms", "--gap", "1ms"); code != 4 {
			t.Errorf("code %d, want 4 because Kafka is away: %s", code, out)
		}
		if code, out := s.runToEnd(t, nil, "driver", "run", file("list16", "\xff\xfeC\x00P\x00")); code != 3 || !strings.Contains(out, "is UTF-16") {
			t.Errorf("code %d, want 3 and what is wrong: %s", code, out)
		}
	})
	t.Run("settings", func(t *testing.T) {
		s := newCentral(t)
		p := s.start(t)
		p.awaitUp(t)
		db := filepath.Join(s.dir, "data", "central.db")
		code, out := s.runToEnd(t, nil, "export-settings", "--db", db)
		if code != 0 {
			t.Fatalf("code %d, %s", code, out)
		}
		p.stop(t)
		rebuilding := *s // it waits for Kafka: the settings were read
		rebuilding.dir = folder(t)
		rebuilding.args = []string{"rebuild", "--into", filepath.Join(s.dir, "new.db"), "--settings", file("settings", "\xef\xbb\xbf"+strings.ReplaceAll(out, "\n", "\r\n"))}
		r := rebuilding.start(t)
		r.await(t, "it waits for Kafka", r.logContains("waiting for Kafka"))
		r.signal(t, syscall.SIGTERM)
		r.awaitExit(t, 1)
		if code, out := s.runToEnd(t, nil, "rebuild", "--into", filepath.Join(s.dir, "new2.db"), "--settings", file("settings16", "\xff\xfe{\x00")); code != 1 || !strings.Contains(out, "is UTF-16") {
			t.Errorf("code %d, want 1 and what is wrong: %s", code, out)
		}
	})
	for _, make := range []func(*testing.T) *program{newAgent, newBridge} {
		s := make(t)
		t.Run("password of the "+s.name, func(t *testing.T) {
			prefix := "CARGA_" + strings.ToUpper(s.name) + "_MQTT__"
			s.set(prefix+"USERNAME=u", prefix+"PASSWORD_FILE="+file(s.name, "\xef\xbb\xbfhunter2\r\n"))
			p := s.start(t)
			p.awaitUp(t)
			p.stop(t)
		})
	}
}
