package kafkalink_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// recreate deletes topic "a" and makes it again with this number of partitions.
func (w *world) recreate(t *testing.T, partitions int) {
	t.Helper()
	if err := w.cluster.DeleteTopic("a"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // the clients notice
	p := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: partitions}}})
	time.Sleep(2 * time.Second)
	p.stop()
}

// TestTopicMadeAgainWithFewerPartitions: the readers of partitions that the topic no
// longer has end and are forgotten. The others read the new log, and so do those
// that come back.
func TestTopicMadeAgainWithFewerPartitions(t *testing.T) {
	for name, start := range map[string]kafkalink.Start{"first": kafkalink.FromFirst(), "end": kafkalink.FromEnd()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in := &world{}, &inbox{}
				w.start(t)
				maker := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 16}}})
				time.Sleep(2 * time.Second)
				maker.stop()
				p := w.open(t, setup{read: []string{"a"}})
				var mu sync.Mutex
				var began, sizes []int
				tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(n int) kafkalink.ReaderConfig {
					mu.Lock()
					defer mu.Unlock()
					began = append(began, n)
					return in.config("", start)
				})
				tr.OnPartitions(func(n int) {
					mu.Lock()
					defer mu.Unlock()
					sizes = append(sizes, n)
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- tr.Run(ctx) }()
				time.Sleep(3 * time.Second)
				write := func(prefix string, partitions int) {
					o := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: partitions}}, grace: time.Minute})
					time.Sleep(2 * time.Second)
					for _, text := range numbers(0, 200) {
						if err := o.producer.Enqueue(kafkalink.Record{Topic: "a", Key: []byte(text), Value: []byte(prefix + text)}); err != nil {
							t.Fatal(err)
						}
					}
					o.stop()
				}
				total := 0
				read := func(what string, partitions int) {
					t.Helper()
					total += 200
					time.Sleep(15 * time.Second)
					if got := firsts(in.got()); len(got) != total {
						t.Errorf("%s: %d records are read, want %d", what, len(got), total)
					}
					states := tr.States()
					if len(states) != partitions {
						t.Errorf("%s: %d readers, want %d", what, len(states), partitions)
					}
					if all := kafkalink.Troubles(p.watcher.State(), nil, states); len(all) > 0 {
						t.Errorf("%s: troubles %v", what, all)
					}
					if err := tr.ReadToEnd(ctx); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				write("a", 16)
				read("at first", 16)
				w.recreate(t, 12)
				write("b", 12)
				read("smaller", 12)
				w.recreate(t, 16)
				write("c", 16)
				read("as large as before", 16)
				mu.Lock()
				if len(began) != 20 || began[16] != 12 || began[19] != 15 || len(sizes) != 3 || sizes[1] != 12 || sizes[2] != 16 {
					t.Errorf("began %v at sizes %v", began, sizes)
				}
				mu.Unlock()
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				p.stop()
				w.stop()
			})
		})
	}
}

// TestReadToEndOfALogMadeAgain: a reader that has not noticed yet that the log is
// another one, as long as the one before, has not read it.
func TestReadToEndOfALogMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		w.start(t)
		w.write(t, numbers(0, 50)...)
		p := w.open(t, setup{read: []string{"a"}})
		tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(int) kafkalink.ReaderConfig { return in.config("", kafkalink.FromFirst()) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tr.Run(ctx) }()
		time.Sleep(5 * time.Second)
		f := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.KafkaStorageError, Count: -1})
		if err := w.cluster.DeleteTopic("a"); err != nil {
			t.Fatal(err)
		}
		if err := w.cluster.CreateTopic("a", 1, nil); err != nil {
			t.Fatal(err)
		}
		for _, text := range numbers(100, 150) {
			w.produce(t, text)
		}
		time.AfterFunc(30*time.Second, f.Remove)
		if err := tr.ReadToEnd(ctx); err != nil {
			t.Error(err)
		}
		equal(t, "read when it returned", in.got(), append(numbers(0, 50), numbers(100, 150)...))
		cancel()
		<-done
		p.stop()
		w.stop()
	})
}

// TestAHandlerIsNotCalledTwiceAtOnce: the reader of a partition that comes back
// begins after the one before it has ended.
func TestAHandlerIsNotCalledTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		maker := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 3}}})
		time.Sleep(2 * time.Second)
		maker.keyed(t, &ends{}, "a", 0, 30, 30)
		time.Sleep(2 * time.Second)
		maker.stop()
		p := w.open(t, setup{read: []string{"a"}})
		var mu sync.Mutex
		inside := map[int]int{}
		tr := kafkalink.NewTopicReader(p.client, p.watcher, "a", func(n int) kafkalink.ReaderConfig {
			return kafkalink.ReaderConfig{Start: kafkalink.FromFirst(), Handle: func(ctx context.Context, _ kafkalink.Batch) error {
				mu.Lock()
				if inside[n]++; inside[n] > 1 {
					t.Errorf("partition %d is handled twice at once", n)
				}
				mu.Unlock()
				<-ctx.Done()                 // as a writer that is not active
				time.Sleep(20 * time.Second) // it does not stop at once
				mu.Lock()
				inside[n]--
				mu.Unlock()
				return ctx.Err()
			}}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tr.Run(ctx) }()
		time.Sleep(3 * time.Second)
		w.recreate(t, 1)
		w.recreate(t, 3)
		time.Sleep(time.Minute)
		if n := len(tr.States()); n != 3 {
			t.Errorf("%d readers, want 3", n)
		}
		cancel()
		<-done
		p.stop()
		w.stop()
	})
}
