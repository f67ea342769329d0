//go:build !crashpoints

package crashpoint

// At is a place where a test may let the program die.
func At(Point) {}

// During is such a place beside what follows.
func During(Point) {}
