package demo

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/carga-ev/carga/internal/process"
)

// Keys reads single keys from a terminal until ctx ends. It answers nil, and
// changes nothing, when in is no terminal or this process is in its background.
// restore gives the terminal back; it is never nil.
//
// The terminal's own program sets the mode, so that one code serves every
// Unix. A read that waits for a key can not be interrupted: its goroutine ends
// with the process or the next key.
func Keys(ctx context.Context, in io.Reader) (keys <-chan rune, restore func()) {
	tty, ok := in.(*os.File)
	if !ok || !process.Interactive(tty) {
		return nil, func() {}
	}
	before, err := stty(ctx, tty, "-g")
	if err != nil {
		return nil, func() {}
	}
	if _, err := stty(ctx, tty, "-icanon", "-echo", "min", "1", "time", "0"); err != nil {
		return nil, func() {}
	}
	out := make(chan rune)
	go func() {
		var b [1]byte
		for {
			n, err := tty.Read(b[:])
			if err != nil || n == 0 {
				return
			}
			select {
			case out <- rune(b[0]):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, func() {
		_, _ = stty(context.WithoutCancel(ctx), tty, before) // nobody is left to be told
	}
}

func stty(ctx context.Context, tty *os.File, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "stty", args...)
	c.Stdin = tty
	out, err := c.Output()
	return strings.TrimSpace(string(out)), err
}
