//go:build planted

package point

// bug reports whether b is planted.
func (s *State) bug(b Bug) bool { return s.cfg.Planted == b }
