package chaos

import "syscall"

// attributes put a program into a group of its own, so that a Ctrl-C for us is
// not one for it, and let the kernel end it with us.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
