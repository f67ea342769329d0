package environment_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/carga-ev/carga/internal/need"
)

// TestBackgroundOfATerminal: a program that was started with & runs on, and
// takes neither keys nor the modes of the terminal from the foreground.
func TestBackgroundOfATerminal(t *testing.T) {
	for _, make := range []func(*testing.T) *program{newAgent, newDemo} {
		s := make(t)
		t.Run(s.name, func(t *testing.T) {
			tty := terminal(t)
			p := s.start(t, wrapped("/bin/sh", "-c", `set -m; "$0" "$@" & read nothing`), func(c *exec.Cmd) {
				c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
				c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			})
			p.awaitUp(t)
			background, err := child(p.cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(-background, syscall.SIGKILL) }) // it has usually ended
			if got := state(t, background); got == "T" {
				t.Error("it is suspended")
			}
			if err := syscall.Kill(background, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.await(t, "it stops", func(context.Context) error {
				if err := syscall.Kill(background, 0); err == nil && state(t, background) != "Z" {
					return errors.New("it still runs")
				}
				return nil
			})
		})
	}
}

// state returns the state letter of a process in /proc.
func state(t *testing.T, pid int) string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "Z" // reaped
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return rest[:1]
}

// terminal returns the program's side of a new terminal, whose other side is
// read.
func terminal(t *testing.T) *os.File {
	t.Helper()
	front, tty := terminals(t)
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, front) }) // ends with the last program
	t.Cleanup(func() {
		_ = tty.Close()
		reading.Wait()
		_ = front.Close()
	})
	return tty
}

// terminals returns both sides of a new terminal: the person's and the program's.
// The caller closes them.
func terminals(t *testing.T) (front, tty *os.File) {
	t.Helper()
	front, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	need.That(t, err == nil, "/dev/ptmx", "run it on Linux")
	var unlocked int32
	var number uint32
	for _, call := range []struct {
		request uintptr
		to      unsafe.Pointer
	}{{syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked)}, {syscall.TIOCGPTN, unsafe.Pointer(&number)}} {
		control(t, front, func(fd uintptr) error {
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, call.request, uintptr(call.to)); errno != 0 {
				return errno
			}
			return nil
		})
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return front, tty
}

// control performs a call on the descriptor of a file. File.Fd would make its reads
// block, so that Close would wait for them.
func control(t *testing.T, f *os.File, call func(fd uintptr) error) {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = call(fd) })
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}
