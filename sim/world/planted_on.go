//go:build planted

package world

// bug reports whether a bug is planted in this run.
func (w *World) bug(b Bug) bool { return w.planted == b }
