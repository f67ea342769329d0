package outbox_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/outbox"
)

// table is the outbox's table, in memory. The topic of a row is that of topicOf.
type table struct {
	mu      sync.Mutex
	ids     []int64
	topicOf func(id int64) string // nil: one for all
	broken  bool
	deleted []int64
	reads   int
}

func (b *table) topic(id int64) string {
	if b.topicOf == nil {
		return "t"
	}
	return b.topicOf(id)
}

func (b *table) Topics(context.Context) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	if b.broken {
		return nil, errors.New("no")
	}
	var all []string
	for _, id := range b.ids {
		if t := b.topic(id); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all, nil
}

func (b *table) Rows(_ context.Context, topic string, after int64, limit int) ([]outbox.Row, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var page []outbox.Row
	for _, id := range b.ids {
		if id > after && b.topic(id) == topic && len(page) < limit {
			page = append(page, outbox.Row{ID: id, Topic: topic, Key: "k"})
		}
	}
	return page, nil
}

func (b *table) confirmed(ids []int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deleted = append(b.deleted, ids...)
	b.ids = slices.DeleteFunc(b.ids, func(id int64) bool { return slices.Contains(ids, id) })
}

func (b *table) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ids)
}

// kafka confirms while it is up; otherwise it keeps what it was given, as it does with
// the topic that is blocked.
type kafka struct {
	mu      sync.Mutex
	up      bool
	blocked string
	got     []int64
	held    []func()
}

func (k *kafka) Produce(_ context.Context, r outbox.Row, done func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, r.ID)
	if k.up && (k.blocked == "" || r.Topic != k.blocked) {
		done()
	} else {
		k.held = append(k.held, done)
	}
	return nil
}

func (k *kafka) set(up bool) {
	k.mu.Lock()
	held := k.held
	k.up = up
	if up {
		k.held = nil
	}
	k.mu.Unlock()
	if up {
		for _, done := range held {
			done()
		}
	}
}

// produced returns the ids of the rows that it was given.
func (k *kafka) produced() []int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

func run(t *testing.T, b *table, k *kafka, allowed func() bool) *outbox.Outbox {
	t.Helper()
	o := outbox.New(b, k, b.confirmed, allowed, func() {}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return o
}

func numbers(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i + 1)
	}
	return all
}

func TestAllRowsArePublishedOnceInOrderAndDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := &table{ids: numbers(3000)}, &kafka{up: true}
		run(t, b, k, func() bool { return true })
		time.Sleep(5 * time.Second)
		if b.left() != 0 || !slices.Equal(k.produced(), numbers(3000)) {
			t.Errorf("left %d, published %d in order %v; want all 3000", b.left(), len(k.produced()), slices.IsSorted(k.produced()))
		}
	})
}

// A watchdog sees Run iterate while there is nothing to do, and Run does not
// read the database each time.
func TestItIteratesWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns atomic.Int64
		b := &table{}
		o := outbox.New(b, &kafka{up: true}, func([]int64) {}, func() bool { return true }, func() { turns.Add(1) }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.Run(ctx)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if turns.Load() < 59 || b.reads > 5 {
			t.Errorf("in a minute: %d turns and %d looks into the database, want a turn each second and few looks", turns.Load(), b.reads)
		}
		cancel()
		<-done
	})
}

func TestKafkaAwayForEverKeepsMemoryBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := &table{ids: numbers(5000)}, &kafka{}
		o := run(t, b, k, func() bool { return true })
		for range 3600 {
			o.Wake()
			time.Sleep(time.Second)
		}
		if o.Pending() > 500 || b.left() != 5000 {
			t.Errorf("under way %d, left %d; want at most 500 of 5000 that stay", o.Pending(), b.left())
		}
		k.set(true)
		time.Sleep(5 * time.Second)
		if b.left() != 0 || !slices.Equal(k.produced(), numbers(5000)) {
			t.Errorf("after Kafka was up: left %d, published %d", b.left(), len(k.produced()))
		}
	})
}

func TestNothingIsPublishedUnlessActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		may := false
		b, k := &table{ids: numbers(3)}, &kafka{up: true}
		o := run(t, b, k, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return may
		})
		o.Wake()
		synctest.Wait()
		if len(k.produced()) != 0 {
			t.Errorf("published %v while not active", k.produced())
		}
		mu.Lock()
		may = true
		mu.Unlock()
		o.Wake()
		synctest.Wait()
		if !slices.Equal(k.produced(), numbers(3)) {
			t.Errorf("published %v, want 1 2 3", k.produced())
		}
	})
}

func TestATableThatCannotBeReadIsReadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := &table{ids: numbers(3), broken: true}, &kafka{up: true}
		run(t, b, k, func() bool { return true })
		time.Sleep(time.Minute)
		b.mu.Lock()
		b.broken = false
		b.mu.Unlock()
		time.Sleep(2 * time.Second)
		if b.left() != 0 {
			t.Errorf("left %d, want none", b.left())
		}
	})
}

// TestABlockedTopicBlocksNoOther: while Kafka refuses one topic, the rows of another are
// published, also those behind thousands of the first; and then those of the first, in
// their order.
func TestABlockedTopicBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := &table{ids: numbers(3000)}, &kafka{up: true, blocked: "odd"}
		b.topicOf = func(id int64) string {
			if id <= 2000 || id%2 == 1 {
				return "odd"
			}
			return "even"
		}
		o := run(t, b, k, func() bool { return true })
		time.Sleep(5 * time.Second)
		if b.left() != 2500 || o.Pending() > 500 {
			t.Errorf("left %d, under way %d; want the 2500 rows of the blocked topic, at most 500 of them under way", b.left(), o.Pending())
		}
		b.mu.Lock()
		b.ids = append(b.ids, 3001, 3002)
		b.mu.Unlock()
		o.Wake()
		time.Sleep(5 * time.Second)
		if b.left() != 2501 {
			t.Errorf("left %d, want a later row of the other topic published too", b.left())
		}
		k.mu.Lock()
		k.blocked = ""
		k.mu.Unlock()
		k.set(true)
		time.Sleep(5 * time.Second)
		odd := slices.DeleteFunc(k.produced(), func(id int64) bool { return b.topicOf(id) == "even" })
		if b.left() != 0 || !slices.IsSorted(odd) || len(k.produced()) != 3002 {
			t.Errorf("left %d, published %d, in order %v", b.left(), len(k.produced()), slices.IsSorted(odd))
		}
	})
}
