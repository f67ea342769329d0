package logs

import (
	"bytes"
	"slices"
	"sync"
)

// Tail keeps the last lines that were written to it. Its methods may be called
// concurrently.
type Tail struct {
	size int

	mu  sync.Mutex // guards buf
	buf []byte     // at most twice size
}

// NewTail returns a Tail of about size bytes.
func NewTail(size int) *Tail { return &Tail{size: size} }

// Write implements io.Writer. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.size {
		t.buf = slices.Clone(lastLines(t.buf, t.size))
	}
	return len(p), nil
}

// Bytes returns the last whole lines.
func (t *Tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(lastLines(t.buf, t.size))
}

// lastLines returns the whole lines among the last size bytes.
func lastLines(b []byte, size int) []byte {
	if len(b) <= size {
		return b
	}
	b = b[len(b)-size-1:] // with the end of the line before, if a line begins there
	return b[bytes.IndexByte(b, '\n')+1:]
}
