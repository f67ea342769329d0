package environment_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/hal/sim/board"
)

// brokenPipe returns a pipe whose reader is closed.
func brokenPipe(t *testing.T) *os.File {
	t.Helper()
	r, w := pipe(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() }) // some are closed already
	return r, w
}

// TestLogReaderIsGone: a write to a closed pipe does not end a program; it
// works and stops cleanly.
func TestLogReaderIsGone(t *testing.T) {
	each(t, func(t *testing.T, s *program) {
		t.Helper()
		w := brokenPipe(t)
		p := s.start(t, streams(w, w))
		p.awaitUp(t)
		p.stop(t)
	})
}

// agentWithBoard makes an agent with free vending and starts its board, whose
// controls plug vehicles in.
func agentWithBoard(t *testing.T) (*program, board.Simulator) {
	t.Helper()
	b, s := newBoard(t), newAgent(t)
	b.start(t).awaitUp(t)
	s.set("CARGA_AGENT_HARDWARE__KIND=board", "CARGA_AGENT_HARDWARE__BOARD__SOCKET="+b.socket(),
		"CARGA_AGENT_POLICIES__FREE_VEND=true", "CARGA_AGENT_INTERVALS__METER_READ=1s")
	return s, board.NewSimulator(board.Unix(b.socket()))
}

// connectorStatusIs is a look function for await: the agent's connector has a
// status.
func (s *program) connectorStatusIs(status string) func(context.Context) error {
	return s.responseContains("/metrics", fmt.Sprintf("carga_agent_connector_status{connector=%q,status=%q} 1", "1", status))
}

// records exports the journal of an agent.
func records(t *testing.T, s *program) string {
	t.Helper()
	code, out := s.runToEnd(t, nil, "journal", "export", s.dir+"/data")
	if code != 0 {
		t.Fatalf("export: code %d, %s", code, out)
	}
	return out
}

// TestLogReaderGoesDuringASession: charging continues, and the session ends as
// usual.
func TestLogReaderGoesDuringASession(t *testing.T) {
	s, controls := agentWithBoard(t)
	r, w := pipe(t)
	p := s.start(t, streams(w, w))
	p.awaitUp(t)
	if err := controls.Plug(1); err != nil {
		t.Fatal(err)
	}
	p.await(t, "it charges", s.connectorStatusIs("charging"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := controls.Unplug(1); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the session ends", s.connectorStatusIs("available"))
	p.await(t, "what is not written is counted", func(ctx context.Context) error {
		body, err := s.get(ctx, "/metrics")
		if err == nil && (!strings.Contains(body, "carga_agent_log_lost_lines_total ") || strings.Contains(body, "carga_agent_log_lost_lines_total 0")) {
			err = fmt.Errorf("no line of the log counts as lost: %s", body)
		}
		return err
	})
	p.stop(t)
	if got := records(t, s); strings.Count(got, `"charging_stopped"`) != 1 || !strings.Contains(got, `"unplugged"`) {
		t.Errorf("the session did not end as one that is unplugged: %s", got)
	}
}

// TestLogReaderBlocks: a full pipe that is not read, as to a pager or a
// terminal that was stopped with Ctrl-S, does not block a program.
func TestLogReaderBlocks(t *testing.T) {
	t.Run("a session", func(t *testing.T) {
		s, controls := agentWithBoard(t)
		w := fullPipe(t)
		p := s.start(t, streams(w, w))
		p.awaitUp(t)
		if err := controls.Plug(1); err != nil {
			t.Fatal(err)
		}
		p.await(t, "it charges", s.connectorStatusIs("charging"))
		if err := controls.Unplug(1); err != nil {
			t.Fatal(err)
		}
		p.await(t, "the session ends", s.connectorStatusIs("available"))
		p.stop(t)
	})
	each(t, func(t *testing.T, s *program) {
		t.Helper()
		w := fullPipe(t)
		p := s.start(t, streams(w, w))
		p.awaitUp(t)
		p.stop(t)
	})
}

// fullPipe returns a full pipe whose reader does not read.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w := pipe(t)
	fd := int(w.Fd()) // Fd makes it blocking
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, err := syscall.Write(fd, make([]byte, 4096)); err == nil; {
		_, err = syscall.Write(fd, make([]byte, 4096))
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	_ = r // kept open by the test's cleanup
	return w
}

// TestClosedStreams: a program that is started without its streams works, and
// uses none of its files in place of a stream.
func TestClosedStreams(t *testing.T) {
	for _, how := range []string{"<&-", ">&-", "2>&-", "<&- >&- 2>&-"} {
		t.Run(how, func(t *testing.T) {
			each(t, func(t *testing.T, s *program) {
				t.Helper()
				p := s.start(t, wrapped("/bin/sh", "-c", `exec "$0" "$@" `+how))
				p.awaitUp(t)
				for fd := range 3 {
					to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.cmd.Process.Pid, fd))
					if err == nil && to != os.DevNull && to != p.log && s.up != nil {
						t.Errorf("stream %d is %s", fd, to)
					}
				}
				p.stop(t)
			})
		})
	}
}

// TestCommandsWithAClosedReader: commands that print and end report that they
// could not print, by an exit code and not by a signal.
func TestCommandsWithAClosedReader(t *testing.T) {
	for _, c := range []struct {
		s    *program
		args []string
	}{
		{newAgent(t), []string{"--check-config"}},
		{newBridge(t), []string{"--check-config"}},
		{newCentral(t), []string{"--check-config"}},
	} {
		t.Run(c.s.name, func(t *testing.T) {
			w := brokenPipe(t)
			c.s.args = c.args
			p := c.s.start(t, func(cmd *exec.Cmd) { cmd.Stdout = w })
			p.awaitExit(t, 1)
			if err := contains(p.log, "broken pipe"); err != nil {
				t.Error(err)
			}
		})
	}
}
