package app

import (
	"fmt"
	"runtime"
	"time"

	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/config"
)

// supportFiles returns what makes the files of the support bundle that package web
// cannot make. The configuration has no secrets.
func supportFiles(cfg *Config, logTail func() []byte) func() map[string][]byte {
	started := time.Now()
	return func() map[string][]byte {
		files := map[string][]byte{
			"versions.txt": fmt.Appendf(nil, "central %s\n%s %s/%s\n%d CPUs\nstarted %s\nnow %s\n", buildinfo.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
				runtime.NumCPU(), started.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)),
			"configuration.yaml": config.Dump(cfg),
		}
		if logTail != nil {
			files["log.txt"] = logTail()
		}
		return files
	}
}
