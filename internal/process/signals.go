package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Stopped returns a context that ends when the program is to stop in good
// order: with SIGINT, SIGTERM or SIGHUP. With a second SIGINT or SIGTERM exit, which
// is os.Exit, ends it at once; not with a second SIGHUP, because a terminal that
// goes away sends more than one. Where SIGHUP was ignored at the start, as by nohup, it
// stays ignored.
//
// From here on a write to a pipe without a reader is an error like any other on
// every stream, and a read from a terminal in the background is one too, where
// by default the first ends the process and the second suspends it.
//
// It is called once, by main.
func Stopped(exit func(code int)) context.Context {
	// Unlike an ignored signal, one that is notified has its default again in
	// the programs that this one starts; nobody reads the channel.
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
					exit(exitCode(s)) // not by the default, which the first process of a container does not have
				}
				asked = true
			}
			cancel()
		}
	}()
	return ctx
}

// exitCode is that of a process which a signal has ended, as shells tell it.
func exitCode(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}

// ReapOrphans takes away ended processes that were left to this one, if it is
// the first of its container: nobody else does. It is for programs that start
// no others, because it would take those from whoever waits for them.
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

// reapOne reports whether there may be another one.
func reapOne() bool {
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	return pid > 0 || err == syscall.EINTR
}
