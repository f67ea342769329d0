package app

import (
	"net/http"

	"github.com/carga-ev/carga/agent/internal/panel"
	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/wire"
)

// pages are health and metrics, and the charging point's own page beside them.
func (r *running) pages() http.Handler {
	p := panel.Panel{State: r.panelState}
	if r.operator.simulator != nil {
		p.Simulate = r.simulate
	}
	mux := http.NewServeMux()
	mux.Handle("/", r.watch.Handler(nil))
	p.Register(mux)
	return mux
}

// panelState is what the page shows. Any goroutine may call it.
func (r *running) panelState() panel.State {
	t, v, now := r.telemetry(), r.view.Load(), r.clock.at()
	checks, _ := r.watch.Ready()
	s := panel.State{
		CP: r.cfg.CPID, Name: r.cfg.Name, Place: r.cfg.Place, Version: buildinfo.Version(),
		Simulated: r.operator.simulator != nil, At: t.At, Clock: t.Clock, UptimeMS: t.UptimeMS, Link: panel.NewLink(r.up.Link()),
		Journal: panel.Journal{
			Records: held(r.log.Held()), Unacked: t.Health.Unacked, QuotaPermille: t.Health.QuotaPermill,
		},
		Checks: checks, Connectors: make([]panel.Connector, 0, len(t.Connectors)),
	}
	for i := range t.Connectors {
		s.Connectors = append(s.Connectors, panel.NewConnector(t.Connectors[i], &v.Connectors[i], now))
	}
	r.progress.Fill(&s, now)
	return s
}

// simulate performs an action of the page at simulated hardware.
func (r *running) simulate(a panel.Action) error {
	if a.Action == wire.SimulateTap {
		return r.operator.simulator.Present(a.UID)
	}
	return r.operator.operate(a.Connector, wire.Simulate{Action: a.Action, Fault: a.Fault})
}
