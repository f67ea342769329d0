//go:build !linux

package journal

import (
	"math"
	"os"
)

// datasync is a full fsync where fdatasync is not available.
func datasync(f *os.File) error { return f.Sync() }

// freeBytes is unknown here: a full disk shows when a write fails.
func freeBytes(*os.File) (int64, error) { return math.MaxInt64, nil }
