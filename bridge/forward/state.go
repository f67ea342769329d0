package forward

import (
	"bytes"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Limits are the high-water mark of what is in flight. Reading stops when it is
// reached, and starts again at half of it, the low-water mark, so that a bridge
// does not disconnect and connect all the time. A single message larger than
// Bytes is accepted when nothing else is in flight.
type Limits struct{ Messages, Bytes int }

// State is what a bridge holds. One caller at a time may use it.
type State struct {
	limits Limits
	router route.Router

	// conn is the newest connection on which a message was received.
	conn uint64
	// window are the messages of conn with QoS 1 that are not acknowledged, in the
	// order of receipt: whether they are due. first is the number of the first one.
	window []bool
	first  uint64

	// events are the events in flight, by what identifies them. An agent repeats an
	// event until Central acknowledges it; one that is repeated meanwhile is held
	// once, so that the bridge needs no more memory the longer Kafka is away.
	events map[route.EventKey]*Message

	oldest, newest *Message // the ends of the list of counted messages
	reading        readingState
	abandoned      uint64 // the connection that is to be ended, or has been
	counts         Counts // but for Oldest
}

// readingState is how a bridge reads from MQTT.
type readingState int

const (
	reads  readingState = iota
	paused              // the connection stands, nothing is read
	away                // disconnected until there is capacity again
)

// Counts count what must not be lost: events and dead letters, but not the values
// of which the latest is enough.
//
// Invariant: Accepted = Forwarded + DeadLetters + Buffered.
type Counts struct {
	Accepted    int64 // since the start
	Forwarded   int64 // Kafka has them
	DeadLetters int64 // Kafka has their dead letters, or refuses even these
	Buffered    int64 // in flight
	// Repeats were received again while the same event was in flight. They are not
	// among Accepted.
	Repeats int64
	// Dropped could not be used and found no capacity; they came with QoS 0.
	Dropped int64
	// LastOrigin is the topic on which the last dead letter came, LastDeadLetter why it
	// is one.
	LastOrigin     string
	LastDeadLetter reason.Reason
	// Messages and Bytes are those of Buffered that came by MQTT: they fill the
	// Limits.
	Messages, Bytes int
	// Oldest is when the oldest of Buffered was received; zero if there is none.
	Oldest time.Time
}

// New returns the state of a bridge that has just started.
func New(limits Limits, router route.Router) *State {
	return &State{limits: limits, router: router, events: map[route.EventKey]*Message{}}
}

// Counts returns the present counts.
func (s *State) Counts() Counts {
	c := s.counts
	if s.oldest != nil {
		c.Oldest = s.oldest.ReceivedAt
	}
	return c
}

// Step applies an event and returns what is to be done.
func (s *State) Step(e Event) Effects {
	switch e := e.(type) {
	case Received:
		return s.received(e.Message)
	case Written:
		return s.written(e.Message)
	case Replaced:
		return s.acknowledge(e.Message, Effects{})
	case Refused:
		return s.refused(e.Message, e.Why)
	case Withdrawn:
		return s.withdrawn(e.Message)
	case Lost:
		s.lost(e.Conn)
	case PauseExpired:
		if s.reading == paused && s.conn == e.Conn {
			s.reading, s.abandoned = away, e.Conn
			return Effects{Reading: Disconnect, Conn: e.Conn}
		}
	}
	return Effects{}
}

func (s *State) received(m *Message) Effects {
	if m.Conn > s.conn {
		s.lost(s.conn)
		s.conn = m.Conn
	}
	switch {
	case m.Conn != 0 && (m.Conn < s.conn || m.Conn == s.abandoned):
		return Effects{} // of a connection that has ended or is being ended: redelivered
	case m.Conn != 0 && s.reading == away:
		// A connection that came up by itself. What is refused on it is redelivered
		// only on the next one, and nothing behind it may overtake it.
		s.abandoned = m.Conn
		return Effects{Reading: Disconnect, Conn: m.Conn}
	case m.Decision.Kind.LatestOnly():
		s.place(m)
		return Effects{Write: m}
	case m.Conn != 0 && !s.hasCapacity(m.Size):
		if m.QoS == 0 {
			s.counts.Dropped++
			return Effects{}
		}
		s.reading = paused
		return Effects{Reading: Pause, Conn: m.Conn}
	}
	s.place(m)
	if m.Decision.Kind == route.Event {
		if same, ok := s.events[m.Decision.EventKey]; !ok {
			s.events[m.Decision.EventKey] = m
		} else if bytes.Equal(same.Decision.Record.Value, m.Decision.Record.Value) {
			return s.repeated(same, m)
		}
		// With other bytes under the same key both are forwarded, and Central decides.
	}
	s.count(m)
	return Effects{Write: m}
}

// repeated drops a copy of an event in flight. The first copy of a connection keeps its
// place, and the later one is acknowledged behind it: if the older one were, the broker
// would redeliver the event behind later ones. A copy of a newer connection stands for
// the event, since acknowledgements count there only.
func (s *State) repeated(held, again *Message) Effects {
	s.counts.Repeats++
	if held.Conn == again.Conn && held.QoS > 0 {
		return s.acknowledge(again, Effects{})
	}
	was := *held
	held.Conn, held.QoS, held.number = again.Conn, again.QoS, again.number
	return s.acknowledge(&was, Effects{})
}

func (s *State) written(m *Message) Effects {
	if !m.counted {
		return s.acknowledge(m, Effects{})
	}
	if m.Decision.Kind == route.DeadLetter {
		s.counts.DeadLetters++
		s.counts.LastOrigin, s.counts.LastDeadLetter = origin(&m.Decision), m.Decision.Why
	} else {
		s.counts.Forwarded++
	}
	s.discount(m)
	return s.acknowledge(m, s.drained())
}

// refused makes a dead letter of a message that Kafka refuses. A dead letter that
// it refuses, too, has ended.
func (s *State) refused(m *Message, why reason.Reason) Effects {
	if m.Decision.Kind == route.DeadLetter {
		return s.written(m)
	}
	s.forget(m)
	why = reason.Reason{Code: reason.KafkaRefuses}.Because(why)
	if !m.counted {
		s.count(m)
	}
	m.Decision = route.Decision{
		Kind: route.DeadLetter, CP: m.Decision.CP, Why: why, Record: s.router.Poison(m.Decision.Record, why),
	}
	return Effects{Write: m}
}

func (s *State) withdrawn(m *Message) Effects {
	s.forget(m)
	if !m.counted {
		return Effects{}
	}
	s.counts.Accepted--
	s.discount(m)
	return s.drained()
}

// lost forgets what was received on the newest connection.
func (s *State) lost(conn uint64) {
	if conn != s.conn {
		return
	}
	s.first += uint64(len(s.window))
	s.window = nil
	if s.reading == paused {
		s.reading = reads
	}
}

// place gives a message its place in the window.
func (s *State) place(m *Message) {
	if m.Conn == 0 || m.QoS == 0 {
		return
	}
	m.number = s.first + uint64(len(s.window))
	s.window = append(s.window, false)
}

// acknowledge marks a message as due, and adds to effects what can be
// acknowledged now: a message and all that were received before it are due (MQTT
// 3.1.1, MQTT-4.6.0-2).
func (s *State) acknowledge(m *Message, e Effects) Effects {
	if m.QoS == 0 || m.Conn == 0 || m.Conn != s.conn || m.number < s.first {
		return e
	}
	s.window[m.number-s.first] = true
	n := 0
	for n < len(s.window) && s.window[n] {
		n++
	}
	s.window, s.first = s.window[n:], s.first+uint64(n)
	e.Acknowledge, e.Conn = n, s.conn
	return e
}

func (s *State) hasCapacity(size int) bool {
	return s.counts.Messages < s.limits.Messages && (s.counts.Bytes == 0 || s.counts.Bytes+size <= s.limits.Bytes)
}

// drained resumes reading below the low-water mark.
func (s *State) drained() Effects {
	if s.counts.Messages > s.limits.Messages/2 || s.counts.Bytes > s.limits.Bytes/2 {
		return Effects{}
	}
	was := s.reading
	s.reading = reads
	switch was {
	case paused:
		return Effects{Reading: Resume}
	case away:
		return Effects{Reading: Connect}
	case reads:
	}
	return Effects{}
}

// count puts a message among those that must not be lost.
func (s *State) count(m *Message) {
	m.counted = true
	s.counts.Accepted++
	s.counts.Buffered++
	if m.Conn != 0 {
		s.counts.Messages++
		s.counts.Bytes += m.Size
	}
	if m.older = s.newest; m.older != nil {
		m.older.newer = m
	} else {
		s.oldest = m
	}
	s.newest = m
}

// discount takes a message out again.
func (s *State) discount(m *Message) {
	s.forget(m)
	m.counted = false
	s.counts.Buffered--
	if m.Conn != 0 {
		s.counts.Messages--
		s.counts.Bytes -= m.Size
	}
	if m.older != nil {
		m.older.newer = m.newer
	} else {
		s.oldest = m.newer
	}
	if m.newer != nil {
		m.newer.older = m.older
	} else {
		s.newest = m.older
	}
	m.older, m.newer = nil, nil
}

// forget ends the dedup of a message.
func (s *State) forget(m *Message) {
	if s.events[m.Decision.EventKey] == m {
		delete(s.events, m.Decision.EventKey)
	}
}

// origin returns the topic on which a dead letter came.
func origin(d *route.Decision) string {
	for _, h := range d.Record.Headers {
		if h.Key == wire.HeaderTopic {
			return h.Value
		}
	}
	return ""
}
