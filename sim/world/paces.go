package world

import "time"

// Paces of the shells. The product's are in comments where these differ: what
// comes every second there would cost more than all the rest together.
const (
	controlTick    = 10 * time.Millisecond
	meterBusy      = time.Second
	meterIdle      = time.Minute            // 1 s
	housekeepEvery = 30 * time.Second       // 1 s
	aliveEvery     = time.Minute            // 1 s: signs of life of bridge and Central
	fresh          = 5 * aliveEvery         // 5 s: a bridge that is silent for longer makes the way stale
	listenFor      = 130 * time.Second      // 2.5 s: somebody who lives says so meanwhile
	silence        = 4 * time.Minute        // 30 s: of another Central before this one takes its place
	listenBefore   = 150 * time.Second      // 3 s: to an epoch of the past before one above it is taken
	backlogOf      = 5 * time.Minute        // 2 min: of commands, at the start of a bridge
	firstWait      = 500 * time.Millisecond // 50 ms: until a commit is tried again
	lastWait       = 30 * time.Second       // 1 s: the same in the end
	firstRoom      = time.Second            // 1 s: until a journal without room is tried again
	lastRoom       = time.Minute            // 1 s: the same in the end
	aheadMost      = time.Hour              // of the timestamp of a record
	pollEvery      = time.Second            // a reader that waits looks again
	ackGap         = 100 * time.Millisecond
)

// Bounds of epochs, as in central/internal/ingest and central/app.
const (
	firstNumber = 100_000
	maxRise     = 1_000_000
	lookBack    = 2_000 // records
)
