package app

import (
	"fmt"
	"strconv"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/wire"
)

// metricPrefix begins the name of every metric of the agent.
const metricPrefix = "carga_agent_"

// hangsAfter is how long a write or a reading may take before it counts as hung: a
// memory card may stop for seconds.
const hangsAfter = 15 * time.Second

// checkHealth reports whether the charging point can serve a driver now. It can without
// Central: what is away there only informs.
func (r *running) checkHealth(reg *health.Registry) {
	words := r.boardTrouble()
	reg.Set("board", words == "", words)
	words = r.journalTrouble()
	reg.Set("journal", words == "", words)
	if r.reader.device != nil { // a driver with the app needs none
		words = r.reader.trouble.Load().words()
		reg.SetInformational("reader", words == "", words)
	}
	if r.cfg.Hardware.Kind == HardwareRPi {
		reg.SetInformational("outputs", r.outputTrouble == "", r.outputTrouble)
	}
	if r.recorder != nil {
		trouble := r.recorder.Trouble()
		reg.SetInformational("recorder", trouble == "", trouble)
	}
	// The network is only information here: without it the charging point works.
	link := r.up.Link()
	up := health.Status{Name: "uplink", Up: link.Up, Since: link.Since, Informational: true}
	if !up.Up {
		up.Reason = link.String()
	}
	reg.Put(up)
	alarm := r.view.Load().Delivery.Alarm(r.clock.at())
	reg.SetInformational("central", alarm == "", alarm)
}

// boardTrouble is why the hardware cannot be used, in words; empty if it can.
func (r *running) boardTrouble() string {
	if !r.control.Healthy() {
		return fmt.Sprintf("the control loop is not in time for %s", (r.clock.at() - r.control.LastTick()).Round(100*time.Millisecond))
	}
	if n := r.control.Unreadable(); n > 0 {
		return fmt.Sprintf("inputs of %d of %d connectors cannot be read", n, len(r.outlets))
	}
	return ""
}

// journalTrouble is why no new session can be recorded, in words; empty if one
// can.
func (r *running) journalTrouble() string {
	used := r.log.QuotaPermille()
	switch {
	case r.view.Load().LacksSpace:
		return "no space on the disk"
	case used >= point.FullPermille:
		return fmt.Sprintf("the space for unacknowledged records is used to %d.%d %%: no new session starts", used/10, used%10)
	}
	return ""
}

