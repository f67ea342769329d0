package route

import (
	"bytes"

	"github.com/carga-ev/carga/internal/charge"
)

// EventKey names what a charging point says: until Central answers, it says the same
// again and again.
type EventKey struct {
	CP      charge.CPID
	Journal charge.JournalID
	Seq     charge.Seq
}

// Dedup are the events that wait for Kafka. One that is said again while it waits
// is held once, so that what waits does not grow however long Kafka is away. The
// zero value is ready; it is not safe for concurrent use.
type Dedup struct{ events map[EventKey]*InFlight }

// InFlight is one event that waits.
type InFlight struct {
	key   EventKey
	value []byte
	done  func()
}

// Add takes in an event that came, and what is to be called when Kafka has it.
// If the very same waits already, debt is nil: the new message stands for it from
// now on, since the broker may have delivered again what an older connection left
// open, and earlier is the older one's done, to be called now.
func (o *Dedup) Add(d *Decision, done func()) (event *InFlight, replaced func()) {
	was := o.events[d.EventKey]
	switch {
	case was == nil:
	case bytes.Equal(was.value, d.Record.Value):
		replaced, was.done = was.done, done
		return nil, replaced
	default: // other bytes under one name: Central judges
		return &InFlight{done: done}, nil
	}
	if o.events == nil {
		o.events = map[EventKey]*InFlight{}
	}
	event = &InFlight{key: d.EventKey, value: d.Record.Value, done: done}
	o.events[d.EventKey] = event
	return event, nil
}

// Remove forgets a debt and returns what is to be called if Kafka has the event.
func (o *Dedup) Remove(event *InFlight) (done func()) {
	if o.events[event.key] == event {
		delete(o.events, event.key)
	}
	return event.done
}
