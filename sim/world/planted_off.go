//go:build !planted

package world

// Planted reports whether this build can plant bugs.
func Planted() bool { return false }

// bug reports whether b is planted in this run; never in this build.
func (w *World) bug(Bug) bool { return false }
