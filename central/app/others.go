package app

import (
	"context"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// How this Central looks for others before it becomes active. No wall clock
// decides how old a heartbeat is: the clock of the Central that wrote it may be
// days ahead, or this one's. So lookBack counts records, and the durations are
// measured here, from the moment a heartbeat is read.
const (
	// lookBack is how many records of each partition are read for earlier
	// epochs.
	lookBack = 2_000
	// listenFor is how long to wait for a heartbeat if an earlier Central wrote
	// one. A Central that is alive sends one per second.
	listenFor = 2500 * time.Millisecond
	// takeoverAfter is how long another Central must be silent before this one
	// becomes active.
	takeoverAfter = 30 * time.Second
)

// otherCentrals is what was read about other Centrals while joining.
type otherCentrals struct {
	catchUp *catchUp

	mu sync.Mutex
	// mu guards what follows.
	highest   charge.Epoch // the highest epoch read
	ranBefore bool         // a heartbeat was in the log before this run began
	alive     charge.Epoch // the Central that sent a heartbeat since; zero: none did
	aliveAt   time.Time    // when its last heartbeat was read
}

// waitToJoin waits for Kafka, reads the epochs of earlier Centrals, and waits
// until no other Central is active. With --take-over it does not wait for that.
// It returns the highest epoch read; its only error is the end of ctx.
func (l *kafkaIO) waitToJoin(ctx context.Context) (charge.Epoch, error) {
	l.live.SetWaiting(reason.Reason{Code: reason.WaitsForKafka})
	t := &l.cfg.Kafka.Topics
	ends, err := l.catchUpOf(ctx, t.Monitor.Name, t.Commands.Name)
	if err != nil {
		return charge.Epoch{}, err
	}
	s := &otherCentrals{catchUp: ends}
	l.live.SetWaiting(reason.Reason{Code: reason.LooksForCentral})
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	for _, topic := range []string{t.Monitor.Name, t.Commands.Name} {
		r := l.topicReader(topic, func(p int) kafkalink.ReaderConfig { return s.readerConfig(topic, p) })
		r.OnPartitions(func(n int) { ends.partitions(topic, n) })
		readers.Go(func() { _ = r.Run(reading) }) // it ends with its context alone
	}
	select {
	case <-ends.done:
	case <-ctx.Done():
		return charge.Epoch{}, ctx.Err()
	}
	if l.cfg.Takeover {
		return s.highestEpoch(), nil
	}
	if err := l.waitForSilence(ctx, s); err != nil {
		return charge.Epoch{}, err
	}
	return s.highestEpoch(), nil
}

// highestEpoch returns the highest epoch read so far.
func (s *otherCentrals) highestEpoch() charge.Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest
}

// readerConfig returns the configuration of the reader of one partition.
func (s *otherCentrals) readerConfig(topic string, partition int) kafkalink.ReaderConfig {
	t := s.catchUp.partition(topic, partition)
	return kafkalink.ReaderConfig{
		Start:  kafkalink.FromLast(lookBack),
		Opened: t.opened,
		Handle: func(_ context.Context, b kafkalink.Batch) error {
			for i := range b.Messages {
				s.observe(&b.Messages[i], b.Messages[i].Offset < t.end)
			}
			t.processed(b.Next)
			return nil
		},
	}
}

// observe notes the epoch of a record. Only heartbeats show that a Central is
// alive: a command that was read late proves nothing about now.
func (s *otherCentrals) observe(m *kafkalink.Message, past bool) {
	id := senderEpoch(m)
	if id.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.highest = charge.Highest(s.highest, id)
	switch {
	case string(m.Header(wire.HeaderKind)) != wire.KindValueCentralAlive:
	case past:
		s.ranBefore = true
	default:
		s.alive, s.aliveAt = id, time.Now()
	}
}

// waitForSilence returns at once if no Central has sent a heartbeat lately,
// after listenFor if only an earlier run has, and otherwise when the other
// Central has been silent for takeoverAfter. A Central that goes on sending
// keeps this one waiting for ever; two active Centrals would bill twice.
func (l *kafkaIO) waitForSilence(ctx context.Context, s *otherCentrals) error {
	begun := time.Now()
	for {
		s.mu.Lock()
		other, otherAt, past := s.alive, s.aliveAt, s.ranBefore
		s.mu.Unlock()
		now := time.Now()
		until := otherAt.Add(takeoverAfter)
		switch {
		case !other.IsZero():
			l.live.SetWaiting(reason.Reason{Code: reason.OtherCentral, Central: other.String(), Count: int64(takeoverAfter / time.Second)})
		case !past:
			return nil
		default:
			until = begun.Add(listenFor)
		}
		if !now.Before(until) {
			return nil
		}
		select {
		case <-time.After(min(until.Sub(now), time.Second)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
