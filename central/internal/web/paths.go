package web

import (
	"path"
	"strings"
)

// cleanPath reports whether a path is written as the multiplexer wants it. It would
// redirect any other one, by HTML, to an address that is wrong below the path of a
// proxy.
func cleanPath(p string) bool {
	if p == "/api" || !strings.HasPrefix(p, "/") {
		return false
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return p == clean
}
