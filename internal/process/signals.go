package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Stopped returns a context that ends when the program has to stop in good
// order: with SIGINT, SIGTERM or SIGHUP. With a second SIGINT or SIGTERM it
// calls exit, which is os.Exit in programs; not with a second SIGHUP, because a
// terminal that goes away sends several. A SIGHUP that was ignored at the start,
// as by nohup, stays ignored.
//
// After the call, a write to a pipe without a reader is an error like any other
// on every stream, and so is a read from a terminal in the background. By
// default the first ends the process and the second suspends it.
//
// main calls it, once.
func Stopped(exit func(code int)) context.Context {
	// Unlike an ignored signal, a notified one has its default action again in
	// programs that this one starts. Nothing reads the channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Ignore(syscall.SIGTTIN)

	hangUp, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(hangUp, syscall.SIGHUP)
	}
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for asked := false; ; {
			select {
			case <-hangUp:
			case s := <-stop:
				if asked {
					exit(exitCode(s)) // the default action does not exist for the first process of a container
				}
				asked = true
			}
			cancel()
		}
	}()
	return ctx
}

// exitCode returns the exit code of a process that a signal has ended, by the
// convention of shells.
func exitCode(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}

// ReapOrphans collects the exit status of orphaned processes if this process is
// the first one of its container, since no other process does. It is for
// programs that start no others: it would take the status of a child from the
// code that waits for it.
func ReapOrphans() {
	if os.Getpid() != 1 {
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for {
			for reapOne() {
			}
			<-ended
		}
	}()
}

// reapOne collects one process, and reports whether there may be another one.
func reapOne() bool {
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	return pid > 0 || err == syscall.EINTR
}
