package mqttside

import "sync"

// inFlight measures what was taken from MQTT and is not yet done. Above the high
// mark nothing more is taken; below the low mark it is again.
type inFlight struct {
	maxMessages, maxBytes int

	mu sync.Mutex
	// mu guards everything that follows.
	messages, bytes int
	// drained is closed and replaced whenever the level falls below the low mark.
	drained chan struct{}
}

func newInFlight(messages, bytes int) *inFlight {
	return &inFlight{maxMessages: messages, maxBytes: bytes, drained: make(chan struct{})}
}

// add adds a message, or refuses it above the high mark.
func (w *inFlight) add(bytes int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.messages >= w.maxMessages || w.bytes > 0 && w.bytes+bytes > w.maxBytes {
		return false
	}
	w.messages++
	w.bytes += bytes
	return true
}

// remove takes a message out.
func (w *inFlight) remove(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.belowLowMarkLocked()
	w.messages--
	w.bytes -= bytes
	if !was && w.belowLowMarkLocked() {
		close(w.drained)
		w.drained = make(chan struct{})
	}
}

// belowLowMark reports whether the level is below the low mark, which is half the high
// one. If not, the channel is closed when it gets there.
func (w *inFlight) belowLowMark() (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.belowLowMarkLocked(), w.drained
}

func (w *inFlight) belowLowMarkLocked() bool {
	return w.messages <= w.maxMessages/2 && w.bytes <= w.maxBytes/2
}

// level is what is held now.
func (w *inFlight) level() (messages, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages, w.bytes
}
