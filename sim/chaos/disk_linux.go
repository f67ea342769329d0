package chaos

import (
	"errors"
	"fmt"
	"syscall"
)

// flags of the mounts: no devices, no programs.
const flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

func mount(dir string, size int64) error {
	return syscall.Mount("carga-chaos", dir, "tmpfs", flags, fmt.Sprintf("size=%d,mode=0750", size))
}

// resize sets the size limit. The kernel refuses a limit below what is used; 0
// would mean no limit, so at least 1 is set.
func resize(dir string, size int64) error {
	return syscall.Mount("carga-chaos", dir, "tmpfs", flags|syscall.MS_REMOUNT, fmt.Sprintf("size=%d", max(size, 1)))
}

// usage returns the used and the free bytes.
func usage(dir string) (used, free int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Blocks-s.Bfree) * s.Bsize, int64(s.Bfree) * s.Bsize, nil
}

// unmount detaches the file system. While a process holds a file of it open,
// the kernel keeps it until the file is closed.
func unmount(dir string) error {
	err := syscall.Unmount(dir, 0)
	if errors.Is(err, syscall.EBUSY) {
		err = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
	return err
}
