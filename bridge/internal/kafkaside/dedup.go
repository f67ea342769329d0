package kafkaside

import (
	"sync"

	"github.com/carga-ev/carga/bridge/route"
)

// dedup is a route.Dedup that may be used concurrently, and counts the repeated
// events.
type dedup struct {
	mu sync.Mutex
	// mu guards everything that follows.
	events  route.Dedup
	repeats int64
}

// add is route.Dedup.Add.
func (d *dedup) add(e *route.Decision, done func()) (event *route.InFlight, replaced func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if event, replaced = d.events.Add(e, done); event == nil {
		d.repeats++
	}
	return event, replaced
}

// remove is route.Dedup.Remove.
func (d *dedup) remove(event *route.InFlight) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events.Remove(event)
}

// repeated returns how many events were received again while they were in flight.
func (d *dedup) repeated() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.repeats
}
