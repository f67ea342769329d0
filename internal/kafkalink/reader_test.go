package kafkalink_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// write appends these texts to topic "a" with one partition, through a producer
// of its own.
func (w *world) write(tb testing.TB, texts ...string) {
	tb.Helper()
	p := w.open(tb, setup{topics: one(), grace: time.Minute})
	time.Sleep(2 * time.Second)
	p.enqueue(tb, nil, "a", texts...)
	p.stop()
}

// TestReadsInBatches: everything once, in order, in batches as large as allowed,
// each with the position behind it and the end of the log.
func TestReadsInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		w.write(t, numbers(0, 2500)...)
		p := w.open(t, setup{read: []string{"a"}})
		r, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(5 * time.Second)
		equal(t, "read", in.got(), numbers(0, 2500))
		if len(in.batches) > 6 {
			t.Errorf("%d batches for 2500 records", len(in.batches))
		}
		for _, b := range in.batches {
			last := b.Messages[len(b.Messages)-1]
			if len(b.Messages) > 1000 || b.Next != last.Offset+1 || b.CRC != kafkalink.Fingerprint(last.Key, last.Value) || b.HighWatermark != 2500 {
				t.Errorf("batch of %d, next %d, end %d", len(b.Messages), b.Next, b.HighWatermark)
			}
		}
		if o := in.opened; len(o) != 1 || o[0].Next != 0 || o[0].End != 2500 {
			t.Errorf("opened %+v", o)
		}
		if s := r.State(); !s.Reading || s.Next != 2500 || s.Lag() != 0 || s.Records != 2500 {
			t.Errorf("state %+v", s)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestNewRecordsComeAtOnce: waiting for more records does not delay those that
// are there.
func TestNewRecordsComeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		p := w.open(t, setup{topics: one()})
		_, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(5*time.Second + 123*time.Millisecond)
		for i := range 50 {
			began := time.Now()
			p.enqueue(t, nil, "a", numbers(i, i+1)...)
			synctest.Wait()
			if len(in.got()) != i+1 {
				t.Fatalf("record %d not there at once (%v)", i, time.Since(began))
			}
			time.Sleep(77 * time.Millisecond)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// produce writes one record over a connection that w.away does not close.
func (w *world) produce(tb testing.TB, text string) {
	tb.Helper()
	t := &kafka.Transport{Dial: w.net.DialContext}
	defer t.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP("127.0.0.1:9092"), Transport: t}
	_, err := c.Produce(tb.Context(), &kafka.ProduceRequest{
		Topic: "a", RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(text))}),
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// TestWhenRecordsCame: for records that are written while it reads, the reader
// knows a moment shortly before. For older ones, or those written while it was
// cut off, After is never later than their writing.
func TestWhenRecordsCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		w.write(t, "before")
		p := w.open(t, setup{read: []string{"a"}})
		_, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(5 * time.Second)
		if b := in.handled(); len(b) != 1 || !b[0].After.IsZero() {
			t.Errorf("what lay there: %+v", b)
		}
		wrote := time.Now()
		w.produce(t, "live")
		time.Sleep(time.Second)
		if b := in.handled(); len(b) != 2 || b[1].After.After(wrote) || b[1].After.Before(wrote.Add(-2*time.Second)) {
			t.Errorf("what came while it read, at %v: %+v", wrote, b[1:])
		}
		w.away()
		time.Sleep(10 * time.Minute)
		wrote = time.Now()
		w.produce(t, "cut off")
		time.Sleep(10 * time.Minute)
		w.back()
		time.Sleep(10 * time.Second)
		if b := in.handled(); len(b) != 3 || b[2].After.After(wrote) {
			t.Errorf("what came while it was cut off, at %v: %+v", wrote, b[2:])
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestRefusedBatchComesAgain: an owner that fails for a while misses nothing and
// gets nothing twice.
func TestRefusedBatchComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{fail: 30}
		w.start(t)
		w.write(t, numbers(0, 1500)...)
		p := w.open(t, setup{read: []string{"a"}})
		r, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(20 * time.Second)
		if s := r.State(); s.Stuck < 5 || s.Next != 0 || s.LastError != "not now" {
			t.Errorf("state %+v, want stuck at the first batch", s)
		}
		time.Sleep(2 * time.Minute)
		equal(t, "read", in.got(), numbers(0, 1500))
		if s := r.State(); s.Stuck != 0 {
			t.Errorf("state %+v, want no longer stuck", s)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestReaderOverOutages: the topic appears after ten minutes, and Kafka goes
// away and comes back. Everything is read once, and the first record within a
// second after each return.
func TestReaderOverOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		p := w.open(t, setup{read: []string{"a"}})
		r, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(10 * time.Minute)
		w.start(t)
		time.Sleep(10 * time.Minute)
		if s := r.State(); s.Reading {
			t.Errorf("state %+v without a topic", s)
		}
		w.write(t, numbers(0, 10)...)
		time.Sleep(2 * time.Second)
		equal(t, "read", in.got(), numbers(0, 10))
		for round := 1; round < 4; round++ {
			w.away()
			time.Sleep(5 * time.Minute)
			if s := r.State(); s.Reading || s.LastError == "" {
				t.Errorf("state %+v while Kafka is away", s)
			}
			w.back()
			time.Sleep(time.Second)
			w.write(t, numbers(10*round, 10*round+10)...)
			synctest.Wait()
			equal(t, "read", in.got(), numbers(0, 10*round+10))
		}
		if len(in.replaced) != 0 {
			t.Errorf("replaced %+v", in.replaced)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestResume: a reader continues at the stored position, and the fingerprint
// proves that the log is the same.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		w.write(t, numbers(0, 10)...)
		p := w.open(t, setup{read: []string{"a"}})
		_, stop := p.read(in.config("a", kafkalink.FromOffset(4, kafkalink.Fingerprint([]byte("k"), []byte("3")))))
		time.Sleep(3 * time.Second)
		equal(t, "read", in.got(), numbers(4, 10))
		if len(in.replaced) != 0 {
			t.Errorf("replaced %+v", in.replaced)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestLogReplaced: while no reader ran, the log was replaced. Whatever the new
// log looks like, that is detected, and all of it is read.
func TestLogReplaced(t *testing.T) {
	mark := kafkalink.Fingerprint([]byte("k"), []byte("old9"))
	for name, c := range map[string]struct {
		texts []string
		why   kafkalink.Reason
	}{
		"empty":               {nil, kafkalink.ReasonShorter},
		"shorter":             {[]string{"n0", "n1", "n2"}, kafkalink.ReasonShorter},
		"shorter by one":      {numbers(100, 109), kafkalink.ReasonShorter},
		"as long":             {numbers(100, 110), kafkalink.ReasonDifferent},
		"longer":              {numbers(100, 150), kafkalink.ReasonDifferent},
		"same but for a byte": {[]string{"old0", "old1", "old2", "old3", "old4", "old5", "old6", "old7", "old8", "oldX"}, kafkalink.ReasonDifferent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in := &world{}, &inbox{}
				w.start(t)
				w.write(t, c.texts...)
				p := w.open(t, setup{topics: one()})
				_, stop := p.read(in.config("a", kafkalink.FromOffset(10, mark)))
				time.Sleep(10 * time.Second)
				p.enqueue(t, nil, "a", "later")
				time.Sleep(time.Second)
				equal(t, "read", in.got(), append(slices.Clone(c.texts), "later"))
				if len(in.replaced) != 1 || in.replaced[0].Reason != c.why || in.replaced[0].Was != 10 || in.replaced[0].Now != 0 {
					t.Errorf("replaced %+v, want %s", in.replaced, c.why)
				}
				stop()
				p.stop()
				w.stop()
			})
		})
	}
}

// TestTopicRecreatedWhileReading: the topic is deleted while it is read, and the
// watcher creates it again. The reader starts again at the first record, with
// fewer, as many or more records than before.
func TestTopicRecreatedWhileReading(t *testing.T) {
	for _, n := range []int{3, 10, 30} {
		synctest.Test(t, func(t *testing.T) {
			w, in := &world{}, &inbox{}
			c := w.start(t)
			p := w.open(t, setup{topics: one()})
			p.enqueue(t, nil, "a", numbers(0, 10)...)
			_, stop := p.read(in.config("a", kafkalink.FromFirst()))
			time.Sleep(5 * time.Second)
			if err := c.DeleteTopic("a"); err != nil {
				t.Fatal(err)
			}
			p.enqueue(t, nil, "a", numbers(100, 100+n)...)
			time.Sleep(20 * time.Second)
			equal(t, "read", in.got(), append(numbers(0, 10), numbers(100, 100+n)...))
			if len(in.replaced) != 1 {
				t.Errorf("%d records: replaced %+v", n, in.replaced)
			}
			stop()
			p.stop()
			w.stop()
		})
	}
}

// TestRetention: records that were deleted before they were read are reported. A
// log of which everything that was read is deleted is still the same log.
func TestRetention(t *testing.T) {
	for name, c := range map[string]struct {
		deleted int64
		want    []string
		reports int
	}{
		"nothing":     {0, numbers(4, 10), 0},
		"some":        {2, numbers(4, 10), 0},
		"all read":    {4, numbers(4, 10), 0},
		"unread, too": {7, numbers(7, 10), 1},
		"everything":  {10, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in := &world{}, &inbox{}
				k := w.start(t)
				w.write(t, numbers(0, 10)...)
				if c.deleted > 0 {
					if err := k.DeleteRecords("a", 0, c.deleted); err != nil {
						t.Fatal(err)
					}
				}
				p := w.open(t, setup{topics: one()})
				_, stop := p.read(in.config("a", kafkalink.FromOffset(4, kafkalink.Fingerprint([]byte("k"), []byte("3")))))
				time.Sleep(5 * time.Second)
				p.enqueue(t, nil, "a", "later")
				time.Sleep(time.Second)
				equal(t, "read", in.got(), append(slices.Clone(c.want), "later"))
				if len(in.replaced) != c.reports || c.reports > 0 && in.replaced[0].Reason != kafkalink.ReasonExpired {
					t.Errorf("replaced %+v", in.replaced)
				}
				stop()
				p.stop()
				w.stop()
			})
		})
	}
}

