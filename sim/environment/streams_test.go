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

// broken is a pipe whose reader has gone.
func broken(t *testing.T) *os.File {
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
	t.Cleanup(func() { _, _ = r.Close(), w.Close() }) // closed already, some of them
	return r, w
}

// TestReaderOfTheLogIsGone: a write to a closed pipe ends nothing; the program
// works and stops in good order.
func TestReaderOfTheLogIsGone(t *testing.T) {
	each(t, func(t *testing.T, s *subject) {
		t.Helper()
		w := broken(t)
		p := s.start(t, streams(w, w))
		p.awaitUp(t)
		p.stops(t)
	})
}

// atABoard is an agent that lets everybody charge, and the board whose vehicle
// plugs in.
func atABoard(t *testing.T) (*subject, board.Hands) {
	t.Helper()
	b, s := newBoard(t), newAgent(t)
	b.start(t).awaitUp(t)
	s.set("CARGA_AGENT_HARDWARE__KIND=board", "CARGA_AGENT_HARDWARE__BOARD__SOCKET="+b.socket(),
		"CARGA_AGENT_POLICIES__FREE_VEND=true", "CARGA_AGENT_INTERVALS__METER_READ=1s")
	return s, board.NewHands(board.Unix(b.socket()))
}

// status is a look for await at the connector of an agent.
func (s *subject) status(status string) func(context.Context) error {
	return s.shows("/metrics", fmt.Sprintf("carga_agent_connector_status{connector=%q,status=%q} 1", "1", status))
}

// records is what the journal of an agent holds.
func records(t *testing.T, s *subject) string {
	t.Helper()
	code, out := s.once(t, nil, "journal", "export", s.dir+"/data")
	if code != 0 {
		t.Fatalf("export: code %d, %s", code, out)
	}
	return out
}

// TestReaderOfTheLogGoesDuringASession: it charges on, and the session ends as
// usual.
func TestReaderOfTheLogGoesDuringASession(t *testing.T) {
	s, hands := atABoard(t)
	r, w := pipe(t)
	p := s.start(t, streams(w, w))
	p.awaitUp(t)
	if err := hands.Plug(1); err != nil {
		t.Fatal(err)
	}
	p.await(t, "it charges", s.status("charging"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := hands.Unplug(1); err != nil {
		t.Fatal(err)
	}
	p.await(t, "the session ends", s.status("available"))
	p.await(t, "what is not written is counted", func(ctx context.Context) error {
		body, err := s.get(ctx, "/metrics")
		if err == nil && (!strings.Contains(body, "carga_agent_log_lost_lines_total ") || strings.Contains(body, "carga_agent_log_lost_lines_total 0")) {
			err = fmt.Errorf("no line of the log counts as lost: %s", body)
		}
		return err
	})
	p.stops(t)
	if got := records(t, s); strings.Count(got, `"charging_stopped"`) != 1 || !strings.Contains(got, `"unplugged"`) {
		t.Errorf("the session did not end as one that is unplugged: %s", got)
	}
}

// TestReaderOfTheLogStandsStill: a pipe that is full and not read, as one to a
// pager or to a terminal that was stopped with Ctrl-S, holds nothing up.
func TestReaderOfTheLogStandsStill(t *testing.T) {
	t.Run("a session", func(t *testing.T) {
		s, hands := atABoard(t)
		w := full(t)
		p := s.start(t, streams(w, w))
		p.awaitUp(t)
		if err := hands.Plug(1); err != nil {
			t.Fatal(err)
		}
		p.await(t, "it charges", s.status("charging"))
		if err := hands.Unplug(1); err != nil {
			t.Fatal(err)
		}
		p.await(t, "the session ends", s.status("available"))
		p.stops(t)
	})
	each(t, func(t *testing.T, s *subject) {
		t.Helper()
		w := full(t)
		p := s.start(t, streams(w, w))
		p.awaitUp(t)
		p.stops(t)
	})
}

// full is a pipe without room, whose reader does not read.
func full(t *testing.T) *os.File {
	t.Helper()
	r, w := pipe(t)
	fd := int(w.Fd()) // which makes it blocking, as programs get it
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

// TestClosedStreams: who starts a program without its streams gets a program
// that works, and none of its files in the place of a stream.
func TestClosedStreams(t *testing.T) {
	for _, how := range []string{"<&-", ">&-", "2>&-", "<&- >&- 2>&-"} {
		t.Run(how, func(t *testing.T) {
			each(t, func(t *testing.T, s *subject) {
				t.Helper()
				p := s.start(t, wrapped("/bin/sh", "-c", `exec "$0" "$@" `+how))
				p.awaitUp(t)
				for fd := range 3 {
					to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.cmd.Process.Pid, fd))
					if err == nil && to != os.DevNull && to != p.log && s.up != nil {
						t.Errorf("stream %d is %s", fd, to)
					}
				}
				p.stops(t)
			})
		})
	}
}

// TestQuestionsOfAClosedReader: commands that write and end say that they could
// not, with a code of their own and not by a signal.
func TestQuestionsOfAClosedReader(t *testing.T) {
	for _, c := range []struct {
		s    *subject
		args []string
	}{
		{newAgent(t), []string{"--check-config"}},
		{newBridge(t), []string{"--check-config"}},
		{newCentral(t), []string{"--check-config"}},
	} {
		t.Run(c.s.name, func(t *testing.T) {
			w := broken(t)
			c.s.args = c.args
			p := c.s.start(t, func(cmd *exec.Cmd) { cmd.Stdout = w })
			p.ends(t, 1)
			if err := says(p.log, "broken pipe"); err != nil {
				t.Error(err)
			}
		})
	}
}
