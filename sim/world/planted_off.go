//go:build !planted

package world

// bug reports whether a bug is planted in this run: never in this build.
func (w *World) bug(Bug) bool { return false }
