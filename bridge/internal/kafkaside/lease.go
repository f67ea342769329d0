package kafkaside

import (
	"context"
	"sync"

	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/wire"
)

// heartbeatReader returns the reader of the bridges' heartbeats. They are in one
// partition, so the lease reads them in the order of the log.
func (s *Side) heartbeatReader() *kafkalink.TopicReader {
	return kafkalink.NewTopicReader(s.client, s.topics, s.cfg.Router.Kafka.Monitor, func(int) kafkalink.ReaderConfig {
		return kafkalink.ReaderConfig{Start: kafkalink.FromEnd(), Log: s.log, Handle: func(_ context.Context, b kafkalink.Batch) error {
			for _, m := range b.Messages {
				if string(m.Header(wire.HeaderKind)) != wire.KindValueBridgeAlive {
					continue
				}
				if alive, err := wire.DecodeBridgeAlive(m.Value); err == nil { // Central reports an invalid one
					s.cfg.Lease.Read(&alive)
				}
			}
			return nil
		}}
	})
}

// commandLoop reads cp-commands until ctx ends, while this bridge is active.
func (s *Side) commandLoop(ctx context.Context, down Publisher) {
	if s.cfg.Lease == nil {
		s.readCommands(ctx, down)
		return
	}
	for {
		select {
		case <-s.cfg.Lease.Held():
		case <-ctx.Done():
			return
		}
		active, end := context.WithCancel(ctx)
		lost := s.cfg.Lease.Lost()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			select {
			case <-lost:
				end()
			case <-active.Done():
			}
		})
		s.readCommands(active, down)
		end()
		waiting.Wait()
		if ctx.Err() != nil {
			return
		}
	}
}

// readCommands reads cp-commands until ctx ends. Each call begins two minutes back.
func (s *Side) readCommands(ctx context.Context, down Publisher) {
	reader := s.commandReader(down)
	s.commands.Store(reader)
	defer s.commands.Store(nil)
	_ = reader.Run(ctx) // returns nil when ctx has ended
}
