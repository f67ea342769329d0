package app

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// runCore owns the state of the core until ctx ends: it applies the events of the
// inbox in order, and performs the effects of each step before the next one.
func (r *running) runCore(ctx context.Context) {
	loop := r.watch.Loop("core")
	turn := time.NewTicker(health.BeatEvery)
	defer turn.Stop()
	defer r.timer.Stop()
	for {
		loop.Beat()
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		case <-r.inbox.wake:
			for _, e := range r.inbox.drain() {
				r.step(e)
			}
		case <-r.timer.C:
			r.step(point.TimerFired{})
		}
	}
}

// step applies an event with the time at which it is applied: not that of posting,
// since time must not go back between two steps.
func (r *running) step(e point.Event) {
	now := r.now()
	id := func() string { return ids.New(now.Wall.Std(), crand.Reader) }
	switch p := e.(type) {
	case point.PilotChanged:
		p.NewSession = charge.SessionID(id())
		e = p
	case point.CardPresented:
		p.Request, p.NewSession = id(), charge.SessionID(id())
		e = p
	default:
	}
	effects := r.core.Step(now, e)
	r.performAll(effects)
	r.recorder.Step(now, e, effects, r.core)
}

// now is the time of a step.
func (r *running) now() point.Now { return point.Now{Now: r.clock.now(), Rand: rand.Uint64()} }

// performAll performs the effects of a step in their order, and makes the new state
// visible to other goroutines.
func (r *running) performAll(effects []point.Effect) {
	for _, f := range effects {
		r.perform(f)
	}
	was, v := r.view.Load(), r.core.View()
	r.view.Store(v)
	r.progress.Observe(v, r.clock.at())
	r.up.Skip(v.Delivery.Acked)
	r.logChanges(was, v)
}

// perform performs one effect. It waits for nothing: what takes time has a
// goroutine of its own.
func (r *running) perform(f point.Effect) {
	switch f := f.(type) {
	case point.OpenContactor:
		crashpoint.At(crashpoint.Stopping)
		if err := r.outlets[f.Connector-1].Open(); err != nil {
			r.logger.Error("contactor not opened", logs.Connector(f.Connector), logs.Err(err))
		}
		crashpoint.At(crashpoint.Done)
	case point.Permit: // the control loop closes at its next tick if the safety rules allow it
		r.outlets[f.Connector-1].Permit()
	case point.OfferPower:
		if err := r.outlets[f.Connector-1].Offer(f.Offer); err != nil {
			r.logger.Warn("pilot not switched", logs.Connector(f.Connector), slog.Bool("offer", f.Offer), logs.Err(err))
		}
	case point.LimitCurrent:
		r.outlets[f.Connector-1].Limit(f.Limit)
	case point.ReadMeter:
		r.meters[f.Connector-1].request()
	case point.ResetLatch:
		r.outlets[f.Connector-1].ResetLatch()
	case point.ReleaseCable:
		r.outlets[f.Connector-1].ReleaseCable()
	case point.Identify:
		r.identify(f.Connector)
	case point.Operate:
		r.operator.add(f.Operation)
	case point.Append, point.SavePosition:
		r.writer.jobs <- f // free: at most one job is under way
	case point.PublishPresence:
		r.up.Presence(f)
	case point.PublishTelemetry:
		r.up.Telemetry(f)
	case point.Send:
		r.up.Send(f)
	case point.Reconnect:
		r.up.Reconnect(f)
	case point.SetTimer:
		r.setTimer(f.At)
	case point.SetClock:
		r.clock.setFromCentral(f.Central)
	case point.Ended:
		close(r.ended)
	case point.Drained:
		close(r.drained)
	case point.CardRefused:
		r.logger.Info("a card has no effect", slog.String("reason", f.Reason))
	case point.Recorded:
		r.logRecords(f.Connector, f.Records)
	case point.CommandDecided:
		v := &f.Verdict
		r.logger.Debug("command received", logs.Command(v.Command.ID), slog.String("verdict", v.Kind.String()), logs.Err(v.Err))
		if v.Kind == delivery.Run {
			r.progress.Command(v.Command.Type)
			crashpoint.At(crashpoint.Commanded)
		}
	case point.RolledBack:
		r.logger.Error("storage was set back: Central holds more of an older journal",
			logs.Journal(f.Journal), logs.Seq(f.Held), slog.Uint64("central_seq", uint64(f.Central)))
	}
}

// setTimer sets the timer of the core; 0 stops it.
func (r *running) setTimer(at time.Duration) {
	if at == 0 {
		r.timer.Stop()
		return
	}
	r.timer.Reset(max(at-r.clock.at(), 0))
}

// logRecords passes the records of a connector's step on to the log and to
// Deps.OnRecords.
func (r *running) logRecords(s connector.State, records []connector.Record) {
	for _, rec := range records {
		log := r.logger.Info
		switch rec.Payload.(type) {
		case *wire.MeterRead:
			log = r.logger.Debug
		case *wire.FaultRaised:
			log = r.logger.Warn
		default:
		}
		log("record", logs.Connector(s.ID), slog.String("type", string(rec.Payload.RecordType())),
			logs.Session(rec.Session), slog.String("status", string(connector.Status(s))))
	}
	if r.deps.OnRecords != nil {
		r.deps.OnRecords(s, records)
	}
}

// logChanges logs an alarm of delivery, and a lack of space, once when it begins
// and once when it ends.
func (r *running) logChanges(was, v *point.View) {
	if was != nil && was.Full != v.Full {
		r.logger.Warn("space for unacknowledged records", slog.Bool("full", v.Full))
	}
	alarm := v.Delivery.Alarm(r.clock.at())
	if alarm == r.alarm {
		return
	}
	if r.alarm = alarm; alarm == "" {
		r.logger.Info("alarm is over")
		return
	}
	r.logger.Error("alarm", slog.String("alarm", alarm))
}