// TestStarts: each Start, with a record that is written just after the start was
// resolved. Without a record of that time, kafka-go alone would resolve the end
// again later and skip that record.
func TestStarts(t *testing.T) {
	for name, c := range map[string]struct {
		start func(middle time.Time) kafkalink.Start
		want  []string
	}{
		"first":    {func(time.Time) kafkalink.Start { return kafkalink.FromFirst() }, numbers(0, 11)},
		"offset 0": {func(time.Time) kafkalink.Start { return kafkalink.FromOffset(0, 7) }, numbers(0, 11)},
		"time":     {kafkalink.FromTime, numbers(5, 11)},
		"late":     {func(time.Time) kafkalink.Start { return kafkalink.FromTime(time.Now()) }, numbers(10, 11)},
		"last":     {func(time.Time) kafkalink.Start { return kafkalink.FromLast(3) }, numbers(7, 11)},
		"all":      {func(time.Time) kafkalink.Start { return kafkalink.FromLast(1 << 40) }, numbers(0, 11)},
		"end":      {func(time.Time) kafkalink.Start { return kafkalink.FromEnd() }, numbers(10, 11)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in := &world{}, &inbox{}
				w.start(t)
				w.write(t, numbers(0, 5)...)
				time.Sleep(time.Hour)
				middle := time.Now()
				w.write(t, numbers(5, 10)...)
				time.Sleep(time.Hour)
				p := w.open(t, setup{topics: one()})
				cfg := in.config("a", c.start(middle))
				opened := cfg.Opened
				cfg.Opened = func(o kafkalink.Opened) {
					opened(o)
					p.enqueue(t, nil, "a", "10")
					time.Sleep(time.Second) // it is written before the first fetch
				}
				_, stop := p.read(cfg)
				time.Sleep(5 * time.Second)
				equal(t, "read", in.got(), c.want)
				if o := in.opened; len(o) != 1 || o[0].End != 10 {
					t.Errorf("opened %+v, want the end at 10", o)
				}
				stop()
				p.stop()
				w.stop()
			})
		})
	}
}

