//go:build !linux

package chaos

import "syscall"

// attributes put a program into a group of its own, so that a Ctrl-C for us is
// not one for it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// still takes the kernel's word for it.
func still(int) bool { return true }
