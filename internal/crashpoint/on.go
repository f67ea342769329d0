//go:build crashpoints

package crashpoint

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// File is the environment variable that names the file.
const File = "CARGA_CRASH_FILE"

// afterwards is the longest delay of a crash after a place.
const afterwards = 5 * time.Millisecond

// At marks a place where a test can make the program crash.
func At(p Point) {
	path := os.Getenv(File)
	if path == "" {
		return
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return
	}
	name, passage, side := "", 1, ""
	if _, err := fmt.Sscan(string(raw), &name, &passage, &side); name != string(p) {
		return
	} else if err != nil {
		side = "" // a file without the optional fields
	}
	reached := path + ".reached"
	if os.Rename(path, reached) != nil {
		return // another program has crashed
	}
	if passage > 1 {
		if os.WriteFile(reached, fmt.Appendf(nil, "%s %d %s", p, passage-1, side), 0o600) == nil {
			_ = os.Rename(reached, path) // if that fails, no program crashes, and the test notices
		}
		return
	}
	_ = os.Remove(reached) // it is not read again
	if side == "after" {
		go func() {
			time.Sleep(rand.N(afterwards))
			die()
		}()
		return
	}
	die()
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal arrives
}

// During marks a place in parallel with what follows.
func During(p Point) { go At(p) }
