package chaos

import (
	"errors"
	"fmt"
	"syscall"
)

// flags of the small file systems: data, and nothing that could act.
const flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

func mount(dir string, size int64) error {
	return syscall.Mount("carga-chaos", dir, "tmpfs", flags, fmt.Sprintf("size=%d,mode=0750", size))
}

// resize sets the bound; one below what is used is refused. Zero would be none.
func resize(dir string, size int64) error {
	return syscall.Mount("carga-chaos", dir, "tmpfs", flags|syscall.MS_REMOUNT, fmt.Sprintf("size=%d", max(size, 1)))
}

func usage(dir string) (used, free int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Blocks-s.Bfree) * s.Bsize, int64(s.Bfree) * s.Bsize, nil
}

// unmount takes it away, at the latest when the last who holds a file of it lets
// go.
func unmount(dir string) error {
	err := syscall.Unmount(dir, 0)
	if errors.Is(err, syscall.EBUSY) {
		err = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
	return err
}
