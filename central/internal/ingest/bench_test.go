package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// recorder keeps what each transaction wrote, so that the same rows can be
// written again without anything around it.
type recorder struct {
	db
	mu    sync.Mutex
	units []*rows
	count int64
	all   chan struct{}
	want  int64
}

type rows struct {
	ledger  []ledger.Change
	orders  []orders.Effect
	records []keptRecord
	outbox  [][]byte
	offsets map[string]int64
	counts  map[string]int64
}

type keptRecord struct {
	in   ledger.Input
	hash string
	at   charge.Time
}

type recordingTx struct {
	ingest.Tx
	r *rows
}

func (t recordingTx) Ledger(c []ledger.Change) error {
	t.r.ledger = append(t.r.ledger, c...)
	return t.Tx.Ledger(c)
}

func (t recordingTx) Orders(e []orders.Effect) error {
	t.r.orders = append(t.r.orders, e...)
	return t.Tx.Orders(e)
}

func (t recordingTx) Record(in ledger.Input, hash string, at charge.Time) error {
	t.r.records = append(t.r.records, keptRecord{in, hash, at})
	return t.Tx.Record(in, hash, at)
}

func (t recordingTx) Outbox(topic, key string, h map[string]string, value []byte, at charge.Time) error {
	t.r.outbox = append(t.r.outbox, value)
	return t.Tx.Outbox(topic, key, h, value, at)
}

func (t recordingTx) Offset(topic string, p int, next int64, crc uint32) error {
	t.r.offsets[topic] = next
	return t.Tx.Offset(topic, p, next, crc)
}

func (t recordingTx) Count(name string, n int64) error {
	t.r.counts[name] += n
	return t.Tx.Count(name, n)
}

func (d *recorder) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	r := &rows{offsets: map[string]int64{}, counts: map[string]int64{}}
	err := d.db.Write(ctx, func(tx ingest.Tx) error { return fn(recordingTx{tx, r}) })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.units = append(d.units, r)
	d.count += int64(len(r.records))
	if d.count == d.want {
		close(d.all)
	}
	return err
}

// BenchmarkIngest takes records of 500 charging points through the writer, and
// then commits the same rows in the same transactions bare. The ratio of the
// two is what decoding, folding and announcing cost.
func BenchmarkIngest(b *testing.B) {
	const points, readers, batch = 500, 12, 200
	perReader := make([][]ingest.Delivered, readers)
	total := int64(0)
	for i := range points {
		a := journaltest.New(b, charge.CPID(fmt.Sprintf("CP_%03d", i)))
		for n := range 10 {
			a.Charge(n)
		}
		for _, m := range a.All {
			perReader[i%readers] = append(perReader[i%readers], ingest.Delivered{Key: m.Key, Value: m.Value})
		}
		total += int64(len(a.All))
	}
	for i, all := range perReader { // as it comes: the points of a partition interleaved
		perReader[i] = interleave(all, int(total)/points)
	}
	var through, bare time.Duration
	for b.Loop() {
		units, d := ingestAll(b, perReader, batch, total)
		through += d
		bare += commitBare(b, units)
	}
	n := float64(total) * float64(b.N)
	b.ReportMetric(n/through.Seconds(), "events/s")
	b.ReportMetric(n/bare.Seconds(), "bare_events/s")
	b.ReportMetric(bare.Seconds()/through.Seconds(), "ratio")
}

func interleave(all []ingest.Delivered, each int) []ingest.Delivered {
	out := make([]ingest.Delivered, 0, len(all))
	for i := range each {
		for j := i; j < len(all); j += each {
			out = append(out, all[j])
		}
	}
	return out
}

func ingestAll(b *testing.B, perReader [][]ingest.Delivered, batch int, total int64) ([]*rows, time.Duration) {
	b.Helper()
	s := openBench(b)
	d := &recorder{db: db{s}, all: make(chan struct{}), want: total}
	out := &wired{acksOf: map[charge.CPID]wire.Ack{}}
	w := ingest.New(config(), d, out, ingest.NewLive(tariff), func() {}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	w.Join("")
	begin := time.Now()
	for p, all := range perReader {
		wg.Go(func() {
			for i := 0; i < len(all); i += batch {
				part := append([]ingest.Delivered{}, all[i:min(i+batch, len(all))]...)
				for k := range part {
					m := &part[k]
					m.Topic, m.Partition, m.Offset, m.CRC = wire.TopicEvents, p, int64(i+k), crc32.ChecksumIEEE(m.Value)
				}
				if w.Take(ctx, part) != nil {
					return
				}
			}
		})
	}
	<-d.all
	took := time.Since(begin)
	cancel()
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	return d.units, took
}

func openBench(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "c.db")})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func commitBare(b *testing.B, units []*rows) time.Duration {
	b.Helper()
	s := openBench(b)
	begin := time.Now()
	for _, r := range units {
		if err := s.Write(b.Context(), func(tx *store.Tx) error {
			errs := []error{tx.Ledger(r.ledger), tx.Orders(r.orders)}
			for _, k := range r.records {
				errs = append(errs, tx.Record(k.in, k.hash, k.at))
			}
			for _, v := range r.outbox {
				errs = append(errs, tx.Outbox("t", "k", nil, v, 1))
			}
			for topic, next := range maps.All(r.offsets) {
				errs = append(errs, tx.Offset(topic, 0, next, 1))
			}
			for name, n := range r.counts {
				errs = append(errs, tx.Count(name, n))
			}
			return errors.Join(errs...)
		}); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(begin)
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	return took
}
