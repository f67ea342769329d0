//go:build !linux

package app

// kernelSynced reports false: only Linux is asked.
func kernelSynced() bool { return false }
