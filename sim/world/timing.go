package world

import "time"

// Intervals and limits of the shells. Where the product's value differs it stands
// in the comment: what happens every second there would cost more here than all
// the rest together. Limits that count missed intervals are scaled with them.
const (
	controlTick       = 10 * time.Millisecond
	meterActive       = time.Second            // between two readings during a session
	meterIdle         = time.Minute            // 1 s
	housekeepInterval = 30 * time.Second       // 1 s
	heartbeatInterval = time.Minute            // 1 s: of bridge and Central
	pipelineFresh     = 5 * heartbeatInterval  // 5 s: a bridge that is silent for longer makes the pipeline stale
	listenWindow      = 130 * time.Second      // 2.5 s: another Central that runs publishes a heartbeat within this time
	takeoverSilence   = 4 * time.Minute        // 30 s: of another Central before this one becomes active
	raiseDelay        = 150 * time.Second      // 3 s: after a higher past epoch was read, until this Central raises its own
	commandBacklog    = 5 * time.Minute        // 2 min: how far back a starting bridge reads commands
	minCommitRetry    = 500 * time.Millisecond // 50 ms: first retry of a commit
	maxCommitRetry    = 30 * time.Second       // 1 s: the delay doubles up to this
	minSpaceRetry     = time.Second            // 1 s: first retry of a journal without space
	maxSpaceRetry     = time.Minute            // 1 s: the delay doubles up to this
	maxAhead          = time.Hour              // how far ahead of Kafka's clock the timestamp of a record may be
	pollInterval      = time.Second            // a reader that waits fetches at least this often
	outboxGap         = 100 * time.Millisecond // rows of the outbox that Kafka has are deleted together
)

// Bounds of epochs, as in central/internal/ingest and central/app.
const (
	firstEpochNumber = 100_000   // numbers begin above this
	maxEpochStep     = 1_000_000 // a number that is higher by more is not believed
	lookBack         = 2_000     // records before the end that a starting Central reads
)
