// Package buildinfo reports which build of a program runs, from the information
// that the Go toolchain stores in each binary. There is nothing to set at build
// time.
package buildinfo

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Version describes the build in one line: the module's version, the commit if
// the build recorded it, "modified" if the work tree was not clean, and the Go
// release. It is "unknown" in a binary without build information.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

// versionOf is Version for given build information.
func versionOf(info *debug.BuildInfo) string {
	words := []string{info.Main.Version}
	if info.Main.Version == "" || info.Main.Version == "(devel)" {
		words[0] = "devel"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			words = append(words, fmt.Sprintf("%.12s", s.Value))
		case s.Key == "vcs.modified" && s.Value == "true":
			words = append(words, "modified")
		}
	}
	return strings.Join(append(words, info.GoVersion), " ")
}
