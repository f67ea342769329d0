// Package loopback is the one rule about listening where a port has no accounts: a
// program serves on addresses that only this machine can reach, unless its
// configuration explicitly permits others.
package loopback

import (
	"fmt"
	"net"
	"strings"
)

// Host reports whether a host, as in an address or in the Host header of a
// request, is this machine only: localhost, or a loopback IP address. It
// resolves no names.
func Host(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// Check refuses an address HOST:PORT that other machines can reach, unless
// insecure permits it. An empty host means every address.
func Check(addr string, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT: %w", addr, err)
	}
	if insecure || Host(host) {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines and has no accounts; use 127.0.0.1, or permit it with insecure", addr)
}

// Asked reports whether the Host header of a request, with or without its port,
// is this machine. A browser that was misled by the name server of another site
// (DNS rebinding) sends another host.
func Asked(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return Host(host)
}
