// Package pty makes pseudo-terminals, for tests: a serial line of the kernel
// whose other end is a file of the test.
package pty

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Open makes a line. device is the path for the program under test, far is the
// other end of the cable; it is closed at the end of the test. As long as the
// test keeps far, the device may be opened and closed repeatedly.
func Open(tb testing.TB) (device string, far *os.File) {
	tb.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = far.Close() })
	raw, err := far.SyscallConn()
	if err != nil {
		tb.Fatal(err)
	}
	var number int
	control := func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}
	if failed := raw.Control(control); failed != nil || err != nil {
		tb.Fatal(failed, err)
	}
	device = fmt.Sprintf("/dev/pts/%d", number)
	// Held open, so that the far end sees no end of file between two openings, and
	// raw from the start.
	hold, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = hold.Close() })
	return device, far
}
