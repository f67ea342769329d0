package app

import (
	"testing"

	"github.com/carga-ev/carga/bridge/forward"
)

// TestMemoryLimit: what waits fits below the limit, and a bridge through which
// messages only pass needs less than 50 MB.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	if idle := memoryLimit(forward.Counts{}); idle > 32<<20 {
		t.Errorf("without a message: %d bytes", idle)
	}
	full := memoryLimit(forward.Counts{Buffered: 100_000, Bytes: 64 << 20})
	if least := int64(2 * 64 << 20); full < least {
		t.Errorf("with a full buffer: %d bytes, want at least %d", full, least)
	}
}
