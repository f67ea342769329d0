//go:build !crashpoints

package crashpoint

// At marks a place where a test can make the program crash; see package
// crashpoint.
func At(Point) {}

// During marks a place in parallel with what follows.
func During(Point) {}
