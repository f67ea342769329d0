package process

import (
	"os"
	"syscall"
	"unsafe"
)

// inForeground reports whether the terminal f belongs to the group of this
// process; false where it cannot be asked.
func inForeground(f *os.File) bool {
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == syscall.Getpgrp()
}
