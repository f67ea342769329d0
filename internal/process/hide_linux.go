package process

import (
	"os"
	"syscall"
	"unsafe"
)

// HideInput makes a terminal not show what is typed, for a password. restore makes
// it show it again. It fails if f is no terminal.
func HideInput(f *os.File) (restore func(), err error) {
	var before syscall.Termios
	if err := terminal(f, syscall.TCGETS, &before); err != nil {
		return nil, err
	}
	hidden := before
	hidden.Lflag &^= syscall.ECHO
	if err := terminal(f, syscall.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = terminal(f, syscall.TCSETS, &before) }, nil // it worked a moment ago
}

func terminal(f *os.File, request uintptr, settings *syscall.Termios) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(settings))); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
