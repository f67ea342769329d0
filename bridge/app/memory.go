package app

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/carga-ev/carga/bridge/forward"
)

// The garbage of the messages that pass is some 3 kB each, and hardly anything of it
// stays. By the runtime's default a bridge with a heap of 2 MB collects each 2 MB, at
// 20 000 messages/s thirty times a second. It may use smallHeap instead; a heap that
// is larger than that because messages wait gets as much again, and no more.
const (
	gcPercent = 400
	smallHeap = 24 << 20
	// heldMessage and heldBytes are what a message that waits takes at most: for
	// itself, and for each of its bytes.
	heldMessage, heldBytes = 3 << 10, 2
	memoryInterval         = 100 * time.Millisecond
)

// limitMemory keeps the limit of the garbage collector in step with what is held,
// until ctx ends. It is for a process that is nothing but a bridge.
func limitMemory(ctx context.Context, counts func() forward.Counts) {
	debug.SetGCPercent(gcPercent)
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	for was := int64(0); ; {
		// A change of less than an eighth does not matter, and each one stops the
		// process for a moment.
		if now := memoryLimit(counts()); now < was*7/8 || now > was*9/8 {
			debug.SetMemoryLimit(now)
			was = now
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// memoryLimit returns the limit for what is held.
func memoryLimit(c forward.Counts) int64 {
	return smallHeap + heldMessage*c.Buffered + heldBytes*int64(c.Bytes)
}
