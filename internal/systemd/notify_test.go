package systemd_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/systemd"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestNotifierSendsToTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	n := systemd.NewNotifier(env(map[string]string{"NOTIFY_SOCKET": path}), 1)
	buf := make([]byte, 64)
	for _, c := range []struct {
		want string
		err  error
	}{
		{"READY=1", n.Ready(t.Context())},
		{"WATCHDOG=1", n.Watchdog(t.Context())},
		{"STOPPING=1", n.Stopping(t.Context())},
	} {
		if c.err != nil {
			t.Fatalf("%s: %v", c.want, c.err)
		}
		k, err := conn.Read(buf)
		if err != nil || string(buf[:k]) != c.want {
			t.Errorf("got %q %v, want %q", buf[:k], err, c.want)
		}
	}
}

func TestNotifierOutsideSystemdIsSilent(t *testing.T) {
	n := systemd.NewNotifier(env(nil), 1)
	if err := n.Ready(t.Context()); err != nil || n.WatchdogInterval() != 0 {
		t.Errorf("got %v and interval %v, want no error and no interval", err, n.WatchdogInterval())
	}
	n = systemd.NewNotifier(env(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "absent")}), 1)
	if err := n.Ready(t.Context()); err == nil {
		t.Error("got no error for a socket that does not exist")
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"20000000", "", 10 * time.Second},
		{"20000000", "42", 10 * time.Second},
		{"20000000", "7", 0},
		{"", "", 0},
		{"-5", "", 0},
		{"soon", "", 0},
		{"9223372036854775807", "", 0},
	} {
		n := systemd.NewNotifier(env(map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}), 42)
		if got := n.WatchdogInterval(); got != c.want {
			t.Errorf("usec %q pid %q: got %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}
