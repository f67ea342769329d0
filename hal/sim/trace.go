package sim

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Switch is one movement of a contact.
type Switch struct {
	Mono      time.Duration      `json:"mono_ns"`
	Connector charge.ConnectorID `json:"connector"`
	Closed    bool               `json:"closed"`
}

// trace keeps the last switchings in a ring that is made once, so that an
// opening contact allocates nothing.
type trace struct {
	ring  []Switch
	total int
}

func newTrace(size int) *trace { return &trace{ring: make([]Switch, size)} }

// add replaces the oldest switching when the ring is full.
func (t *trace) add(s Switch) {
	if len(t.ring) > 0 {
		t.ring[t.total%len(t.ring)] = s
	}
	t.total++
}

// list returns the kept switchings, oldest first, and the number of older ones.
func (t *trace) list() (kept []Switch, gone int) {
	gone = max(t.total-len(t.ring), 0)
	kept = make([]Switch, 0, t.total-gone)
	for i := gone; i < t.total; i++ {
		kept = append(kept, t.ring[i%len(t.ring)])
	}
	return kept, gone
}