// families are the metrics of this boot of the agent.
func (r *running) families() []metrics.Family {
	t, v, link := r.telemetry(), r.view.Load(), r.up.Link()
	h := &t.Health
	one := func(name string, kind metrics.Kind, help string, value float64) metrics.Family {
		return metrics.One(metricPrefix+name, kind, help, value)
	}
	commands := metrics.Family{Name: metricPrefix + "commands_total", Kind: metrics.Counter, Help: "Commands received, by verdict."}
	for k, n := range v.Commands.By {
		commands.Samples = append(commands.Samples, metrics.Sample{
			Labels: []metrics.Label{{Name: "verdict", Value: delivery.VerdictKind(k).String()}}, Value: float64(n),
		})
	}
	all := []metrics.Family{
		one("uptime_seconds", metrics.Gauge, "Time since this boot of the agent.", r.clock.at().Seconds()),
		one("clock_synced", metrics.Gauge, "Whether the clock is kept by NTP.", metrics.Bool(t.Clock == charge.ClockSynced)),
		one("journal_records", metrics.Gauge, "Records on the disk, those of earlier boots included.", float64(held(r.log.Held()))),
		one("journal_written_total", metrics.Counter, "Records made durable.", float64(v.Written)),
		one("journal_dropped_samples_total", metrics.Counter, "Samples of the meter dropped for want of space.", float64(v.Dropped)),
		one("journal_unacked_records", metrics.Gauge, "Records that Central has not acknowledged.", float64(h.Unacked)),
		one("journal_oldest_unacked_seconds", metrics.Gauge, "Age of the first record that Central has not acknowledged.", float64(h.OldestMS)/1000),
		one("journal_quota_ratio", metrics.Gauge, "How much of the space for unacknowledged records is used; from 0.9 no new session starts.", float64(r.log.QuotaPermille())/1000),
		one("control_late_total", metrics.Counter, "Turns of the control loop that came too late.", float64(h.SafetyLate)),
		metrics.Timed(metricPrefix+"control_jitter_seconds", "How far the control loop deviates from its period.", r.control.Jitter()),
		one("keeper_fitted", metrics.Gauge, "Whether a dead-man device opens the contactors when the agent hangs.", metrics.Bool(!h.NoKeeper)),
		one("mqtt_up", metrics.Gauge, "Whether the agent is connected to MQTT.", metrics.Bool(link.Up)),
		one("mqtt_connects_total", metrics.Counter, "Connections to the MQTT broker that came up.", float64(link.Connects)),
		one("sent_records_total", metrics.Counter, "Records sent, repeats included.", float64(v.Delivery.Counts.Sent)),
		one("recorder_written_bytes_total", metrics.Counter, "Bytes that the flight recorder has written.", float64(r.recorder.Written())),
		one("recorder_lost_steps_total", metrics.Counter, "Steps of the core that the flight recorder could not record.", float64(r.recorder.Lost())),
		one("bad_messages_total", metrics.Counter, "Messages that could not be read.", float64(v.BadMessages)),
		commands,
	}
	if r.reader.device != nil {
		all = append(all, one("card_reader_up", metrics.Gauge, "Whether the card reader answers.", metrics.Bool(h.Reader == "")))
	}
	return append(all, r.connectorFamilies(t.Connectors)...)
}

// connectorFamilies are the metrics with a sample for each connector; their
// number is bounded by charge.MaxConnectors.
func (r *running) connectorFamilies(all []wire.ConnectorTelemetry) []metrics.Family {
	label := func(id charge.ConnectorID) metrics.Label {
		return metrics.Label{Name: "connector", Value: strconv.Itoa(int(id))}
	}
	status := metrics.Family{Name: metricPrefix + "connector_status", Kind: metrics.Gauge, Help: "1 at the present status of a connector."}
	power := metrics.Family{Name: metricPrefix + "power_watts", Kind: metrics.Gauge, Help: "Power drawn at a connector."}
	energy := metrics.Family{Name: metricPrefix + "energy_watt_hours_total", Kind: metrics.Counter, Help: "The register of a connector's meter."}
	for i := range all {
		t := &all[i]
		for _, s := range charge.Statuses() {
			status.Samples = append(status.Samples, metrics.Sample{
				Labels: []metrics.Label{label(t.Connector), {Name: "status", Value: string(s)}}, Value: metrics.Bool(t.Status == s),
			})
		}
		l := []metrics.Label{label(t.Connector)}
		power.Samples = append(power.Samples, metrics.Sample{Labels: l, Value: float64(t.Power)})
		energy.Samples = append(energy.Samples, metrics.Sample{Labels: l, Value: float64(t.Register)})
	}
	moved := metrics.Family{Name: metricPrefix + "contactor_operations_total", Kind: metrics.Counter, Help: "Commands that moved a contactor."}
	hot := metrics.Family{Name: metricPrefix + "contactor_hot_operations_total", Kind: metrics.Counter, Help: "Those of them that opened it under load."}
	for _, o := range r.outlets {
		l := []metrics.Label{label(o.ID)}
		moved.Samples = append(moved.Samples, metrics.Sample{Labels: l, Value: float64(o.Operations())})
		hot.Samples = append(hot.Samples, metrics.Sample{Labels: l, Value: float64(o.HotOperations())})
	}
	return []metrics.Family{status, power, energy, moved, hot}
}
