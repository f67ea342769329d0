package obs

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Notifier tells systemd how a service of Type=notify is doing (sd_notify(3)).
// The zero value tells nobody and succeeds, as outside systemd. Its methods
// may be called concurrently.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// NewNotifier reads NOTIFY_SOCKET and WATCHDOG_USEC through getenv, which is
// os.Getenv in programs. A WATCHDOG_PID of another process switches the
// watchdog off.
func NewNotifier(getenv func(string) string, pid int) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	owner := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && usec < 1e15 && (owner == "" || owner == strconv.Itoa(pid)) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// WatchdogInterval is how often Watchdog must be called: half of what systemd
// waits for. Zero means never.
func (n Notifier) WatchdogInterval() time.Duration { return n.watchdog / 2 }

// Ready says that the service serves.
func (n Notifier) Ready(ctx context.Context) error { return n.send(ctx, "READY=1") }

// Watchdog says that the service still turns; call it from the loop whose
// death should restart the program.
func (n Notifier) Watchdog(ctx context.Context) error { return n.send(ctx, "WATCHDOG=1") }

// Stopping says that the service has begun to stop.
func (n Notifier) Stopping(ctx context.Context) error { return n.send(ctx, "STOPPING=1") }

func (n Notifier) send(ctx context.Context, state string) error {
	if n.socket == "" {
		return nil
	}
	// A leading @ names an abstract socket; package net translates it.
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", n.socket)
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer func() { _ = conn.Close() }() // a datagram is sent or not; closing adds nothing
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}
