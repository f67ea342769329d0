package uplink

import (
	"context"
	"errors"
	"sync"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// maxWatchedAcks is how many PUBACKs are awaited at a time: the window and some
// probes. A confirmation is only a hint, so one beyond that is ignored.
const maxWatchedAcks = 2 * delivery.MaxWindow

// sender publishes on one connection what the loop asks for. Where the network is
// slow it waits, and of telemetry and presence it then sends the latest only.
type sender struct {
	conn *mqttlink.Conn
	wake chan struct{}          // capacity 1: there is something to send
	acks chan *mqttlink.Pending // published records whose PUBACK is awaited

	mu sync.Mutex
	// mu guards everything that follows.
	queue            []delivery.Index
	acked            delivery.Index
	telemetryPayload []byte // telemetry
	presencePayload  []byte // presence
}

// runSender runs the sender of a connection until it ends.
func (u *Uplink) runSender(ctx context.Context, conn *mqttlink.Conn) {
	s := &sender{conn: conn, wake: make(chan struct{}, 1), acks: make(chan *mqttlink.Pending, maxWatchedAcks)}
	u.inbox.put(connected{s})
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
	announce, latest, index, some := s.next()
	if announce != nil && !u.publish(ctx, s, wire.KindPresence, 1, true, announce) {
		return false
	}
	if latest != nil && !u.publish(ctx, s, wire.KindTelemetry, 0, false, latest) {
		return false
	}
	if index == 0 {
		return some
	}
	raw, err := u.deps.Records.Read(index)
	if err != nil {
		u.updateCounter(func(st *Stats) { st.ReadErrors++ })
		u.log.Error("record cannot be read", logs.Err(err))
		return true
	}
	return u.publish(ctx, s, wire.KindEvent, 1, false, raw)
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

// watchAcks reports PUBACKs to the loop, in the order of sending.
func (u *Uplink) watchAcks(ctx context.Context, s *sender) {
	for {
		select {
		case p := <-s.acks:
			if p.Wait(ctx) == nil {
				u.inbox.put(confirmed{s.conn.Number()})
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

func (s *sender) setTelemetry(raw []byte) {
	s.mu.Lock()
	s.telemetryPayload = raw
	s.mu.Unlock()
	s.wakeUp()
}

func (s *sender) setPresence(raw []byte) {
	s.mu.Lock()
	s.presencePayload = raw
	s.mu.Unlock()
	s.wakeUp()
}

// setAcked lets the sender skip queued records that are acknowledged.
func (s *sender) setAcked(i delivery.Index) {
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

// next removes and returns what is to be sent now: the payloads of presence and
// telemetry, and the index of a record, as far as there are any. some is false
// when there are none.
func (s *sender) next() (announce, latest []byte, index delivery.Index, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	announce, latest, s.presencePayload, s.telemetryPayload = s.presencePayload, s.telemetryPayload, nil, nil
	for len(s.queue) > 0 && index == 0 {
		if next := s.queue[0]; next > s.acked {
			index = next
		}
		s.queue = s.queue[1:]
	}
	return announce, latest, index, announce != nil || latest != nil || index != 0
}
