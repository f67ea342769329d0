package route

import (
	"bytes"

	"github.com/carga-ev/carga/internal/charge"
)

// EventKey identifies an event. An agent repeats an event, with the same key and
// the same bytes, until Central acknowledges it.
type EventKey struct {
	CP      charge.CPID
	Journal charge.JournalID
	Seq     charge.Seq
}

// Dedup keeps the events in flight: received by MQTT and not yet written to
// Kafka. An event that is repeated meanwhile is held once, so that the bridge
// needs no more memory the longer Kafka is away.
//
// The zero value is ready. It is not safe for concurrent use.
type Dedup struct{ events map[EventKey]*InFlight }

// InFlight is one event in flight.
type InFlight struct {
	key   EventKey
	value []byte
	done  func() // acknowledges the last copy that was received
}

// Add registers an event that was received, and done, which acknowledges it to
// MQTT once Kafka has it.
//
// If an identical event is in flight already, event is nil: the new copy
// replaces the old one, because the broker may have redelivered what an older
// connection left unacknowledged, and acknowledgements count on the newest
// connection only. replaced is the old copy's done, which the caller calls now.
func (o *Dedup) Add(d *Decision, done func()) (event *InFlight, replaced func()) {
	was := o.events[d.EventKey]
	switch {
	case was == nil:
	case bytes.Equal(was.value, d.Record.Value):
		replaced, was.done = was.done, done
		return nil, replaced
	default: // the same key with other bytes: both are forwarded, Central decides
		return &InFlight{done: done}, nil
	}
	if o.events == nil {
		o.events = map[EventKey]*InFlight{}
	}
	event = &InFlight{key: d.EventKey, value: d.Record.Value, done: done}
	o.events[d.EventKey] = event
	return event, nil
}

// Remove ends an event. It returns the done to call if the event was written to
// Kafka.
func (o *Dedup) Remove(event *InFlight) (done func()) {
	if o.events[event.key] == event {
		delete(o.events, event.key)
	}
	return event.done
}
