package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// Pulse publishes, once per second, this Central's heartbeat and the progress
// of each running session. It checks which charging points became silent or are
// back, and which parts cannot do their work, and enqueues that for the writer.
// It runs beside the writer until ctx ends, so that a locked database does not
// stop the heartbeats: other Centrals would take over.
func (w *Writer) Pulse(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	reported := map[string]condition{}
	for {
		w.cfg.Hooks.Pulsed()
		now := w.now()
		back, silent := w.live.checkLinks(now, w.cfg.SilentAfter)
		for _, cp := range back {
			w.enqueue(onlineIn{cp})
		}
		if w.live.Active() {
			for _, in := range silent {
				w.enqueue(in)
			}
			w.sendHeartbeat(now)
			w.sendProgress(now)
			w.reportParts(reported, now)
		} else {
			clear(reported)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.live.activeChange():
		}
	}
}

func (w *Writer) sendHeartbeat(now charge.Time) {
	m := wire.CentralAlive{V: wire.Version, Central: w.live.self(), At: now}
	raw, err := m.Encode()
	if err != nil {
		w.log.Error("heartbeat cannot be encoded", slog.String("err", err.Error()))
		return
	}
	w.out.Heartbeat(raw)
}

// sendProgress publishes the energy and the provisional cost of each running
// session with fresh telemetry. Progress is never stored and may be lost.
func (w *Writer) sendProgress(now charge.Time) {
	for _, s := range w.live.runningSessions(now) {
		e := wire.CentralEvent{
			EventID:   fmt.Sprintf("%s.%d", s.k.SessionID, now),
			EventType: wire.CentralProgress, Username: s.k.Username, CPID: s.cp, Connector: s.k.Connector,
			SessionID: s.k.SessionID, EnergyKWh: new(wire.KWh(s.k.Energy)), PowerW: new(s.k.Power),
			Cost: new(orders.WireMoney(s.cost)), Currency: string(s.cost.Currency), Timestamp: wire.Seconds(now),
		}
		raw, err := e.Encode()
		if err != nil {
			w.log.Error("progress cannot be encoded", slog.String("session_id", string(s.k.SessionID)), slog.String("err", err.Error()))
			continue
		}
		w.out.Progress(e.Key(), s.k.SessionID, raw)
	}
}

// runningSession is a connector with an open session.
type runningSession struct {
	cp   charge.CPID
	k    view.Connector
	cost money.Amount
}

// runningSessions returns the open sessions whose charging point has sent
// telemetry within staleAfter.
func (l *Live) runningSessions(now charge.Time) []runningSession {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []runningSession
	for id, p := range l.points {
		if p.telemetry == nil || now > p.telemetryAt.Add(staleAfter) {
			continue
		}
		for i := range p.view.Connectors {
			if k := &p.view.Connectors[i]; k.SessionID != "" {
				shown, cost := l.connector(p, k, now)
				all = append(all, runningSession{id, shown, cost})
			}
		}
	}
	return all
}
