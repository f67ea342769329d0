package world

import "time"

// Paces of the shells. The product's are in comments where these differ: what
// comes every second there would cost more than all the rest together.
const (
	controlTick       = 10 * time.Millisecond
	meterActive       = time.Second
	meterIdle         = time.Minute            // 1 s
	housekeepInterval = 30 * time.Second       // 1 s
	heartbeatInterval = time.Minute            // 1 s: signs of life of bridge and Central
	pipelineFresh     = 5 * heartbeatInterval  // 5 s: a bridge that is silent for longer makes the way stale
	listenWindow      = 130 * time.Second      // 2.5 s: somebody who lives says so meanwhile
	takeoverSilence   = 4 * time.Minute        // 30 s: of another Central before this one takes its place
	raiseDelay        = 150 * time.Second      // 3 s: to an epoch of the past before one above it is taken
	commandBacklog    = 5 * time.Minute        // 2 min: of commands, at the start of a bridge
	minCommitRetry    = 500 * time.Millisecond // 50 ms: until a commit is tried again
	maxCommitRetry    = 30 * time.Second       // 1 s: the same in the end
	minSpaceRetry     = time.Second            // 1 s: until a journal without room is tried again
	maxSpaceRetry     = time.Minute            // 1 s: the same in the end
	maxAhead          = time.Hour              // of the timestamp of a record
	pollInterval      = time.Second            // a reader that waits looks again
	ackGap            = 100 * time.Millisecond
)

// Bounds of epochs, as in central/internal/ingest and central/app.
const (
	firstEpochNumber = 100_000
	maxEpochStep     = 1_000_000
	lookBack         = 2_000 // records
)
