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
	young          = 4 * time.Minute        // 30 s: a sign of life that may be of somebody who lives
	silence        = 4 * time.Minute        // 30 s: of another Central before this one takes its place
	remintAfter    = 150 * time.Second      // 3 s
	lookBack       = 5 * time.Minute        // 2 min: in the logs at a start
	firstWait      = 500 * time.Millisecond // 50 ms: until a commit is tried again
	lastWait       = 30 * time.Second       // 1 s: the same in the end
	firstRoom      = time.Second            // 1 s: until a journal without room is tried again
	lastRoom       = time.Minute            // 1 s: the same in the end
	ackGap         = 100 * time.Millisecond
)
