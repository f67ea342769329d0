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

// afterwards is how long a program may go on that dies after a place.
const afterwards = 5 * time.Millisecond

// At is a place where a test may let the program die.
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
		side = "" // the end of a short one
	}
	reached := path + ".reached"
	if os.Rename(path, reached) != nil {
		return // another one was quicker
	}
	if passage > 1 {
		if os.WriteFile(reached, fmt.Appendf(nil, "%s %d %s", p, passage-1, side), 0o600) == nil {
			_ = os.Rename(reached, path) // or else nothing dies, which the test sees
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
	select {} // nothing happens any more
}

// During is such a place beside what follows.
func During(p Point) { go At(p) }
