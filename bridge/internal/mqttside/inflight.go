package mqttside

import "sync"

// inFlight counts the messages that were received from MQTT and are not yet done.
// At the high-water mark it refuses more; the low-water mark is half of it, so
// that the bridge does not disconnect and connect all the time.
type inFlight struct {
	maxMessages, maxBytes int // the high-water mark

	mu sync.Mutex
	// mu guards everything that follows.
	messages, bytes int
	// drained is closed and replaced whenever the count falls below the
	// low-water mark.
	drained chan struct{}
}

func newInFlight(messages, bytes int) *inFlight {
	return &inFlight{maxMessages: messages, maxBytes: bytes, drained: make(chan struct{})}
}

// add counts a message, or returns false at the high-water mark. A single
// message larger than maxBytes is accepted when none is in flight.
func (f *inFlight) add(bytes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.messages >= f.maxMessages || f.bytes > 0 && f.bytes+bytes > f.maxBytes {
		return false
	}
	f.messages++
	f.bytes += bytes
	return true
}

// remove counts a message as done.
func (f *inFlight) remove(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.belowLowMarkLocked()
	f.messages--
	f.bytes -= bytes
	if !was && f.belowLowMarkLocked() {
		close(f.drained)
		f.drained = make(chan struct{})
	}
}

// belowLowMark reports whether the count is below the low-water mark. If not,
// the channel is closed when it gets there.
func (f *inFlight) belowLowMark() (bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.belowLowMarkLocked(), f.drained
}

// belowLowMarkLocked is belowLowMark with mu held.
func (f *inFlight) belowLowMarkLocked() bool {
	return f.messages <= f.maxMessages/2 && f.bytes <= f.maxBytes/2
}

// level returns the present counts.
func (f *inFlight) level() (messages, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.messages, f.bytes
}
