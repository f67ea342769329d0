//go:build planted

package world

// Planted reports whether this build can plant bugs.
func Planted() bool { return true }

// bug reports whether b is planted in this run.
func (w *World) bug(b Bug) bool { return w.planted == b }
