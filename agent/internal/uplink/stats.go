package uplink

import (
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/mqttlink"
)

// Stats are the state and the counters of the uplink, for telemetry and metrics.
type Stats struct {
	Link     mqttlink.State
	Unacked  uint64         // records Central has not acknowledged
	Acked    delivery.Index // all records up to it are acknowledged
	InFlight int            // sent and not acknowledged
	Position delivery.Position
	Alarm    string // in words, empty when all is well
	Counts   delivery.Counts
	Commands delivery.CommandCounts
	// BadMessages could not be decoded; Dropped came while the inbox was full.
	BadMessages, Dropped uint64
	// ReadErrors are failed reads of records from the journal.
	ReadErrors uint64
}

// Stats returns the present state and counters.
func (u *Uplink) Stats() Stats {
	s, _ := u.snapshot()
	s.Link = u.link.State()
	s.Dropped = u.inbox.droppedCount()
	return s
}

// snapshot returns the stats and a channel that is closed when they change.
func (u *Uplink) snapshot() (Stats, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats, u.changed
}

// updateCounter changes a counter. Any goroutine may call it.
func (u *Uplink) updateCounter(change func(*Stats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.stats)
}

// updateStats copies the loop's state into the stats and wakes Drain. Only the
// loop may call it.
func (u *Uplink) updateStats() {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &u.stats
	s.Unacked, s.Acked, s.InFlight = u.state.Unacked(), u.state.Acked, u.state.InFlight()
	s.Position, s.Counts, s.Alarm = u.state.Position, u.state.Counts, u.alarm
	s.Commands = u.commands.Counts
	close(u.changed)
	u.changed = make(chan struct{})
}
