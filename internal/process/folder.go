package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/carga-ev/carga/internal/backoff"
)

// folderPause is the longest pause between two attempts to use a folder.
const folderPause = 10 * time.Second

// ExplainFolder adds to an error about a folder the name of its setting and, if
// known, the remedy.
func ExplainFolder(setting string, err error) error {
	if hint := folderHint(err); hint != "" {
		return fmt.Errorf("%s: %w; %s", setting, err, hint)
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// folderHint returns the remedy for an error of a folder, if known.
func folderHint(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: mount it writable, or choose another folder"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: free some space, or choose another folder"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not write there: give it the folder, or choose another one"
	}
	return ""
}

// FolderMayHeal reports whether a folder that cannot be written now may become
// writable without a change of the configuration: its disk is full, or read-only
// until it is checked and mounted again.
func FolderMayHeal(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Retry calls attempt, with growing pauses, until it succeeds, its error is one
// that retry rejects, or ctx ends, which is an error of ctx.
func Retry(ctx context.Context, attempt func() error, retry func(error) bool) error {
	pauses := backoff.New(time.Second, folderPause, nil)
	for {
		err := attempt()
		if err == nil || !retry(err) {
			return err
		}
		if !sleep(ctx, pauses.Next()) {
			return ctx.Err()
		}
	}
}
