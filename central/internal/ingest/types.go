package ingest

import (
	"context"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Tx is one transaction of the database. The first error of a method ends it.
type Tx interface {
	Ledger(changes []ledger.Change) error
	Orders(effects []orders.Effect) error
	Record(in ledger.Input, hash string, receivedAt charge.Time) error
	Forked(in ledger.Input, hash string, receivedAt charge.Time) error
	DeadLetter(topic string, partition int, offset int64, crc uint32, key, reason string, at charge.Time) (fresh bool, err error)
	Outbox(topic, key string, headers map[string]string, value []byte, at charge.Time) error
	OutboxSent(ids []int64) error
	Offset(topic string, partition int, next int64, crc uint32) error
	Count(name string, n int64) error
	Epoch(e charge.Epoch, at charge.Time) error
	Tariff(t ledger.Tariff, at charge.Time) error
	ForgetRequests(before charge.Time, limit int) (more bool, err error)
	Reply(key string, request, reply []byte, at charge.Time) error
	ForgetReplies(before, now charge.Time, limit int) (more bool, err error)
	Aged(at charge.Time) error
	Prune(before charge.Time, limit int) (more bool, err error)
	BridgeDead(bridge string, started charge.Time, n int64, at charge.Time) error
}

// Store is the database as the writer needs it. Look-ups see the last commit.
type Store interface {
	Write(ctx context.Context, fn func(Tx) error) error
	Recent(ctx context.Context, keep int, ids ...charge.CPID) (map[charge.CPID]*ledger.CP, error)
	Journal(ctx context.Context, cp charge.CPID, id charge.JournalID) (ledger.Journal, bool, error)
	JournalEnding(ctx context.Context, cp charge.CPID, hash string) (charge.JournalID, bool, error)
	LoadOrders(ctx context.Context, st *orders.State) error
	Session(ctx context.Context, id charge.SessionID) (ledger.Session, bool, error)
	Ticket(ctx context.Context, id string) (ledger.Ticket, bool, error)
	HashOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (string, bool, error)
	PrevOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (string, bool, error)
	Request(ctx context.Context, k orders.RequestKey) (orders.Request, bool, error)
	Reservation(ctx context.Context, id charge.ReservationID) (orders.Reservation, bool, error)
	Billed(ctx context.Context, cp charge.CPID, k charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool, error)
	FindCommand(ctx context.Context, id charge.CommandID) (orders.Command, bool, error)
	Reply(ctx context.Context, key string) (request, reply []byte, ok bool, err error)
	Replies(ctx context.Context) (int64, error)
	Gap(ctx context.Context, n int64) (ledger.Gap, bool, error)
	Tariffs(ctx context.Context) ([]ledger.Tariff, error)
	Counters(ctx context.Context) (map[string]int64, error)
	Epoch(ctx context.Context) (charge.Epoch, error)
	Aged(ctx context.Context) (charge.Time, error)
	OpenAlarms(ctx context.Context) (int64, error)
	LastAlarm(ctx context.Context) (ledger.Alarm, bool, error)
	OpenAlarm(ctx context.Context, id string) (ledger.Alarm, bool, error)
	BridgeDead(ctx context.Context, bridge string, started charge.Time) (int64, error)
	Lost(ctx context.Context) (int64, error)
	Twice(ctx context.Context) (int64, error)
	// Trouble says in words why a transaction failed, and what is to be done about
	// it; both are empty for an error that is not the database's.
	Trouble(err error) (words string, r Remedy)
}

// Remedy says what is to be done about a transaction that failed.
type Remedy string

// The remedies of an error of the database.
const (
	RemedyRow  Remedy = "row"  // it refuses a row: leave that row out
	RemedyWait Remedy = "wait" // it can heal without a restart: retry
	RemedyStop Remedy = "stop" // it is damaged: write nothing more, and move no offset
)

// Sender says things on Kafka that may be lost. by is the epoch of this Central
// itself, by which other Centrals judge; in value is the one for the charging
// point. Its methods never wait; what
// is newer replaces what was not sent yet.
type Sender interface {
	// Ack sends the latest acknowledgement of a charging point.
	Ack(by charge.Epoch, cp charge.CPID, value []byte)
	// Command sends a command; sent is called, from any goroutine, when Kafka has
	// it.
	Command(by charge.Epoch, cp charge.CPID, id charge.CommandID, value []byte, sent func())
	// Progress sends how far a session is.
	Progress(key string, id charge.SessionID, value []byte)
	// Heartbeat says that this Central lives.
	Heartbeat(value []byte)
}

// Topics names the Kafka topics that ingest knows.
type Topics struct {
	Events, Telemetry, Monitor, Commands, Drivers, Central, DeadLetters string
}

// Config holds what can be different.
type Config struct {
	Topics      Topics
	Orders      orders.Config
	Default     ledger.Tariff // present prices, written down at the start; also of a session that names no known version
	Admit       bool          // charging points are admitted as they appear
	SilentAfter time.Duration // how long a charging point may be silent during a session before that is an alarm; default 5 min
	Takeover    bool          // do not wait for another Central to fall silent
	KeepAnswers time.Duration // how long an answer to a message_id is kept: as long as the topic
	Keep        time.Duration // how long bytes of records, ended commands and dead letters are kept; 0: for ever
	IDs         func() string // makes new ids, each greater than none before; must be safe for one goroutine
	Run         string        // of the epoch: 16 random hex digits, new for each start of the process
	Hooks       Hooks
}

// Hooks is told how the writer fares. Each of its functions may be nil, and
// must not wait.
type Hooks struct {
	// Iterated is called at each turn of the writer, at least each second while it
	// does not hang, and Pulsed at each of its pulse.
	Iterated, Pulsed func()
	// Committed is told how long each transaction took.
	Committed func(time.Duration)
	// RecordAge is told of each record that was committed how long ago its charging
	// point wrote it, if its clock can be trusted.
	RecordAge func(time.Duration)
	// CommandEnded is told of each command that has ended, and how.
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

// iterateEvery is how often the writer turns at least.
const iterateEvery = time.Second

// KafkaRecord is one Kafka record.
type KafkaRecord struct {
	Topic       string
	Partition   int
	Offset      int64
	CRC         uint32 // fingerprint of key and value
	Key         string
	Value       []byte
	Kind        string      // of its header kind; "" when there is none
	ReceivedAt  charge.Time // when the bridge received it, or when Kafka did
	NotBefore   charge.Time // it came into Kafka after this, by the clock here; zero: not known
	BeforeStart bool        // it was in the log before this life of Central began
}

// Counters of the database; they live as long as it.
const (
	countApplied           = "applied"
	countDuplicates        = "duplicates"
	countGaps              = "gaps"
	countMismatched        = "mismatched"
	countForked            = "forked"
	countDeadLetters       = "dead_letters"
	countBridgeDeadLetters = "bridge_dead_letters"
	countUnusable          = "unusable"
	countUnknownKinds      = "unknown_kinds"
)

// Counters of drivers' messages, for Live.Counter.
const (
	CountRequests = "driver_requests"  // all of them
	CountRefused  = "driver_requests_" // and one of orders.Refusals: those that could not be used
)

// Bounds of one transaction. Nothing waits for a batch to fill: what is there
// is taken, so more is taken at once the more there is to do.
const maxBatch = 2000
