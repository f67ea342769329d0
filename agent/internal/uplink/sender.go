package uplink

import (
	"context"
	"errors"
	"sync"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// maxWatchedAcks is how many PUBACKs are awaited at a time: the window and some
// probes. A confirmation is only a hint, so one beyond that is ignored.
const maxWatchedAcks = 2 * delivery.MaxWindow

// sender publishes on one connection what the core asks for. Where the network is
// slow it waits, and of telemetry and presence it then sends the latest only.
type sender struct {
	conn *mqttlink.Conn
	wake chan struct{}          // capacity 1: there is something to send
	acks chan *mqttlink.Pending // published records whose PUBACK is awaited

	mu sync.Mutex
	// mu guards everything that follows.
	queue     []delivery.Index
	acked     delivery.Index // all records up to it need not be sent
	presence  *wire.Presence // waits to be sent; nil: none
	telemetry *wire.Telemetry
}

// runSender runs the sender of a connection until it ends.
func (u *Uplink) runSender(ctx context.Context, conn *mqttlink.Conn) {
	s := &sender{conn: conn, wake: make(chan struct{}, 1), acks: make(chan *mqttlink.Pending, maxWatchedAcks)}
	u.sender.Store(s)
	u.deps.Post(point.Connected{Conn: conn.Number()})
	var watching sync.WaitGroup
	watching.Go(func() { u.watchAcks(ctx, s) })
	defer watching.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for u.sendOne(ctx, s) {
		}
	}
}

// sendOne publishes the presence and telemetry that are waiting and then one
// record, so that a long queue of records holds up neither. It reports false
// when there is nothing to send or the connection has ended.
func (u *Uplink) sendOne(ctx context.Context, s *sender) bool {
	presence, telemetry, index, some := s.next()
	if presence != nil && !u.publishMessage(ctx, s, wire.KindPresence, presence) {
		return false
	}
	if telemetry != nil {
		u.deps.Complete(telemetry)
		if !u.publishMessage(ctx, s, wire.KindTelemetry, telemetry) {
			return false
		}
	}
	if index == 0 {
		return some
	}
	raw, err := u.deps.Read(index)
	if err != nil {
		u.log.Error("record cannot be read", logs.Err(err))
		return true
	}
	return u.publish(ctx, s, wire.KindEvent, 1, false, raw)
}

// publishMessage encodes and sends a presence, retained, or telemetry. It reports
// whether the connection is still up.
func (u *Uplink) publishMessage(ctx context.Context, s *sender, k wire.Kind, m interface{ Encode() ([]byte, error) }) bool {
	raw, err := m.Encode()
	if err != nil {
		u.log.Error("message cannot be written", logs.Topic(u.topic(k)), logs.Err(err))
		return true
	}
	if k == wire.KindPresence {
		return u.publish(ctx, s, k, 1, true, raw)
	}
	return u.publish(ctx, s, k, 0, false, raw)
}

// publish sends one message. It reports whether the connection is still up.
func (u *Uplink) publish(ctx context.Context, s *sender, k wire.Kind, qos byte, retained bool, raw []byte) bool {
	p, err := s.conn.PublishAsync(ctx, u.topic(k), qos, retained, raw)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, mqttlink.ErrLost) {
			u.log.Warn("message not sent", logs.Topic(u.topic(k)), logs.Err(err))
		}
		return false
	}
	if k == wire.KindEvent {
		crashpoint.At(crashpoint.Sent)
		select {
		case s.acks <- p:
		default:
		}
	}
	return true
}

// watchAcks reports PUBACKs to the core, in the order of sending.
func (u *Uplink) watchAcks(ctx context.Context, s *sender) {
	for {
		select {
		case p := <-s.acks:
			if p.Wait(ctx) == nil {
				u.deps.Post(point.Confirmed{Conn: s.conn.Number()})
			}
		case <-ctx.Done():
			return
		}
	}
}

// send queues the records first to last.
func (s *sender) send(first, last delivery.Index) {
	s.mu.Lock()
	for i := first; i <= last; i++ {
		s.queue = append(s.queue, i)
	}
	s.mu.Unlock()
	s.wakeUp()
}

func (s *sender) setTelemetry(t wire.Telemetry) {
	s.mu.Lock()
	s.telemetry = &t
	s.mu.Unlock()
	s.wakeUp()
}

func (s *sender) setPresence(p wire.Presence) {
	s.mu.Lock()
	s.presence = &p
	s.mu.Unlock()
	s.wakeUp()
}

// skip lets the sender leave out queued records that are acknowledged.
func (s *sender) skip(i delivery.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = i
}

func (s *sender) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next removes and returns what is to be sent now: presence, telemetry, and the
// index of a record, as far as there are any. some is false when there are none.
func (s *sender) next() (presence *wire.Presence, telemetry *wire.Telemetry, index delivery.Index, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	presence, telemetry, s.presence, s.telemetry = s.presence, s.telemetry, nil, nil
	for len(s.queue) > 0 && index == 0 {
		if next := s.queue[0]; next > s.acked {
			index = next
		}
		s.queue = s.queue[1:]
	}
	return presence, telemetry, index, presence != nil || telemetry != nil || index != 0
}