// TestFrozenBroker: requests without an answer time out and are repeated.
func TestFrozenBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in, e := &world{}, &inbox{}, &ends{}
		c := w.start(t)
		p := w.open(t, setup{topics: one()})
		_, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(3 * time.Second)
		swallow := func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true }
		c.ControlKey(int16(kmsg.Produce), swallow)
		c.ControlKey(int16(kmsg.Fetch), swallow)
		p.enqueue(t, e, "a", numbers(0, 3)...)
		time.Sleep(15 * time.Second)
		equal(t, "read", in.got(), numbers(0, 3))
		if e.count(kafkalink.Produced) != 3 {
			t.Errorf("outcomes %v", e.kinds)
		}
		// A request without an answer does not delay the stop.
		c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			return nil, nil, true
		})
		time.Sleep(2 * time.Second)
		began := time.Now()
		stop()
		p.stop()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("stopped after %v", took)
		}
		w.stop()
	})
}

// TestTopicReader: a topic that is only read has as many readers as it really
// has partitions, including those added later.
func TestTopicReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		p := w.open(t, setup{read: []string{"a"}})
		tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(int) kafkalink.ReaderConfig {
			return in.config("", kafkalink.FromFirst())
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tr.Run(ctx) }()
		other := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 4}}})
		if n, err := p.watcher.Wait(ctx, "a"); n != 4 || err != nil {
			t.Errorf("waited for %d, %v", n, err)
		}
		for _, text := range numbers(0, 100) {
			if err := other.producer.Enqueue(kafkalink.Record{Topic: "a", Key: []byte(text), Value: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if got := firsts(in.got()); len(got) != 100 || len(tr.States()) != 4 {
			t.Errorf("read %d by %d readers, want 100 by 4", len(got), len(tr.States()))
		}
		other.stop()
		w.grow(t, "a", 6)
		time.Sleep(5 * time.Second)
		if len(tr.States()) != 6 {
			t.Errorf("%d readers, want 6", len(tr.States()))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.stop()
		w.stop()
	})
}

// TestReadToEnd: it returns when everything is handled that was there at the call, in
// every partition, however long one of them takes.
func TestReadToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		p := w.open(t, setup{read: []string{"a"}})
		blocked := make(chan struct{})
		tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(n int) kafkalink.ReaderConfig {
			cfg := in.config("", kafkalink.FromFirst())
			if handle := cfg.Handle; n == 4 { // the first one that is added below
				cfg.Handle = func(ctx context.Context, b kafkalink.Batch) error {
					select {
					case <-blocked:
					case <-ctx.Done():
					}
					return handle(ctx, b)
				}
			}
			return cfg
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tr.Run(ctx) }()
		other := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 4}}})
		time.Sleep(5 * time.Second)
		if err := tr.ReadToEnd(ctx); err != nil { // of an empty topic
			t.Error(err)
		}
		w.grow(t, "a", 6)
		time.Sleep(5 * time.Second) // the producer knows of it
		for _, text := range numbers(0, 100) {
			if err := other.producer.Enqueue(kafkalink.Record{Topic: "a", Key: []byte(text), Value: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		read := make(chan error, 1)
		go func() { read <- tr.ReadToEnd(ctx) }()
		time.Sleep(time.Minute)
		select {
		case err := <-read:
			t.Errorf("returned %v before a partition was read; %d records are", err, len(firsts(in.got())))
		default:
		}
		close(blocked)
		if err := <-read; err != nil || len(firsts(in.got())) != 100 {
			t.Errorf("returned %v after %d records, want all 100", err, len(firsts(in.got())))
		}
		stopped, stop := context.WithCancel(ctx)
		stop()
		if err := tr.ReadToEnd(stopped); err == nil {
			t.Error("a context that has ended is no error")
		}
		other.stop()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.stop()
		w.stop()
	})
}

