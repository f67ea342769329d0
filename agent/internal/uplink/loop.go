package uplink

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// defaultInterval is the interval of telemetry when the source names none.
const defaultInterval = time.Second

// loop owns the state until ctx ends. Each iteration handles events and then
// publishes what is due.
func (u *Uplink) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	turn := time.NewTicker(health.BeatEvery)
	defer turn.Stop()
	for {
		u.cfg.Alive()
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		case <-u.inbox.wake:
			for _, i := range u.inbox.drain() {
				u.handle(i)
			}
		case <-u.deps.Records.Changed():
			u.step(delivery.Appended{Now: u.deliveryNow(), End: u.deps.Records.Held().Last()})
		case <-timer.C:
			u.step(delivery.TimerFired{Now: u.deliveryNow()})
		}
		u.publishTelemetryIfDue()
		presence := u.publishPresenceIfDue()
		u.logAlarm()
		timer.Reset(max(min(u.telemetryAt, presence, u.deadline())-u.now(), 0))
	}
}

// errCentralSilent ends a connection on which Central is silent.
var errCentralSilent = errors.New("nothing received from Central for too long; subscribing again")

const never = time.Duration(math.MaxInt64)

// deadline is when delivery's timer fires.
func (u *Uplink) deadline() time.Duration {
	if at := u.state.Timer(); at != 0 {
		return at
	}
	return never
}

func (u *Uplink) handle(i item) {
	switch i := i.(type) {
	case connected:
		u.sender, u.presenceSchedule = i.sender, delivery.PresenceSchedule{}
		u.publishPresenceIfDue() // before any record, so that Central knows what is held
		u.step(delivery.Connected{Now: u.deliveryNow()})
	case disconnected:
		if u.sender != nil && u.sender.conn.Number() == i.conn {
			u.sender = nil
			u.step(delivery.Disconnected{})
		}
	case confirmed:
		if u.sender != nil && u.sender.conn.Number() == i.conn {
			u.step(delivery.Confirmed{Now: u.deliveryNow()})
		}
	case message:
		u.handleMessage(i)
	}
}

// handleMessage decodes a message by its topic. One that cannot be decoded is
// counted and logged.
func (u *Uplink) handleMessage(m message) {
	_, kind, err := u.cfg.Topics.Parse(m.Topic)
	switch {
	case err == nil && kind == wire.KindAck:
		var ack wire.Ack
		if ack, err = wire.DecodeAck(m.Payload); err == nil {
			u.handleAck(m, ack)
			return
		}
	case err == nil && kind == wire.KindCommand:
		u.handleCommand(m)
		return
	}
	u.updateCounter(func(s *Stats) { s.BadMessages++ })
	u.log.Warn("message refused", logs.Topic(m.Topic), logs.Err(err))
}

// handleAck applies an acknowledgement. A retained one gives no time: it is of
// the past.
func (u *Uplink) handleAck(m message, ack wire.Ack) {
	crashpoint.At(crashpoint.Acknowledged)
	if !m.Retained && !ack.Central.Less(u.state.Position.Central) {
		u.deps.Handler.CentralTime(ack.At)
	}
	u.step(delivery.AckReceived{Now: u.deliveryNow(), Ack: ack, Held: u.deps.Records.Held(), Live: !m.Retained})
}

func (u *Uplink) handleCommand(m message) {
	wall, clock := u.deps.Source.Wall()
	u.mu.Lock()
	v := u.commands.Decide(delivery.Receipt{Raw: m.Payload, Received: m.at, At: u.now(), Wall: wall, Clock: clock})
	u.mu.Unlock()
	if v.Kind == delivery.Malformed {
		u.updateCounter(func(s *Stats) { s.BadMessages++ })
	}
	u.updateStats()
	u.log.Debug("command received", logs.Command(v.Command.ID), slog.String("verdict", v.Kind.String()), logs.Err(v.Err))
	u.deps.Handler.Command(v)
}

