//go:build !linux

package app

// kernelSynced reports false: the kernel is asked on Linux only.
func kernelSynced() bool { return false }
