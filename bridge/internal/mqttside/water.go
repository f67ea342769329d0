package mqttside

import "sync"

// water measures what was taken from MQTT and is not yet done. Above the high
// mark nothing more is taken; below the low mark it is again.
type water struct {
	maxMessages, maxBytes int

	mu sync.Mutex
	// mu guards everything that follows.
	messages, bytes int
	// sunk is closed and replaced whenever the level falls below the low mark.
	sunk chan struct{}
}

func newWater(messages, bytes int) *water {
	return &water{maxMessages: messages, maxBytes: bytes, sunk: make(chan struct{})}
}

// take adds a message, or refuses it above the high mark.
func (w *water) take(bytes int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.messages >= w.maxMessages || w.bytes > 0 && w.bytes+bytes > w.maxBytes {
		return false
	}
	w.messages++
	w.bytes += bytes
	return true
}

// done takes a message out.
func (w *water) done(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.lowLocked()
	w.messages--
	w.bytes -= bytes
	if !was && w.lowLocked() {
		close(w.sunk)
		w.sunk = make(chan struct{})
	}
}

// low reports whether the level is below the low mark, which is half the high
// one. If not, the channel is closed when it gets there.
func (w *water) low() (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lowLocked(), w.sunk
}

func (w *water) lowLocked() bool {
	return w.messages <= w.maxMessages/2 && w.bytes <= w.maxBytes/2
}

// level is what is held now.
func (w *water) level() (messages, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages, w.bytes
}
