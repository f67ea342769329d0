package app

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/internal/uplink"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// readings is the uplink's source of telemetry.
type readings struct{ a *running }

// Wall implements uplink.TelemetrySource.
func (r readings) Wall() (charge.Time, charge.ClockQuality) { return r.a.clock.wall() }

// Telemetry implements uplink.TelemetrySource.
func (r readings) Telemetry() wire.Telemetry {
	a := r.a
	wall, quality := a.clock.wall()
	t := wire.Telemetry{
		V: wire.Version, CPID: a.cfg.CPID, Journal: a.journal, At: wall, Clock: quality,
		UptimeMS: a.clock.at().Milliseconds(), Health: a.health(),
	}
	interval := a.cfg.Intervals.IdleTelemetry
	for _, m := range a.machines {
		s := m.view.Load()
		if s == nil {
			continue
		}
		if s.Session.ID != "" {
			interval = a.cfg.Intervals.Telemetry
		}
		t.Connectors = append(t.Connectors, connectorTelemetry(*s))
	}
	t.IntervalMS = interval.Milliseconds()
	return t
}

// connectorTelemetry describes a connector by its last reading.
func connectorTelemetry(s connector.State) wire.ConnectorTelemetry {
	r := s.Meter.Last
	t := wire.ConnectorTelemetry{
		Connector: s.ID, Status: connector.Status(s), SessionID: s.Session.ID, Start: s.Session.StartRegister, Register: r.Import,
		Current: r.Current, Voltage: r.Voltage, Temperature: r.Temperature, Faults: s.Faults.List(),
	}
	if s.Closed { // no power flows through an open contact, whatever the last reading was
		t.Power = r.Power
	} else {
		t.Current = 0
	}
	return t
}

// health is the state of the agent for telemetry and metrics. Its alarm is the
// first that holds of: Central's, the journal's, a full disk, used-up space.
func (a *running) health() wire.Health {
	u, l := a.uplinkStats(), a.log.Space()
	h := wire.Health{
		Unacked: int64(u.Unacked), OldestMS: a.oldest(u).Milliseconds(), QuotaPermill: l.QuotaPermille,
		NoKeeper: !a.control.HasKeeper(), SafetyLate: a.control.Late(), Alarm: u.Alarm,
		Commands: int64(u.Commands.Received), Refused: int64(u.Commands.Refused()),
		BadMessages: int64(u.BadMessages),
	}
	if h.Alarm == "" && l.Alarm != "" {
		h.Alarm = l.Alarm
	}
	if h.Alarm == "" && a.recorder.lacksSpace.Load() {
		h.Alarm = "no space on the disk"
	}
	if h.Alarm == "" && h.QuotaPermill >= fullPermille {
		h.Alarm = fmt.Sprintf("the journal's space for unacknowledged records is used to %d.%d %%", h.QuotaPermill/10, h.QuotaPermill%10)
	}
	return h
}

// oldest is the age of the first record that Central has not acknowledged, by
// the wall clock; 0 when there is none or its time is not known.
func (a *running) oldest(u uplink.Stats) time.Duration {
	if u.Unacked == 0 {
		return 0
	}
	a.oldestMu.Lock()
	defer a.oldestMu.Unlock()
	// A record that cannot be read has no age; it is read again with the next one.
	if next := u.Acked + 1; next != a.oldestIndex {
		a.oldestIndex, a.oldestAt = next, 0
		if raw, err := a.log.Read(next); err == nil {
			if rec, err := wire.DecodeRecord(raw); err == nil {
				a.oldestAt = rec.At
			}
		}
	}
	if a.oldestAt == 0 {
		return 0
	}
	wall, _ := a.clock.wall()
	return max(wall.Sub(a.oldestAt), 0)
}

// rolledBack is the anomaly of a storage that was set back, such as a restored
// image of the disk.
func rolledBack(r delivery.RolledBack) wire.Payload {
	return &wire.AnomalySeen{
		Anomaly: "storage_rolled_back",
		Detail:  fmt.Sprintf("Central holds %d records of journal %s, this disk %d", r.Central, r.Journal, r.Held),
	}
}
