package kafkalink_test

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// benchWindow is how many records a benchmark has in flight.
const benchWindow = 50_000

// BenchmarkLanes: 400-byte records over six lanes into a Kafka in memory.
func BenchmarkLanes(b *testing.B) {
	w := &world{}
	w.start(b)
	p := w.open(b, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 6}}})
	defer w.stop()
	defer p.stop()
	if _, err := p.watcher.Wait(context.Background(), "a"); err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 400)
	var open sync.WaitGroup
	window := make(chan struct{}, benchWindow)
	done := func(kafkalink.Outcome) { <-window; open.Done() }
	b.SetBytes(400)
	for i := range b.N {
		open.Add(1)
		window <- struct{}{}
		err := p.producer.Enqueue(kafkalink.Record{Topic: "a", Key: strconv.AppendInt(nil, int64(i%500), 10), Value: value, Done: done})
		if err != nil {
			b.Fatal(err)
		}
	}
	open.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkReader: 400-byte records out of one partition.
func BenchmarkReader(b *testing.B) {
	w := &world{}
	w.start(b)
	p := w.open(b, setup{topics: one()})
	defer w.stop()
	defer p.stop()
	value := make([]byte, 400)
	var written sync.WaitGroup
	window := make(chan struct{}, benchWindow)
	done := func(kafkalink.Outcome) { <-window; written.Done() }
	for range b.N {
		written.Add(1)
		window <- struct{}{}
		err := p.producer.Enqueue(kafkalink.Record{Topic: "a", Value: value, Done: done})
		if err != nil {
			b.Fatal(err)
		}
	}
	written.Wait()
	b.SetBytes(400)
	b.ResetTimer()
	all := make(chan struct{})
	n := 0
	_, stop := p.read(kafkalink.ReaderConfig{Topic: "a", Handle: func(_ context.Context, batch kafkalink.Batch) error {
		if n += len(batch.Messages); n == b.N {
			close(all)
		}
		return nil
	}})
	<-all
	b.StopTimer()
	stop()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
