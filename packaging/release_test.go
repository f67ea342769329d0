package packaging_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/need"
)

// left are folders that a release does not read.
var left = []string{".git", ".cache", ".demo", ".engines", "bin", "dist"}

// clone copies the tree, as a checkout of it elsewhere.
func clone(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("..", name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(left, rel) || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// release builds programs for a target in dir and returns the folder with them.
func release(t *testing.T, dir, target, programs string, env ...string) string {
	t.Helper()
	tools, err := filepath.Abs("../.cache/tools")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "dist-"+target)
	cmd := exec.CommandContext(t.Context(), ".ci/release", out)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TOOLS="+tools, "VERSION=0.1.0", "SOURCE_DATE_EPOCH=1700000000", "TARGETS="+target, "PROGRAMS="+programs)
	cmd.Env = append(cmd.Env, env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("release in %s: %v\n%s", dir, err, text)
	}
	return out
}

// The second release is built in another folder, at another time, the agent with an
// empty cache too. Compiling Central's SQLite again needs a minute, so only
// CARGA_SOAK=1 does that; otherwise what the C linker makes is compared.
func TestReleaseIsReproducible(t *testing.T) {
	need.That(t, runtime.GOARCH == "amd64", "a machine with amd64", "run it there")
	first, second, empty := clone(t), clone(t), "GOCACHE="+t.TempDir()
	for _, c := range []struct {
		target, program string
		empty           bool
	}{{"armhf", "agent", true}, {"amd64", "central", os.Getenv("CARGA_SOAK") != ""}} {
		var env []string
		if c.empty {
			env = append(env, empty)
		}
		var sums [2]string
		for i, dir := range []string{release(t, first, c.target, c.program), release(t, second, c.target, c.program, env...)} {
			text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
			if err != nil {
				t.Fatal(err)
			}
			sums[i] = string(text)
		}
		// The binary, its package and its SBOM.
		if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 3 {
			t.Errorf("%s for %s: built\n%s and again\n%s", c.program, c.target, sums[0], sums[1])
		}
	}
}

func TestPackageOfTheAgent(t *testing.T) {
	deb := need.Program(t, "dpkg-deb", "apt-get install dpkg")
	need.That(t, runtime.GOARCH == "amd64", "a machine with amd64", "run it there")
	out := release(t, clone(t), "amd64", "agent")
	file := filepath.Join(out, "carga-agent_0.1.0_amd64.deb")
	root := t.TempDir()
	for _, args := range [][]string{{"-x", file, root}, {"-e", file, filepath.Join(root, "DEBIAN")}} {
		if text, err := exec.CommandContext(t.Context(), deb, args...).CombinedOutput(); err != nil {
			t.Fatalf("dpkg-deb %v: %v\n%s", args, err, text)
		}
	}
	conffiles, err := os.ReadFile(filepath.Join(root, "DEBIAN/conffiles"))
	if err != nil || string(conffiles) != "/etc/carga/agent.yaml\n" {
		t.Errorf("conffiles are %q (%v)", conffiles, err)
	}
	// As installed it names what an installer has to write, and drives no simulated
	// hardware.
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/carga-agent"), "--check-config", "--config", filepath.Join(root, "etc/carga/agent.yaml"))
	text, err := cmd.CombinedOutput()
	if exit, is := errors.AsType[*exec.ExitError](err); !is || exit.ExitCode() != 3 || !strings.Contains(string(text), "/etc/carga/board.yaml") {
		t.Errorf("--check-config of the packaged file: %v\n%s", err, text)
	}
}

func TestScriptsHaveNoSyntaxError(t *testing.T) {
	scripts, err := filepath.Glob("debian/*.sh")
	if err != nil || len(scripts) != 3 {
		t.Fatalf("got %v %v, want three scripts", scripts, err)
	}
	for _, script := range scripts {
		if text, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, text)
		}
	}
}
