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

// Times of the look around before a Central becomes active.
const (
	lookBack  = 2 * time.Minute         // in the logs, for who spoke as Central last
	young     = 30 * time.Second        // a sign of life younger than this may be of somebody who lives
	listenFor = 2500 * time.Millisecond // somebody who lives says so each second
	silence   = 30 * time.Second        // of another Central, before this one takes its place
)

// scouting is what was heard while looking around.
type scouting struct {
	ends *ends

	mu sync.Mutex
	// mu guards what follows.
	greatest charge.Incarnation
	youngest time.Time          // by its own words, of a sign of life in the log
	other    charge.Incarnation // who lives
	otherAt  time.Time          // when it was heard last
}

// scout waits for Kafka, reads who spoke as Central lately, and waits until
// nobody else does. It answers the greatest incarnation heard; its only error
// is the end of ctx.
func (l *link) scout(ctx context.Context) (charge.Incarnation, error) {
	l.live.SetWaiting("waits for Kafka")
	t := &l.cfg.Kafka.Topics
	ends, err := l.endsOf(ctx, t.Monitor.Name, t.Commands.Name)
	if err != nil {
		return "", err
	}
	s := &scouting{ends: ends}
	l.live.SetWaiting("looks whether another Central is alive")
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	for _, topic := range []string{t.Monitor.Name, t.Commands.Name} {
		r := l.reader(topic, func(p int) kafkalink.ReaderConfig { return s.config(topic, p) })
		readers.Go(func() { _ = r.Run(reading) }) // it ends with its context alone
	}
	select {
	case <-ends.reached:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if l.cfg.TakeOver {
		return s.heard(), nil
	}
	if err := l.waitForSilence(ctx, s); err != nil {
		return "", err
	}
	return s.heard(), nil
}

func (s *scouting) heard() charge.Incarnation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.greatest
}

// config reads one partition.
func (s *scouting) config(topic string, partition int) kafkalink.ReaderConfig {
	t := s.ends.tail(topic, partition)
	return kafkalink.ReaderConfig{
		Start:  kafkalink.FromTime(time.Now().Add(-lookBack)),
		Opened: t.opened,
		Handle: func(_ context.Context, b kafkalink.Batch) error {
			for i := range b.Messages {
				s.hear(&b.Messages[i], b.Messages[i].Offset < t.end)
			}
			t.took(b.Next)
			return nil
		},
	}
}

func (s *scouting) hear(m *kafkalink.Message, past bool) {
	id := speaker(m)
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greatest = max(s.greatest, id)
	if string(m.Header(wire.HeaderKind)) != wire.KindValueCentralAlive {
		return
	}
	if !past {
		s.other, s.otherAt = id, time.Now()
	} else if m.Time.After(s.youngest) {
		s.youngest = m.Time
	}
}

// waitForSilence ends at once when nobody spoke lately, after a moment when
// only a past life did, and otherwise when the other has been silent.
func (l *link) waitForSilence(ctx context.Context, s *scouting) error {
	begun := time.Now()
	for {
		s.mu.Lock()
		other, otherAt, youngest := s.other, s.otherAt, s.youngest
		s.mu.Unlock()
		now := time.Now()
		until := otherAt.Add(silence)
		switch {
		case other != "":
			l.live.SetWaiting(fmt.Sprintf("another Central (%s) is alive: waits until it has been silent for %s; --take-over does not wait", other, silence))
		case now.Sub(youngest) > young:
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
