package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// maxPortsTried is how many ports above an occupied default port are tried.
const maxPortsTried = 50

// Address is a listening address. An explicit address is used or refused; a
// default one whose port is occupied is moved to the next free port.
type Address struct {
	HostPort string // port 0: any free port
	Explicit bool
}

// resolve returns the address to listen at. moved is a message for people if it
// differs from the default; otherwise "". The port is only tested: another
// program may take it before it is used.
func (a Address) resolve(ctx context.Context, what, flag string) (addr, moved string, err error) {
	host, text, err := net.SplitHostPort(a.HostPort)
	if err != nil {
		return "", "", fmt.Errorf("--%s %q: use HOST:PORT: %w", flag, a.HostPort, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", "", fmt.Errorf("--%s %q: the port is a number from 0 to 65535", flag, a.HostPort)
	}
	// The system chooses a free port later, when the part listens.
	if port == 0 {
		return a.HostPort, "", nil
	}
	// The default port first, then the ones above it.
	for next := port; next <= min(port+maxPortsTried, 65535); next++ {
		addr := net.JoinHostPort(host, strconv.Itoa(next))
		switch err := tryListen(ctx, addr); {
		case err == nil && next == port:
			return addr, "", nil
		case err == nil:
			return addr, fmt.Sprintf("port %d is busy; %s is at %d", port, what, next), nil
		case a.Explicit:
			return "", "", fmt.Errorf("--%s %s: %w; use another port, or 0 for any", flag, a.HostPort, err)
		case !errors.Is(err, syscall.EADDRINUSE):
			return "", "", fmt.Errorf("%s at %s: %w", what, addr, err)
		}
	}
	return "", "", fmt.Errorf("%s: the ports %d to %d are all busy; use --%s HOST:0", what, port, port+maxPortsTried, flag)
}

// tryListen listens at an address and closes the listener again.
func tryListen(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}
