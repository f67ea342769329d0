package process

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// outputLines bounds the writes that wait for a reader; what exceeds it is
	// lost.
	outputLines = 256
	// outputWait is how long one write waits for a reader that has kept up until
	// now. It is far below the time that any loop of a program may be blocked.
	outputWait = 50 * time.Millisecond
	// outputFlush is how long Close waits for the reader.
	outputFlush = time.Second
)

// Output is a stream that never blocks a program for long and never fails: what
// its reader does not read in time, or refuses, is lost and counted. A reader
// may stop for hours: a pager, or a terminal that was stopped with Ctrl-S.
//
// While the reader keeps up, a write returns after it is written, so that the
// last lines before a crash are not lost. The methods may be called
// concurrently.
type Output struct {
	w     io.Writer
	lines chan line
	slow  atomic.Bool // the reader did not keep up: writes do not wait
	lost  atomic.Int64

	mu     sync.RWMutex
	closed bool          // guarded by mu, with sending to lines
	ended  chan struct{} // closed when run has ended
}

// line is one write.
type line struct {
	text []byte
	done chan struct{}
}

// NewOutput returns a stream that writes to w until it is closed.
func NewOutput(w io.Writer) *Output {
	o := &Output{w: w, lines: make(chan line, outputLines), ended: make(chan struct{})}
	go o.run()
	return o
}

// run writes the lines, in the background.
func (o *Output) run() {
	defer close(o.ended)
	for l := range o.lines {
		if _, err := o.w.Write(l.text); err != nil {
			o.lost.Add(1)
		}
		close(l.done)
		if len(o.lines) == 0 {
			o.slow.Store(false)
		}
	}
}

// Write implements io.Writer. It never fails.
func (o *Output) Write(b []byte) (int, error) {
	l := line{text: append([]byte(nil), b...), done: make(chan struct{})}
	if !o.send(l) {
		o.lost.Add(1)
		return len(b), nil
	}
	if o.slow.Load() {
		return len(b), nil
	}
	timer := time.NewTimer(outputWait)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		o.slow.Store(true)
	}
	return len(b), nil
}

// send queues a line, or returns false if that is impossible.
func (o *Output) send(l line) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return false
	}
	select {
	case o.lines <- l:
		return true
	default:
		return false
	}
}

// Lost returns how many writes were lost.
func (o *Output) Lost() int64 { return o.lost.Load() }

// Close gives the reader a moment for the writes that wait. Later writes are
// lost. It does not close the stream below.
func (o *Output) Close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.lines)
	}
	o.mu.Unlock()
	timer := time.NewTimer(outputFlush)
	defer timer.Stop()
	select {
	case <-o.ended:
	case <-timer.C:
	}
}

// IsTerminal reports whether w is a terminal, on which a person may read.
func IsTerminal(w io.Writer) bool {
	if o, ok := w.(*Output); ok {
		w = o.w
	}
	f, ok := w.(*os.File)
	return ok && isCharDevice(f)
}

func isCharDevice(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Interactive reports whether a person may type on f: it is a terminal, and this
// process is in its foreground. Services read from the null device, which is a
// character device too.
func Interactive(f *os.File) bool {
	if !isCharDevice(f) || !inForeground(f) {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(info, null)
}
