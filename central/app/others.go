package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/wire"
)

// What is looked at before a Central becomes active. No clock is asked how old a
// sign of life is: that of the Central which wrote it may be days ahead, or this
// one's.
const (
	lookBack      = 2_000                   // records of each partition: who wrote as Central last
	listenFor     = 2500 * time.Millisecond // if somebody did: a Central that is alive says so each second
	takeoverAfter = 30 * time.Second        // of another Central, before this one takes its place
)

// otherCentrals is what was heard while looking around.
type otherCentrals struct {
	catchUp *catchUp

	mu sync.Mutex
	// mu guards what follows.
	highest   charge.Epoch
	ranBefore bool         // some Central's sign of life is in the log
	alive     charge.Epoch // who lives
	aliveAt   time.Time    // when it was heard last
}

// waitToJoin waits for Kafka, reads who wrote as Central lately, and waits until
// nobody else does. It answers the highest epoch heard; its only error is the
// end of ctx.
func (l *kafkaIO) waitToJoin(ctx context.Context) (charge.Epoch, error) {
	l.live.SetWaiting("waits for Kafka")
	t := &l.cfg.Kafka.Topics
	ends, err := l.catchUpOf(ctx, t.Monitor.Name, t.Commands.Name)
	if err != nil {
		return charge.Epoch{}, err
	}
	s := &otherCentrals{catchUp: ends}
	l.live.SetWaiting("looks whether another Central is alive")
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	for _, topic := range []string{t.Monitor.Name, t.Commands.Name} {
		r := l.topicReader(topic, func(p int) kafkalink.ReaderConfig { return s.readerConfig(topic, p) })
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

func (s *otherCentrals) highestEpoch() charge.Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest
}

// readerConfig reads one partition.
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

// waitForSilence ends at once when nobody spoke lately, after a moment when
// only an earlier run did, and otherwise when the other has been silent.
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
			l.live.SetWaiting(fmt.Sprintf("another Central (%s) is alive: waits until it has been silent for %s; --take-over does not wait", other, takeoverAfter))
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