// TestGoBack: records that were passed are handled again, from the offset on, and
// ReadToEnd does not return before. An offset that was not passed changes nothing.
func TestGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		p := w.open(t, setup{read: []string{"a"}})
		tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(int) kafkalink.ReaderConfig { return in.config("", kafkalink.FromFirst()) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tr.Run(ctx) }()
		other := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 1}}})
		for _, text := range numbers(0, 10) {
			if err := other.producer.Enqueue(kafkalink.Record{Topic: "a", Key: []byte(text), Value: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		for _, from := range []map[int]int64{nil, {0: 10}, {0: 99}, {5: 0}} {
			tr.GoBack(from)
			if err := tr.ReadToEnd(ctx); err != nil || len(in.got()) != 10 {
				t.Fatalf("back to %v: %v, %d records handled, want 10", from, err, len(in.got()))
			}
		}
		tr.GoBack(map[int]int64{0: 7})
		tr.GoBack(map[int]int64{0: 4}) // before the first one has begun
		tr.GoBack(map[int]int64{0: 6})
		if next := tr.States()[0].Next; next != 4 {
			t.Errorf("the state shows position %d, want 4", next)
		}
		if err := tr.ReadToEnd(ctx); err != nil || len(in.got()) != 16 || tr.States()[0].Next != 10 {
			t.Errorf("back to 4: %v, %d records handled, want 16; at %d", err, len(in.got()), tr.States()[0].Next)
		}
		other.stop()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.stop()
		w.stop()
	})
}

