package environment_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/internal/need"
)

// TestHangUpStopsCleanly: when the terminal is closed the program stops
// cleanly, also if its shell sends SIGHUP a second time.
func TestHangUpStopsCleanly(t *testing.T) {
	eachServer(t, func(t *testing.T, s *program) {
		t.Helper()
		p := s.start(t)
		p.awaitUp(t)
		p.signal(t, syscall.SIGHUP)
		_ = p.cmd.Process.Signal(syscall.SIGHUP) // it may have ended
		p.awaitExit(t, 0)
	})
	t.Run("driver", func(t *testing.T) {
		s := newSim(t, "driver", "request", "--kafka", nowhere, "--deadline", "1h")
		p := s.start(t)
		p.await(t, "it waits", p.logContains("waiting for Kafka"))
		p.signal(t, syscall.SIGHUP)
		p.awaitExit(t, 130)
	})
}

// TestHangUpEndsASessionCleanly: the journal then has the end of the session.
func TestHangUpEndsASessionCleanly(t *testing.T) {
	s, controls := agentWithBoard(t)
	p := s.start(t)
	p.awaitUp(t)
	if err := controls.Plug(1); err != nil {
		t.Fatal(err)
	}
	p.await(t, "it charges", s.connectorStatusIs("charging"))
	p.signal(t, syscall.SIGHUP)
	p.awaitExit(t, 0)
	if got := records(t, s); strings.Count(got, `"charging_stopped"`) != 1 {
		t.Errorf("the session has no end: %s", got)
	}
}

// TestNohup: under nohup a program outlives its terminal.
func TestNohup(t *testing.T) {
	nohup := need.Program(t, "nohup", "apt-get install coreutils")
	eachServer(t, func(t *testing.T, s *program) {
		t.Helper()
		p := s.start(t, wrapped(nohup))
		p.awaitUp(t)
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		need.That(t, err == nil, "/proc", "run it on Linux")
		_, mask, _ := strings.Cut(string(raw), "SigIgn:\t")
		ignored, err := strconv.ParseUint(strings.Fields(mask)[0], 16, 64)
		if err != nil || ignored&(1<<(syscall.SIGHUP-1)) == 0 {
			t.Errorf("SIGHUP is not ignored: %x %v", ignored, err)
		}
		p.signal(t, syscall.SIGHUP)
		p.awaitUp(t)
		p.stop(t)
	})
}

// TestFirstProcess: a program that is process 1 of a container, where no other
// process handles signals and orphans, stops on SIGTERM and leaves no zombies.
func TestFirstProcess(t *testing.T) {
	unshare := need.Program(t, "unshare", "apt-get install util-linux")
	code, _ := (&program{path: unshare, dir: t.TempDir()}).runToEnd(t, nil, "--pid", "--fork", "true")
	need.That(t, code == 0, "a namespace of processes", "run it as root on Linux")
	eachServer(t, func(t *testing.T, s *program) {
		t.Helper()
		// The shell is process 1 and becomes the program; its child is an
		// orphan that ends at once.
		p := s.start(t, wrapped(unshare, "--pid", "--fork", "--kill-child", "sh", "-c", `true & exec "$0" "$@"`))
		p.awaitUp(t)
		first, err := child(p.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(s.name, "sim") { // sim starts programs itself and waits for those
			p.await(t, "the dead are taken away", func(context.Context) error {
				if dead, err := child(first); err == nil && dead != 0 {
					return fmt.Errorf("process %d is left", dead)
				}
				return nil
			})
		}
		if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.awaitExit(t, 0)
	})
}

// child returns the first child of a process, 0 if it has none.
func child(pid int) (int, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		return 0, errors.Join(err, fmt.Errorf("process %d is not there", pid))
	}
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		if all := strings.Fields(string(raw)); len(all) > 0 {
			return strconv.Atoi(all[0])
		}
	}
	return 0, nil
}
