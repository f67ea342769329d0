// Package systemdtest is a service manager for tests of programs that notify one.
package systemdtest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// within bounds the wait for a notification.
const within = 60 * time.Second

// Manager is the socket on which a program notifies its service manager.
type Manager struct {
	path string
	conn *net.UnixConn
}

// New opens the socket; the end of the test closes it.
func New(t *testing.T) *Manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // the name of the test is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &Manager{path: filepath.Join(dir, "s")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close() })
	return m
}

// Environ is what the environment of the program has in addition, as NAME=value.
// watchdog is how long the program may be without progress.
func (m *Manager) Environ(watchdog time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10)}
}

// Next returns the next notification.
func (m *Manager) Next(t *testing.T) string {
	t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 256)
	n, err := m.conn.Read(b)
	if err != nil {
		t.Fatalf("no notification: %v", err)
	}
	return string(b[:n])
}

// Watch checks the life of a program that has started: it is ready, makes progress
// twice, and after stop it reports that it stops.
func (m *Manager) Watch(t *testing.T, stop func()) {
	t.Helper()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := m.Next(t); got != want {
			t.Fatalf("notified %q, want %q", got, want)
		}
	}
	stop()
	got := m.Next(t)
	for got == "WATCHDOG=1" { // sent before the stop
		got = m.Next(t)
	}
	if got != "STOPPING=1" {
		t.Errorf("notified %q, want STOPPING=1", got)
	}
}
