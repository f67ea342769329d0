// Package systemd speaks the service manager's notification protocol,
// sd_notify(3), by which a service of Type=notify reports that it is ready and
// that it is still alive.
package systemd

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Notifier sends notifications to systemd. The zero value, and every Notifier
// outside systemd, sends nothing and returns no error. Its methods may be
// called concurrently.
type Notifier struct {
	socket   string        // address of the service manager; empty: there is none
	watchdog time.Duration // after which systemd kills a silent service; 0: never
}

// NewNotifier reads NOTIFY_SOCKET and WATCHDOG_USEC through getenv, which is
// os.Getenv in programs. A WATCHDOG_PID of another process switches the
// watchdog off, since the variables were inherited.
func NewNotifier(getenv func(string) string, pid int) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	owner := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && usec < 1e15 && (owner == "" || owner == strconv.Itoa(pid)) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// WatchdogInterval is how often Watchdog must be called: half of the time that
// systemd waits. Zero means never.
func (n Notifier) WatchdogInterval() time.Duration { return n.watchdog / 2 }

// Ready reports that the service has started and does its work.
func (n Notifier) Ready(ctx context.Context) error { return n.send(ctx, "READY=1") }

// Watchdog reports that the service makes progress. Call it from the loop
// whose end should restart the program.
func (n Notifier) Watchdog(ctx context.Context) error { return n.send(ctx, "WATCHDOG=1") }

// Stopping reports that the service has begun to stop.
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
	defer func() { _ = conn.Close() }() // the datagram has been sent or has failed; Close cannot change that
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}
