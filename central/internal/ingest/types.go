package ingest

import (
	"context"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Tx is one transaction of the database. All methods add rows to it; none
// commits. The first error rolls the transaction back, so later errors of the
// same transaction mean nothing.
type Tx interface {
	Ledger(changes []ledger.Change) error
	Orders(effects []orders.Effect) error
	Record(in ledger.Input, hash string, receivedAt charge.Time) error
	// Forked keeps a record of a quarantined identity, which is not applied.
	Forked(in ledger.Input, hash string, receivedAt charge.Time) error
	// DeadLetter keeps a Kafka record that cannot be used. fresh is false if
	// the database has it already.
	DeadLetter(d view.DeadLetter, crc uint32, value []byte) (fresh bool, err error)
	Replayed(id int64, at charge.Time) error
	CPSettings(s view.CPSettings) error
	Outbox(topic, key string, headers map[string]string, value []byte, at charge.Time) error
	OutboxSent(ids []int64) error
	Offset(topic string, partition int, next int64, crc uint32) error
	// Count adds n to a counter that lives as long as the database.
	Count(name string, n int64) error
	Epoch(e charge.Epoch, at charge.Time) error
	Tariff(t ledger.Tariff, at charge.Time) error
	// ForgetRequests deletes at most limit answers to drivers from before the
	// given time, and reports whether there are more.
	ForgetRequests(before charge.Time, limit int) (more bool, err error)
	Reply(key string, request, reply []byte, at charge.Time) error
	// Entry adds an entry to the audit log.
	Entry(e access.Entry) error
	// ForgetReplies deletes at most limit answers to operators' keys from
	// before the given time, and reports whether there are more.
	ForgetReplies(before, now charge.Time, limit int) (more bool, err error)
	// Aged stores how far the retention clock has advanced; see
	// Writer.advanceRetention.
	Aged(at charge.Time) error
	// Prune deletes at most limit raw records, ended commands and dead letters
	// from before the given time, and reports whether there are more.
	Prune(before charge.Time, limit int) (more bool, err error)
	// BridgeDead stores how many dead letters one run of a bridge has reported.
	BridgeDead(bridge string, started charge.Time, n int64, at charge.Time) error
}

// Store is the database as the writer needs it. Look-ups read the last commit,
// not the transaction being built; unit puts its own rows over them.
type Store interface {
	Write(ctx context.Context, fn func(Tx) error) error
	// Recent loads charging points, all of them if no ids are given, each with
	// its last keep journals.
	Recent(ctx context.Context, keep int, ids ...charge.CPID) (map[charge.CPID]*ledger.CP, error)
	Journal(ctx context.Context, cp charge.CPID, id charge.JournalID) (ledger.Journal, bool, error)
	// JournalEnding finds the journal whose last record has the given hash.
	JournalEnding(ctx context.Context, cp charge.CPID, hash string) (charge.JournalID, bool, error)
	LoadOrders(ctx context.Context, st *orders.State) error
	Session(ctx context.Context, id charge.SessionID) (ledger.Session, bool, error)
	Ticket(ctx context.Context, id string) (ledger.Ticket, bool, error)
	// PublishedTicket finds a published ticket that the database lacks.
	PublishedTicket(ctx context.Context, id string) (ledger.Ticket, bool, error)
	// HashOf and PrevOf return the hash of a record, and the hash of the record
	// before it in its chain.
	HashOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (string, bool, error)
	PrevOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (string, bool, error)
	Request(ctx context.Context, k orders.RequestKey) (orders.Request, bool, error)
	Reservation(ctx context.Context, id charge.ReservationID) (orders.Reservation, bool, error)
	// Billed finds a session whose ticket has energy between two registers of
	// one meter.
	Billed(ctx context.Context, cp charge.CPID, k charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool, error)
	FindCommand(ctx context.Context, id charge.CommandID) (orders.Command, bool, error)
	// DeadLetter returns a dead letter and its bytes, which are nil if they are not
	// kept.
	DeadLetter(ctx context.Context, id int64) (d view.DeadLetter, value []byte, ok bool, err error)
	Reply(ctx context.Context, key string) (request, reply []byte, ok bool, err error)
	Replies(ctx context.Context) (int64, error)
	Gap(ctx context.Context, n int64) (ledger.Gap, bool, error)
	Tariffs(ctx context.Context) ([]ledger.Tariff, error)
	AllCPSettings(ctx context.Context) ([]view.CPSettings, error)
	Counters(ctx context.Context) (map[string]int64, error)
	Epoch(ctx context.Context) (charge.Epoch, error)
	Aged(ctx context.Context) (charge.Time, error)
	OpenAlarms(ctx context.Context) (int64, error)
	LastAlarm(ctx context.Context) (ledger.Alarm, bool, error)
	OpenAlarm(ctx context.Context, id string) (ledger.Alarm, bool, error)
	// AlarmID returns the id of the alarm with a number.
	AlarmID(ctx context.Context, n int64) (string, bool, error)
	BridgeDead(ctx context.Context, bridge string, started charge.Time) (int64, error)
	// Lost counts records that can never come, Twice the open alarms about
	// energy that is on two tickets.
	Lost(ctx context.Context) (int64, error)
	Twice(ctx context.Context) (int64, error)
	// Trouble explains why a transaction failed and what to do about it. Both
	// results are empty if the error is not the database's.
	Trouble(err error) (why reason.Reason, r Remedy)
}

// Remedy is what to do about a transaction that failed.
type Remedy string

// The remedies of an error of the database.
const (
	RemedyRow  Remedy = "row"  // the database refuses a row: leave that row out
	RemedyWait Remedy = "wait" // the fault can end without a restart: retry
	RemedyStop Remedy = "stop" // the database is damaged: write nothing more, and move no offset
)

// Sender publishes messages on Kafka that may be lost, because they are
// repeated or replaced by newer ones. Its methods never block; a newer message
// replaces an older one of the same kind and subject that is not sent yet.
//
// The parameter by is the epoch of this Central itself: other Centrals read it
// from a header to decide which of them is fenced. The epoch inside value is
// the one for that charging point: the same, plus the charging point's lead
// (ADR 0011).
type Sender interface {
	// Ack publishes the latest acknowledgement for a charging point.
	Ack(by charge.Epoch, cp charge.CPID, value []byte)
	// Command publishes a command. sent is called, from any goroutine, when
	// Kafka has it; it is not called if the command is dropped.
	Command(by charge.Epoch, cp charge.CPID, id charge.CommandID, value []byte, sent func())
	// Progress publishes the energy and cost so far of a running session.
	Progress(key string, id charge.SessionID, value []byte)
	// Heartbeat publishes that this Central is alive.
	Heartbeat(value []byte)
}

// Topics are the names of the Kafka topics that ingest reads or writes.
type Topics struct {
	Events, Telemetry, Monitor, Commands, Drivers, Central, DeadLetters string
}

// Config is the configuration of a Writer.
type Config struct {
	Topics Topics
	Orders orders.Config
	// Default is the configured version of the prices. It is stored at the start,
	// and valid from then on if it is new.
	Default ledger.Tariff
	// Admit admits each new charging point. Otherwise an operator has to.
	Admit bool
	// SilentAfter is how long a charging point may be silent during a session
	// before an alarm is raised; 0 means 5 min.
	SilentAfter time.Duration
	// Takeover lifts a fence at the start. Package app then does not wait until
	// another Central is silent.
	Takeover bool
	// KeepAnswers is how long the answer to a driver's message_id is kept. It
	// must not be shorter than the retention of the topic: otherwise a request
	// could be read again after its answer is gone.
	KeepAnswers time.Duration
	// Keep is how long raw records, ended commands and dead letters are kept; 0
	// means for ever.
	Keep time.Duration
	// IDs returns new ids, each greater than all before it. Only one goroutine
	// calls it.
	IDs func() string
	// Run is the second part of the epoch: 16 random hex digits, new for each
	// start of the process.
	Run   string
	Hooks Hooks
}

// Hooks receive measurements from the writer, for metrics and health. Each may
// be nil. None may block: they are called on the goroutines of the two loops.
type Hooks struct {
	// Iterated is called in each iteration of the writer's loop, Pulsed in each
	// iteration of Pulse. Both are called at least once per second unless the
	// loop hangs.
	Iterated, Pulsed func()
	// Committed receives the duration of each transaction, failed ones
	// included.
	Committed func(time.Duration)
	// RecordAge receives, for each committed record whose charging point has a
	// synced clock, the time between the charging point's timestamp and the
	// commit.
	RecordAge func(time.Duration)
	// CommandEnded receives each command that has reached a final state.
	CommandEnded func(kind wire.CommandType, how orders.CommandState)
}

func (w *Hooks) setDefaults() {
	if w.Iterated == nil {
		w.Iterated = func() {}
	}
	if w.Pulsed == nil {
		w.Pulsed = func() {}
	}
	if w.Committed == nil {
		w.Committed = func(time.Duration) {}
	}
	if w.RecordAge == nil {
		w.RecordAge = func(time.Duration) {}
	}
	if w.CommandEnded == nil {
		w.CommandEnded = func(wire.CommandType, orders.CommandState) {}
	}
}

// iterateEvery is the longest time between two iterations of an idle loop, so
// that a watchdog can distinguish idle from hung.
const iterateEvery = time.Second

// KafkaRecord is one record of a Kafka topic, before it is decoded.
type KafkaRecord struct {
	Topic     string
	Partition int
	Offset    int64
	CRC       uint32 // fingerprint of key and value
	Key       string
	Value     []byte
	Kind      string // the value of header "kind"; "" without one
	// ReceivedAt is when the bridge received the message, or when Kafka did.
	ReceivedAt charge.Time
	// NotBefore is a time by this machine's clock after which the record came
	// into Kafka; 0 if unknown.
	NotBefore charge.Time
	// BeforeStart marks records that were in the log before this run of Central
	// began.
	BeforeStart bool
}

// Names of counters in the database. They live as long as it.
const (
	countApplied           = "applied"
	countDuplicates        = "duplicates"
	countOutOfOrder        = "gaps" // the name that databases of earlier versions have
	countMismatched        = "mismatched"
	countForked            = "forked"
	countDeadLetters       = "dead_letters"
	countBridgeDeadLetters = "bridge_dead_letters"
	countReplayed          = "dead_letters_replayed"
	countUnusable          = "unusable"
	countUnknownKinds      = "unknown_kinds"
)

// Counters of drivers' messages, for Live.Counter.
const (
	CountRequests = "driver_requests"  // all of them
	CountRefused  = "driver_requests_" // plus one of orders.Refusals: those refused with that reason
)

// maxBatch is the most inputs of one transaction. Nothing waits for a batch to
// fill, so batches grow with the load.
const maxBatch = 2000