// step applies an event to the state of delivery and performs the effects in
// their order. Without a connection there is nothing to send on; delivery sends
// again once there is one.
func (u *Uplink) step(e delivery.Event) {
	var effects []delivery.Effect
	u.state, effects = delivery.Step(u.state, e)
	if u.sender != nil {
		u.sender.setAcked(u.state.Acked)
	}
	for _, f := range effects {
		switch f := f.(type) {
		case delivery.SavePosition:
			if err := u.deps.Positions.SavePosition(f.Position, f.Index); err != nil {
				u.log.Warn("position not remembered", logs.Err(err))
			}
		case delivery.RolledBack:
			u.log.Error("storage was set back: Central holds more of an older journal",
				logs.Journal(f.Journal), logs.Seq(f.Held), slog.Uint64("central_seq", uint64(f.Central)))
			u.deps.Handler.RolledBack(f)
		case delivery.Send:
			if u.sender != nil {
				u.sender.send(f.First, f.Last)
			}
		case delivery.Reconnect:
			if u.sender != nil {
				u.sender.conn.Leave(errCentralSilent)
			}
		case delivery.SetTimer: // the loop reads the deadline from the state
		}
	}
	u.updateStats()
}

// publishTelemetryIfDue publishes the latest values when they are due and a
// connection is up. Those of other times are not sent later.
func (u *Uplink) publishTelemetryIfDue() {
	now := u.now()
	if now < u.telemetryAt {
		return
	}
	t := u.deps.Source.Telemetry()
	interval := time.Duration(t.IntervalMS) * time.Millisecond
	if interval <= 0 {
		interval = defaultInterval
	}
	// In step with the boot, not with the delays of this loop.
	u.telemetryAt = max(u.telemetryAt, now-interval) + interval
	if u.sender == nil {
		return
	}
	raw, err := t.Encode()
	if err != nil {
		u.log.Error("telemetry cannot be written", logs.Err(err))
		return
	}
	u.sender.setTelemetry(raw)
}

// publishPresenceIfDue publishes the presence if it is due, and returns when it
// is due next.
func (u *Uplink) publishPresenceIfDue() time.Duration {
	if u.sender == nil {
		return never
	}
	p := u.state.Describe(u.deps.Records.Held(), u.commandEpoch(), u.presence(u.sender.conn.Number(), true))
	if due := u.presenceSchedule.Due(p); u.now() < due {
		return due
	}
	raw, err := p.Encode()
	if err != nil {
		u.log.Error("presence cannot be written", logs.Err(err))
		return u.now() + delivery.PresenceEvery
	}
	u.sender.setPresence(raw)
	u.presenceSchedule = u.presenceSchedule.Published(p, u.now())
	return u.presenceSchedule.Due(p)
}

func (u *Uplink) commandEpoch() charge.Epoch {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.commands.Central()
}

func (u *Uplink) presence(conn uint64, online bool) wire.Presence {
	wall, _ := u.deps.Source.Wall()
	return wire.Presence{V: wire.Version, Online: online, Journal: u.cfg.Journal, Conn: conn, At: wall}
}

// offlinePresence is the last will of a connection, and its last message before a
// clean stop. It may be called on any goroutine.
func (u *Uplink) offlinePresence(conn uint64) *mqttlink.Note {
	p := u.presence(conn, false)
	raw, err := p.Encode()
	if err != nil {
		u.log.Error("last will cannot be written", logs.Err(err))
		return nil
	}
	return &mqttlink.Note{Topic: u.topic(wire.KindPresence), Payload: raw, QoS: 1, Retained: true}
}

func (u *Uplink) topic(k wire.Kind) string { return u.cfg.Topics.Of(u.cfg.CP, k) }

// logAlarm logs an alarm once when it begins and once when it ends.
func (u *Uplink) logAlarm() {
	alarm := u.state.Alarm(u.now())
	if alarm == u.alarm {
		return
	}
	u.alarm = alarm
	u.updateStats()
	if alarm == "" {
		u.log.Info("alarm is over")
		return
	}
	u.log.Error("alarm", slog.String("alarm", alarm))
}
