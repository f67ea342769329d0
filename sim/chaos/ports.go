package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are picked below those that the system gives to outgoing connections.
// One of those could be taken while its owner is dead, and a client that dials
// it again and again would sooner or later be connected to itself.
const (
	leastPort = 15_000
	mostPort  = 32_000
	portTries = 1_000
)

// FreePorts picks n addresses on loopback that nobody listens on.
func FreePorts(ctx context.Context, n int) ([]string, error) {
	var lc net.ListenConfig
	held := make([]net.Listener, 0, n)
	addrs := make([]string, 0, n)
	for try := 0; len(held) < n && try < portTries; try++ { // all held at once, so that no two are the same
		port := leastPort + rand.IntN(mostPort-leastPort)
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		held = append(held, l)
		addrs = append(addrs, l.Addr().String())
	}
	var errs []error
	for _, l := range held {
		errs = append(errs, l.Close())
	}
	if len(addrs) < n {
		errs = append(errs, fmt.Errorf("found %d free ports of %d", len(addrs), n))
	}
	return addrs, errors.Join(errs...)
}
