package config

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
)

// Links are the names of variables that an orchestrator made. The zero value is
// empty.
type Links []string

// Add implements Options.Ignored.
func (l *Links) Add(name string) { *l = append(*l, name) }

// Log logs the names in one line, for an operator whose own variable was
// mistaken for one of them.
func (l Links) Log(log *slog.Logger) {
	if len(l) > 0 {
		log.Debug("variables that an orchestrator made are ignored", slog.String("detail", strings.Join(l, " ")))
	}
}

// isServiceLink reports whether an orchestrator made a variable from the name of
// a service, for all programs that run beside it. name has no prefix. Both forms
// are those of Kubernetes and of Docker before it:
//
//	SERVICE_HOST=10.0.0.5    SERVICE_PORT=80    SERVICE_PORT_<NAME>=80
//	PORT=tcp://10.0.0.5:80   PORT_80_TCP=tcp://10.0.0.5:80
//	PORT_80_TCP_PROTO=tcp    PORT_80_TCP_PORT=80    PORT_80_TCP_ADDR=10.0.0.5
//
// A service whose name begins with our prefix has the rest of its name before
// them. A variable with another form of value is meant for this program.
func isServiceLink(name, value string) bool {
	words := strings.Split(name, "_")
	for i, word := range words {
		switch rest := words[i+1:]; {
		case word == "SERVICE" && len(rest) == 1 && rest[0] == "HOST" && isIP(value),
			word == "SERVICE" && len(rest) > 0 && rest[0] == "PORT" && isPort(value),
			word == "PORT" && isPortLink(rest, value):
			return true
		}
	}
	return false
}

// isPortLink is isServiceLink for what follows PORT.
func isPortLink(rest []string, value string) bool {
	if len(rest) == 0 {
		return isURL(value)
	}
	if len(rest) < 2 || len(rest) > 3 || !isPort(rest[0]) || !isProtocol(strings.ToLower(rest[1])) {
		return false
	}
	if len(rest) == 2 {
		return isURL(value)
	}
	switch rest[2] {
	case "PROTO":
		return isProtocol(value)
	case "PORT":
		return isPort(value)
	case "ADDR":
		return isIP(value)
	}
	return false
}

func isURL(s string) bool {
	protocol, addr, found := strings.Cut(s, "://")
	if !found || !isProtocol(protocol) {
		return false
	}
	_, err := netip.ParseAddrPort(addr)
	return err == nil
}

func isProtocol(s string) bool { return s == "tcp" || s == "udp" || s == "sctp" }

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
