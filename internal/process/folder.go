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

// ExplainFolder puts the name of the setting before an error about its folder,
// and behind it what to do, if that is known.
func ExplainFolder(setting string, err error) error {
	if hint := folderHint(err); hint != "" {
		return fmt.Errorf("%s: %w; %s", setting, err, hint)
	}
	return fmt.Errorf("%s: %w", setting, err)
}

func folderHint(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: mount it writable, or choose another folder"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "there is no room on the disk: free some, or choose another folder"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not write there: give it the folder, or choose another one"
	}
	return ""
}

// FolderMayHeal reports whether a folder that cannot be written now may be
// written later without a change of the configuration: a disk that is full, or
// read-only until it is checked and mounted.
func FolderMayHeal(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Retry calls attempt until it succeeds, its error is one that retry does not
// accept, or ctx ends, which is an error of ctx.
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
