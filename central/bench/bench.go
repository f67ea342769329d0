// Package bench measures Central's way from a decoded batch to the commit
// beside the database alone: the same rows in the same transactions, with
// nothing around them. What the two differ by is the cost of decoding, folding
// and announcing.
//
// It is of no use to a running Central, which does not link it.
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

// Message is one journal record as it stands on Kafka.
type Message struct {
	Key   charge.CPID
	Value []byte
}

// Config is one round.
type Config struct {
	// Dir is an empty folder for the two databases, on the disk to be measured;
	// they stay in it.
	Dir string
	// Partitions are the records of each, in order. Those of one charging point
	// are in one partition and begin with the first of its journal.
	Partitions [][]Message
	// Batch is how many records a reader hands over at a time.
	Batch int
	// Tariff is the one that the records name.
	Tariff charge.TariffVersion
	// StuckAfter is how long all may take beyond a millisecond per record; 0 means
	// 20 s.
	StuckAfter time.Duration
}

// Result is what one round took.
type Result struct {
	Events       int64
	Transactions int
	Through      time.Duration // the whole way
	Bare         time.Duration // the rows alone
}

// ErrStuck says that records were not applied: they are not an honest journal.
var ErrStuck = errors.New("not all records were applied")

const defaultStuckAfter = 20 * time.Second

// Run takes all records through a Central's writer, and then writes the same
// rows bare. Nothing of it is kept but the databases.
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

// feed hands one partition over, as its reader does.
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

// discard hears what Central says.
type discard struct{}

var _ ingest.Sender = discard{}

func (discard) Ack(charge.Epoch, charge.CPID, []byte) {}

func (discard) Command(_ charge.Epoch, _ charge.CPID, _ charge.CommandID, _ []byte, sent func()) {
	sent()
}

func (discard) Progress(string, charge.SessionID, []byte) {}

func (discard) Heartbeat([]byte) {}
