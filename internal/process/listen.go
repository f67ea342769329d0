package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/carga-ev/carga/internal/backoff"
)

// listenPause is the longest pause between two attempts to open an address.
const listenPause = 30 * time.Second

// Listen opens a TCP address. Its error contains the remedy.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, listenHint(err))
	}
	return l, nil
}

// listenHint returns the remedy for an error of Listen, if known.
func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program uses the port: stop it, or choose another port"
	case NotThereYet(err):
		return "; this machine does not have the address: it is used as soon as the machine has it, or choose another one"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need a privilege: choose a higher one"
	}
	return ""
}

// NotThereYet reports whether Listen failed because this machine does not have
// the address, as before its network is up. It may have it later.
func NotThereYet(err error) bool {
	_, unknown := errors.AsType[*net.DNSError](err)
	return unknown || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// ListenLater opens a TCP address as soon as that is possible. It returns nil
// when ctx ends before. failed is called with the error of each attempt.
func ListenLater(ctx context.Context, addr string, failed func(error)) net.Listener {
	pauses := backoff.New(time.Second, listenPause, nil)
	for {
		l, err := Listen(ctx, addr)
		if err == nil || ctx.Err() != nil {
			return l
		}
		failed(err)
		if !sleep(ctx, pauses.Next()) {
			return nil
		}
	}
}

// sleep waits, and reports whether ctx lasted until the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
