//go:build !linux

package app

import (
	"math"
	"time"
)

// kernelSynced reports false: the kernel is asked on Linux only.
func kernelSynced() bool { return false }

// machineUptime is unknown, so very long.
func machineUptime() time.Duration { return math.MaxInt64 }
