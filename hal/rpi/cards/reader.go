// Package cards reads the cards that drivers hold to a charging point, by a PN532
// (I²C or UART) or an MFRC522 (SPI): cards of ISO 14443-3 type A with identifiers of
// 4, 7 and 10 bytes.
//
// A Reader implements hal.TokenReader. Run owns the chip: it looks for a card some
// six times a second, reports a card once for as long as it stays in the field,
// and starts the chip again after a failure, for ever. An identifier is a secret:
// no error and no text of this package contains one.
//
// A PN532 stretches the clock of I²C, which the controllers before the Pi 4 handle
// badly: its UART is the better choice there.
//
// The identifier alone proves little: it can be copied. It is what the field uses.
package cards

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/hal"
)

const (
	// pollEvery is the pause between two looks for a card.
	pollEvery = 150 * time.Millisecond
	// restartAfter is the pause before a chip that failed is started again.
	restartAfter = time.Second
	// offer is how long a token waits to be taken.
	offer = time.Second
	// leftAfter is how many looks in a row must find no card before it has left: a
	// card at the edge of the field comes and goes.
	leftAfter = 3
)

// chip is one kind of reader. Its caller is one goroutine.
type chip interface {
	// start makes the chip ready, after power-on or a failure.
	start(ctx context.Context) error
	// card returns the identifier of the card in the field, or nil for none. More
	// than one at once is none: the driver takes them apart.
	card(ctx context.Context) ([]byte, error)
	// stop frees what start has opened. It is called at the end, and may be called
	// before any start.
	stop()
}

// Reader is a card reader.
type Reader struct {
	name   string
	chip   chip
	mono   func() time.Duration
	tokens chan hal.Token
	health atomic.Pointer[failure]

	// Run alone uses these.
	present []byte // the card in the field
	missed  int    // looks in a row without it
	seq     uint64
}

var _ hal.TokenReader = (*Reader)(nil)

// failure is why a reader does not work, and since when.
type failure struct {
	err   error
	since time.Duration
}

func newReader(name string, c chip, mono func() time.Duration) *Reader {
	r := &Reader{name: name, chip: c, mono: mono, tokens: make(chan hal.Token)}
	r.health.Store(&failure{err: errors.New("not started")})
	return r
}

// Tokens implements hal.TokenReader: it is closed when Run ends.
func (r *Reader) Tokens() <-chan hal.Token { return r.tokens }

// Healthy implements hal.TokenReader.
func (r *Reader) Healthy() error {
	f := r.health.Load()
	if f == nil {
		return nil
	}
	return fmt.Errorf("card reader %s: %w since %v after the start: %w",
		r.name, hal.ErrUnreadable, f.since.Truncate(time.Second), f.err)
}

// Run reads cards until ctx ends. It is called once.
func (r *Reader) Run(ctx context.Context) {
	defer close(r.tokens)
	defer r.chip.stop()
	for ctx.Err() == nil {
		err := r.chip.start(ctx)
		for err == nil && ctx.Err() == nil {
			var uid []byte
			if uid, err = r.chip.card(ctx); err != nil {
				break
			}
			r.health.Store(nil)
			r.see(ctx, uid)
			pause(ctx, pollEvery)
		}
		r.fail(err)
		pause(ctx, restartAfter)
	}
	r.fail(hal.ErrClosed)
}

// fail records why the reader does not work; since when is kept over its retries.
func (r *Reader) fail(err error) {
	f := failure{err: err, since: r.mono()}
	if before := r.health.Load(); before != nil {
		f.since = before.since
	}
	r.health.Store(&f)
}

// see applies what one look has found.
func (r *Reader) see(ctx context.Context, uid []byte) {
	if uid == nil {
		if r.missed++; r.missed >= leftAfter {
			r.present = nil
		}
		return
	}
	r.missed = 0
	if bytes.Equal(uid, r.present) {
		return
	}
	r.present = uid
	r.seq++
	token := hal.Token{
		Stamp: hal.Stamp{Mono: r.mono(), Seq: r.seq},
		UID:   strings.ToUpper(hex.EncodeToString(uid)),
	}
	late := time.NewTimer(offer)
	defer late.Stop()
	select {
	case r.tokens <- token:
	case <-late.C: // it was for that moment
	case <-ctx.Done():
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
