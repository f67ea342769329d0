package board_test

import (
	"testing"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
)

// BenchmarkOpen is the time of an order to open over a socket, from the call
// to the board's having obeyed it.
func BenchmarkOpen(b *testing.B) {
	s, err := sim.New(sim.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	ln, path := listen(b)
	start(b, ln, s)
	c := dialed(b, board.Unix(path))
	theirs, err := s.Connector(1)
	if err != nil {
		b.Fatal(err)
	}
	ours, err := c.Connector(1)
	if err != nil {
		b.Fatal(err)
	}
	open := func(k hal.Contactor) {
		if err := k.Set(false); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := theirs.Contactor().Set(true); err != nil {
			b.Fatal(err)
		}
		open(ours.Contactor())
		for theirs.Contactor().Commanded() {
		}
	}
	if err := c.Close(); err != nil {
		b.Error(err)
	}
}