// TestAddedPartitionsAreReadFromTheirFirst, by a reader that starts at the end,
// too: all records in a new partition are new.
func TestAddedPartitionsAreReadFromTheirFirst(t *testing.T) {
	for name, start := range map[string]kafkalink.Start{"end": kafkalink.FromEnd(), "first": kafkalink.FromFirst(), "time": kafkalink.FromTime(time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in := &world{}, &inbox{}
				w.start(t)
				w.write(t, "old")
				time.Sleep(2 * time.Hour)
				p := w.open(t, setup{read: []string{"a"}})
				tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(int) kafkalink.ReaderConfig { return in.config("", start) })
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- tr.Run(ctx) }()
				time.Sleep(5 * time.Second)
				w.grow(t, "a", 3)
				other := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 1}}})
				e := &ends{}
				other.keyed(t, e, "a", 0, 60, 3)
				time.Sleep(10 * time.Second)
				got := firsts(in.got())
				if name == "first" {
					got = got[1:] // "old"
				}
				if len(got) != 60 || e.count(kafkalink.Produced) != 60 {
					t.Errorf("read %s, outcomes %v, want the 60 new ones", short(got), e.kinds)
				}
				other.stop()
				cancel()
				<-done
				p.stop()
				w.stop()
			})
		})
	}
}

// TestMarkersOfTransactionsAreSteppedOver: markers occupy offsets and are no
// records. The reader does not stop before them, and does not mistake them for a
// replaced log.
func TestMarkersOfTransactionsAreSteppedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		w.write(t, "0")
		c, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(w.dial), kgo.TransactionalID("t"), kgo.DefaultProduceTopic("a"))
		if err != nil {
			t.Fatal(err)
		}
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
			if err := errors.Join(c.BeginTransaction(), c.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i+1))).FirstErr(), c.EndTransaction(t.Context(), end)); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		p := w.open(t, setup{read: []string{"a"}})
		r, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(5 * time.Second)
		equal(t, "read", in.got(), numbers(0, 3))
		if s := r.State(); s.Next != 5 || s.Lag() != 0 || s.Records != 3 {
			t.Errorf("state %+v, want it behind both markers", s)
		}
		w.away()
		time.Sleep(time.Minute)
		w.back()
		w.write(t, "3")
		time.Sleep(5 * time.Second)
		equal(t, "read after an outage", in.got(), numbers(0, 4))
		if s := r.State(); s.Replaced != 0 {
			t.Errorf("state %+v, want the log not replaced", s)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestABatchThatCannotBeDecodedIsSteppedOver: after damage of a broker's disk, a
// batch cannot be decoded for ever. What follows it must be read, and the number
// of skipped offsets is reported.
func TestABatchThatCannotBeDecodedIsSteppedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		w.write(t, "0")
		w.damage(t, "a", 3)
		w.write(t, "1", "2")
		w.damage(t, "a", 1)
		p := w.open(t, setup{read: []string{"a"}})
		r, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(time.Minute)
		equal(t, "read", in.got(), numbers(0, 3))
		if s := r.State(); s.Next != 6 || s.Unreadable != 3 {
			t.Errorf("state %+v, want 3 unreadable and to wait before the last, behind which nothing is", s)
		}
		w.away()
		time.Sleep(10 * time.Minute)
		w.back()
		w.write(t, "3")
		time.Sleep(time.Minute)
		equal(t, "read behind the second", in.got(), numbers(0, 4))
		if s := r.State(); s.Next != 8 || s.Unreadable != 4 || s.Replaced != 0 {
			t.Errorf("state %+v, want 4 unreadable", s)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// damage appends a batch of so many records whose compressed bytes are invalid.
func (w *world) damage(t *testing.T, topic string, records int32) {
	t.Helper()
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: 2, LastOffsetDelta: records - 1, ProducerID: -1, ProducerEpoch: -1,
		FirstSequence: -1, NumRecords: records, Records: []byte{0xff, 0x06, 0, 0, 's', 'N'},
	}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	b.CRC = int32(crc32.Checksum(b.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = b.AppendTo(nil)
	one := kmsg.NewProduceRequestTopic()
	one.Topic, one.Partitions = topic, append(one.Partitions, part)
	req := kmsg.NewProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 1000, append(req.Topics, one)
	c, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(w.dial), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := req.RequestWith(t.Context(), c)
	if err != nil || kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode) != nil {
		t.Fatalf("%v %+v", err, res)
	}
}
