// Package bench measures how long Central needs from a decoded batch to the
// commit, compared with the database alone: the same rows in the same
// transactions, with nothing around them. The difference is the cost of
// decoding, applying and publishing.
//
// A running Central does not link this package.
package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// Message is one journal record as it is on Kafka.
type Message struct {
	Key   charge.CPID
	Value []byte
}

// Config is the configuration of one measurement.
type Config struct {
	// Dir is an empty folder for the two databases, on the disk to be measured.
	// They stay there.
	Dir string
	// Partitions are the records of each partition, in order. All records of a
	// charging point are in one partition, and its first one begins its
	// journal.
	Partitions [][]Message
	// Batch is how many records a reader submits at a time.
	Batch int
	// Tariff is the tariff version that the records name.
	Tariff charge.TariffVersion
	// StuckAfter is how long the whole measurement may take beyond a
	// millisecond per record; 0 means 20 s.
	StuckAfter time.Duration
}

// Result is the result of one measurement.
type Result struct {
	Events       int64
	Transactions int
	Through      time.Duration // with all of Central: decode, apply, commit, publish
	Bare         time.Duration // the same rows alone
}

// ErrStuck is returned if records were not applied, because the journals are
// invalid.
var ErrStuck = errors.New("not all records were applied")

// defaultStuckAfter is Config.StuckAfter if that is 0.
const defaultStuckAfter = 20 * time.Second

// Run passes all records through a Central's writer, and then writes the same
// rows to another database with nothing around them.
func Run(ctx context.Context, cfg Config) (Result, error) {
	var total int64
	for _, p := range cfg.Partitions {
		total += int64(len(p))
	}
	units, through, err := ingestAll(ctx, &cfg, total)
	if err != nil {
		return Result{}, err
	}
	bare, err := commitBare(ctx, filepath.Join(cfg.Dir, "bare.db"), units)
	return Result{Events: total, Transactions: len(units), Through: through, Bare: bare}, err
}

// ingestAll passes all records through a writer. It returns the rows of each of
// its transactions, and the time from the first record to the commit of the
// last.
func ingestAll(ctx context.Context, cfg *Config, total int64) (units []*unit, took time.Duration, err error) {
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(cfg.Dir, "through.db")})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	tariff := ledger.Tariff{Version: cfg.Tariff, StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
	r := &recorder{Store: s, all: make(chan struct{}), want: total}
	w := ingest.New(writerConfig(tariff), r, discard{}, ingest.NewLive(tariff), func() {}, slog.New(slog.DiscardHandler))
	life, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	failed := make(chan error, 1) // the writer's
	running.Go(func() { failed <- w.Run(life) })
	w.Join(charge.Epoch{})
	begin := time.Now()
	for p, all := range cfg.Partitions {
		running.Go(func() { feed(life, w, p, all, cfg.Batch) })
	}
	stuckAfter := cfg.StuckAfter
	if stuckAfter == 0 {
		stuckAfter = defaultStuckAfter
	}
	timer := time.NewTimer(stuckAfter + time.Duration(total)*time.Millisecond)
	defer timer.Stop()
	select {
	case <-r.all:
		return r.units, time.Since(begin), nil
	case err := <-failed:
		return nil, 0, errors.Join(ErrStuck, err)
	case <-timer.C:
		return nil, 0, fmt.Errorf("%w: %d of %d", ErrStuck, r.applied(), total)
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// feed submits one partition in batches, as its reader does.
func feed(ctx context.Context, w *ingest.Writer, partition int, all []Message, batch int) {
	for i := 0; i < len(all); i += batch {
		part := make([]ingest.KafkaRecord, 0, batch)
		for k, m := range all[i:min(i+batch, len(all))] {
			part = append(part, ingest.KafkaRecord{
				Topic: wire.TopicEvents, Partition: partition, Offset: int64(i + k), CRC: crc32.ChecksumIEEE(m.Value),
				Key: string(m.Key), Value: m.Value,
			})
		}
		if w.Submit(ctx, part) != nil {
			return // ctx has ended
		}
	}
}

// writerConfig returns the configuration of the writer, which admits all
// charging points.
func writerConfig(tariff ledger.Tariff) ingest.Config {
	return ingest.Config{
		Topics: ingest.Topics{
			Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor, Commands: wire.TopicCommands,
			Drivers: wire.TopicDriverEvents, Central: wire.TopicCentralEvents, DeadLetters: wire.TopicDeadLetters,
		},
		Default: tariff, Admit: true, KeepAnswers: 7 * 24 * time.Hour,
		IDs: func() string { return ids.New(time.Now(), rand.Reader) },
		Run: "00000000000000be",
	}
}

// commitBare writes the rows of all transactions to a new database.
func commitBare(ctx context.Context, path string, units []*unit) (took time.Duration, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return 0, err
	}
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	begin := time.Now()
	for _, u := range units {
		if err := s.Write(ctx, u.write); err != nil {
			return 0, fmt.Errorf("bare commit: %w", err)
		}
	}
	return time.Since(begin), nil
}

// discard is a Sender that drops everything. A command counts as sent.
type discard struct{}

var _ ingest.Sender = discard{}

func (discard) Ack(charge.Epoch, charge.CPID, []byte) {}

func (discard) Command(_ charge.Epoch, _ charge.CPID, _ charge.CommandID, _ []byte, sent func()) {
	sent()
}

func (discard) Progress(string, charge.SessionID, []byte) {}

func (discard) Heartbeat([]byte) {}
