package rpi

import (
	"errors"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
)

// keeper is a monoflop in the supply of the coils. Each Kick is one edge of its
// pin, and nothing else moves the pin while the board is open.
//
// Invariant: after a pause in which the monoflop may have dropped, every relay is
// switched off before the next edge. Otherwise the edge would give power back to
// a relay that is still commanded on.
type keeper struct {
	board   *Board
	pin     *output
	timeout time.Duration

	mu   sync.Mutex // guards what follows
	last time.Time  // of the last edge; zero before the first
}

var _ hal.Keeper = (*keeper)(nil)

// Kick makes one edge.
func (k *keeper) Kick() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var err error
	// Half of the timeout is the shortest time for which the monoflop holds.
	if now.Sub(k.last) >= k.timeout/2 {
		err = k.board.SafeState()
	}
	if err != nil {
		return errors.Join(errors.New("rpi: keeper.pin: not kicked after a pause, since a relay may be on"), err)
	}
	k.last = now
	return k.pin.set(!k.pin.commanded.Load())
}

// Timeout implements hal.Keeper.
func (k *keeper) Timeout() time.Duration { return k.timeout }
