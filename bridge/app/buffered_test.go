package app_test

import (
	"bytes"
	"net"
	"sync"
)

// buffered is a line that takes all the other side writes, as a socket with a
// large buffer does. Without it a reader that holds back would block the
// embedded broker under one of its locks, and with it the fake time.
type buffered struct {
	net.Conn

	mu sync.Mutex
	// mu guards everything that follows.
	data bytes.Buffer
	err  error
	more chan struct{} // capacity 1: data or err has changed
}

func newBuffered(c net.Conn) *buffered {
	b := &buffered{Conn: c, more: make(chan struct{}, 1)}
	go b.pump()
	return b
}

// pump ends when the line is closed.
func (b *buffered) pump() {
	chunk := make([]byte, 4096)
	for {
		n, err := b.Conn.Read(chunk)
		b.mu.Lock()
		b.data.Write(chunk[:n])
		b.err = err
		b.mu.Unlock()
		select {
		case b.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Read is called by one goroutine.
func (b *buffered) Read(p []byte) (int, error) {
	for {
		b.mu.Lock()
		n, err := b.data.Len(), b.err
		if n > 0 {
			n, err = b.data.Read(p)
		}
		b.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		<-b.more
	}
}
