package buildinfo

import (
	"runtime/debug"
	"testing"
)

// In the package itself: a test binary carries no commit of its own.
func TestVersionNamesCommitAndState(t *testing.T) {
	setting := func(k, v string) debug.BuildSetting { return debug.BuildSetting{Key: k, Value: v} }
	for _, c := range []struct {
		info debug.BuildInfo
		want string
	}{
		{debug.BuildInfo{GoVersion: "go1.26"}, "devel go1.26"},
		{debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3 go1.26"},
		{debug.BuildInfo{
			GoVersion: "go1.26",
			Main:      debug.Module{Version: "(devel)"},
			Settings:  []debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"), setting("vcs.modified", "true")},
		}, "devel 0123456789ab modified go1.26"},
	} {
		if got := versionOf(&c.info); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if Version() == "" {
		t.Error("got no version, want some words")
	}
}
