package obs

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Version says in one line what was built: the module's version, the commit
// if the build recorded it, "modified" if the tree was not clean, and the Go
// release.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

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
