package journal

import (
	"os"
	"syscall"
)

// datasync is fdatasync(2).
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// freeBytes is how many bytes a process without privileges may still write.
func freeBytes(f *os.File) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	if s.Files > 0 && s.Ffree < 8 { // a disk without space for names counts as full
		return 0, nil
	}
	return int64(min(s.Bavail, 1<<40)) * int64(s.Bsize), nil //nolint:unconvert // its type differs between machines
}
