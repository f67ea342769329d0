package demo

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/carga-ev/carga/internal/process"
)

// Keys returns a channel of the keys that are pressed on a terminal, until ctx
// ends. It returns nil, and changes nothing, when in is no terminal or this
// process is in its background. restore resets the terminal; it is never nil.
//
// The program stty sets the terminal's mode, which works on every Unix. A read
// of a terminal cannot be interrupted: its goroutine ends with the next key or
// with the process.
func Keys(ctx context.Context, in io.Reader) (keys <-chan rune, restore func()) {
	tty, ok := in.(*os.File)
	if !ok || !process.Interactive(tty) {
		return nil, func() {}
	}
	// The present mode, in stty's own format, to be restored at the end.
	before, err := stty(ctx, tty, "-g")
	if err != nil {
		return nil, func() {}
	}
	// Without canonical mode and echo a read returns after one key.
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
		_, _ = stty(context.WithoutCancel(ctx), tty, before) // there is no caller to report to
	}
}

// stty runs stty on a terminal.
func stty(ctx context.Context, tty *os.File, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "stty", args...)
	c.Stdin = tty
	out, err := c.Output()
	return strings.TrimSpace(string(out)), err
}
