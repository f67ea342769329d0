package board_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim/board"
)

// agentSocket names the board's socket to this test binary when it plays an
// agent that is going to be killed.
const agentSocket = "CARGA_BOARD_TEST_SOCKET"

func listen(tb testing.TB) (net.Listener, string) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "board") //nolint:usetesting // tb.TempDir's path can be too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := board.Listen(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	return ln, path
}

func TestOpenPathOverASocketAllocatesNothing(t *testing.T) {
	b := newBoard(t)
	ln, path := listen(t)
	start(t, ln, b)
	c := dialed(t, board.Unix(path))
	con, err := c.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	contactor := con.Contactor()
	var failed error
	allocs := testing.AllocsPerRun(100, func() {
		if err := errors.Join(contactor.Set(false), c.SafeState()); err != nil {
			failed = err
		}
	})
	if allocs > 0 || failed != nil {
		t.Errorf("got %v allocations, %v; want none", allocs, failed)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestAgentProcess is no test of its own: it is the agent that
// TestKilledProcess kills.
func TestAgentProcess(t *testing.T) {
	path := os.Getenv(agentSocket)
	if path == "" {
		return
	}
	c := dialed(t, board.Unix(path))
	con, err := c.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.Keeper()
	if err != nil {
		t.Fatal(err)
	}
	reported := false
	for range time.Tick(10 * time.Millisecond) { // on a busy host a tick may find the state stale: go on
		_ = k.Kick()
		if reported {
			continue
		}
		_ = con.Contactor().Set(true)
		if state, _, err := con.Contactor().Feedback(); err == nil && state == hal.ContactClosed {
			reported = true
			fmt.Println("closed")
		}
	}
}

func TestKilledProcess(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(sig.String(), func(t *testing.T) {
			b := newBoard(t)
			ln, path := listen(t)
			start(t, ln, b)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAgentProcess$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), agentSocket+"="+path)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || strings.TrimSpace(line) != "closed" {
				t.Fatalf("the agent printed %q, %v", line, err)
			}
			killed := b.Mono()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			s := b.Snapshot()
			for range time.Tick(10 * time.Millisecond) { // the board's own trace gives the time
				if s = b.Snapshot(); !s.Connectors[0].Closed || s.Mono > killed+10*hal.MaxAgentGone {
					break
				}
			}
			if took := opened(t, s) - killed; took <= 0 || took > hal.MaxAgentGone {
				t.Errorf("opened %v after %v; want at most %v", took, sig, hal.MaxAgentGone)
			} else {
				t.Logf("opened %v after %v", took.Round(time.Millisecond), sig)
			}
		})
	}
}

func TestListenReplacesWhatAKilledBoardLeft(t *testing.T) {
	ln, path := listen(t)
	if _, err := board.Listen(t.Context(), path); err == nil {
		t.Error("two boards on one socket")
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := board.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestBadRequestsAreRefusedInWords(t *testing.T) {
	ln, path := listen(t)
	b := newBoard(t)
	start(t, ln, b)
	for name, tc := range map[string]struct{ send, want string }{
		"not JSON":        {"\x00\x00\x00\x03{x}", "decode"},
		"another version": {"\x00\x00\x00\x07{\"v\":9}", "v is 9"},
		"unknown op":      {"\x00\x00\x00\x14{\"v\":3,\"op\":\"sing\"}  ", "unknown"},
		"too long":        {"\x7f\x00\x00\x00", "above"},
		"no connector":    {"\x00\x00\x00\x14{\"v\":3,\"op\":\"plug\"}  ", "1 to 2"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := board.Unix(path)(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Write([]byte(tc.send)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 512)
			n, err := conn.Read(buf)
			if err != nil || !strings.Contains(string(buf[:n]), tc.want) {
				t.Errorf("got %q, %v; want an error with %q", buf[:n], err, tc.want)
			}
		})
	}
	if b.Snapshot().Connectors[0].Plugged {
		t.Error("a bad request plugged something in")
	}
}

// TestABoardOfAnotherReleaseIsRefusedAtOnce: waiting would not help.
func TestABoardOfAnotherReleaseIsRefusedAtOnce(t *testing.T) {
	ln, path := listen(t)
	defer func() { _ = ln.Close() }()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Read(make([]byte, 512))
		_, _ = conn.Write([]byte("\x00\x00\x00\x33{\"error\":\"board: v is 2; this board has version 1\"}"))
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := board.Dial(ctx, board.Unix(path))
	if !errors.Is(err, board.ErrRefused) || !strings.Contains(err.Error(), "this board has version 1") {
		t.Errorf("got %v; want %v and why", err, board.ErrRefused)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := board.Dial(ctx, board.Unix(filepath.Join(t.TempDir(), "nothing")))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, hal.ErrUnreadable) {
		t.Errorf("got %v", err)
	}
}

func TestABadCommandEndsTheControl(t *testing.T) {
	ln, path := listen(t)
	start(t, ln, newBoard(t))
	for _, command := range []string{"Z\x01", "C\x09", "O\x00", "I\x09", "Z\x00", "L\x00"} {
		conn, err := board.Unix(path)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("\x00\x00\x00\x17{\"v\":3,\"op\":\"control\"} " + command + "\x00\x00\x00\x00\x00\x00")); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("command %q is still being served", command)
		}
		_ = conn.Close()
	}
}
