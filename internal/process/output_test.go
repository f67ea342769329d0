package process_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/process"
)

// reader is the other end of a stream.
type reader struct {
	gate chan struct{} // a write waits for it; nil: never

	mu sync.Mutex
	// mu guards everything that follows.
	got bytes.Buffer
	err error
}

func (r *reader) Write(b []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	return r.got.Write(b)
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

func write(t *testing.T, o *process.Output, text string) (took time.Duration) {
	t.Helper()
	began := time.Now()
	if n, err := o.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("got %d %v, want %d and no error", n, err, len(text))
	}
	return time.Since(began)
}

// TestWriteIsOverWhenItIsWritten: while the reader keeps up, no line is in
// memory only.
func TestWriteIsOverWhenItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		o := process.NewOutput(r)
		write(t, o, "a\n")
		if got := r.String(); got != "a\n" {
			t.Errorf("got %q", got)
		}
		o.Close()
		write(t, o, "late\n")
		if got := r.String(); got != "a\n" || o.Lost() != 1 {
			t.Errorf("got %q and %d lost, want what was written after Close to be lost", got, o.Lost())
		}
	})
}

// TestReaderThatStandsStillBlocksNoWriter: one write waits for a moment, all
// others do not wait. Writes beyond the capacity are counted, the others are
// written when the reader continues.
func TestReaderThatStandsStillBlocksNoWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		o := process.NewOutput(r)
		if took := write(t, o, "x"); took != 50*time.Millisecond {
			t.Errorf("the first write waited %v", took)
		}
		for range 1000 {
			if took := write(t, o, "x"); took != 0 {
				t.Fatalf("a later write waited %v", took)
			}
		}
		if o.Lost() != 1001-256-1 { // one is being written, 256 wait
			t.Errorf("%d are lost", o.Lost())
		}
		close(r.gate)
		synctest.Wait()
		if n := len(r.String()); n != 257 {
			t.Errorf("%d came when they were read, want 257", n)
		}
		write(t, o, "y")
		if took := write(t, o, "z"); took != 0 || len(r.String()) != 259 {
			t.Errorf("it does not keep up again: %v, %d", took, len(r.String()))
		}
		o.Close()
	})
}

// TestReaderThatHasGoneIsCounted.
func TestReaderThatHasGoneIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := process.NewOutput(&reader{err: errors.New("broken pipe")})
		for range 3 {
			write(t, o, "x")
		}
		if o.Lost() != 3 {
			t.Errorf("%d are lost, want 3", o.Lost())
		}
		o.Close()
	})
}

// TestCloseDoesNotWaitForEver for a reader that stands still.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		o := process.NewOutput(r)
		write(t, o, "x")
		began := time.Now()
		o.Close()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %v, want a second", took)
		}
		close(r.gate)
		synctest.Wait()
		o.Close() // a second call has no effect
	})
}
