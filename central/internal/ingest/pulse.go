package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Pulse says each second that this Central lives and how far each session is,
// looks who fell silent or came back, and which part cannot do its work. It ends with ctx. It runs beside the
// writer, so that a locked database does not silence it.
func (w *Writer) Pulse(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := map[string]condition{}
	for {
		w.cfg.Watch.Pulsed()
		now := w.now()
		back, silent := w.live.pulse(now, w.cfg.SilentAfter)
		for _, cp := range back {
			w.note(backIn{cp})
		}
		if w.live.Active() {
			for _, in := range silent {
				w.note(in)
			}
			w.sayAlive(now)
			w.sayProgress(now)
			w.watchParts(told, now)
		} else {
			clear(told)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.live.activated():
		}
	}
}

func (w *Writer) sayAlive(now charge.Time) {
	m := wire.CentralAlive{V: wire.Version, Central: w.live.self(), At: now}
	raw, err := m.Encode()
	if err != nil {
		w.log.Error("sign of life cannot be encoded", slog.String("err", err.Error()))
		return
	}
	w.out.Alive(raw)
}

func (w *Writer) sayProgress(now charge.Time) {
	for _, s := range w.live.running(now) {
		e := wire.CentralEvent{
			EventID:   fmt.Sprintf("%s.%d", s.k.SessionID, now),
			EventType: wire.CentralProgress, Username: s.k.Username, CPID: s.cp, Connector: s.k.Connector,
			SessionID: s.k.SessionID, EnergyKWh: new(wire.KWh(s.k.Energy)), PowerW: new(s.k.Power),
			Cost: new(orders.MoneyTold(s.k.Cost)), Currency: string(s.k.Cost.Currency), Timestamp: wire.Seconds(now),
		}
		raw, err := e.Encode()
		if err != nil {
			w.log.Error("progress cannot be encoded", slog.String("session_id", string(s.k.SessionID)), slog.String("err", err.Error()))
			continue
		}
		w.out.Progress(e.Key(), s.k.SessionID, raw)
	}
}

type runningSession struct {
	cp charge.CPID
	k  Connector
}

// running are the sessions with telemetry that is fresh.
func (l *Live) running(now charge.Time) []runningSession {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []runningSession
	for id, p := range l.points {
		if p.tele == nil || now > p.at.Add(fresh) {
			continue
		}
		for i := range p.view.Connectors {
			if k := &p.view.Connectors[i]; k.SessionID != "" {
				all = append(all, runningSession{id, l.connector(p, k, now)})
			}
		}
	}
	return all
}
