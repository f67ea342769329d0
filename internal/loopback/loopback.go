// Package loopback is the one rule of what may be served while there are no
// accounts: on addresses that only this machine reaches, unless its owner says
// otherwise.
package loopback

import (
	"fmt"
	"net"
	"strings"
)

// Host reports whether a host, as it stands in an address or in the Host of a
// request, is this machine and nobody else: localhost, or an IP of loopback.
// No name is looked up.
func Host(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// Check refuses an address HOST:PORT that other machines may reach, unless
// insecure says that it is meant. An empty host means every address.
func Check(addr string, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT: %w", addr, err)
	}
	if insecure || Host(host) {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines and there are no accounts yet; use 127.0.0.1, or say insecure if you mean it", addr)
}

// Asked reports whether the Host of a request, with or without its port, is
// this machine. A browser led astray by somebody else's name server asks for
// another.
func Asked(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return Host(host)
}
