package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are chosen below the range from which the system gives ports to
// outgoing connections. A port of that range could be given away while its
// owner is dead; and a client that dials its broker's port again and again can,
// by TCP's simultaneous open, be connected to itself.
const (
	leastPort = 15_000
	mostPort  = 32_000
	portTries = 1_000
)

// FreePorts returns n different addresses of loopback with no listener. Another
// program may take one before it is used.
func FreePorts(ctx context.Context, n int) ([]string, error) {
	var lc net.ListenConfig
	open := make([]net.Listener, 0, n)
	addrs := make([]string, 0, n)
	for try := 0; len(open) < n && try < portTries; try++ { // all open at once, so that they differ
		port := leastPort + rand.IntN(mostPort-leastPort)
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		open = append(open, l)
		addrs = append(addrs, l.Addr().String())
	}
	var errs []error
	for _, l := range open {
		errs = append(errs, l.Close())
	}
	if len(addrs) < n {
		errs = append(errs, fmt.Errorf("found %d free ports of %d", len(addrs), n))
	}
	return addrs, errors.Join(errs...)
}
