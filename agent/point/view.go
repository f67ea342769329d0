package point

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// noSpace is why no power may flow while not even final records can be written.
const noSpace = "no space on the disk"

// View is a charging point as others see it: a copy that does not change.
type View struct {
	Connectors []connector.State // by number, from 1 on
	Limits     []charge.Limit    // likewise: the lowest one of the current; none: not known yet
	Saved      []connector.Saved // what a checkpoint holds
	Delivery   delivery.State
	Held       delivery.Held
	Commands   delivery.CommandCounts

	BadMessages      uint64
	Written, Dropped int64         // records of this boot: made durable, dropped for want of space
	LacksSpace       bool          // a record waits for space on the disk
	Blocked          bool          // not even a final record fits
	Full             bool          // no session may start for want of space
	Permille         int64         // of the space for unacknowledged records that is used
	WaitsSince       time.Duration // since the boot, when the oldest record began to wait for the disk; 0: none waits
}

// View returns the present view.
func (s *State) View() *View {
	v := &View{
		Connectors: slices.Clone(s.connectors), Limits: slices.Clone(s.measured), Saved: s.disk.saved, Delivery: s.delivery, Held: s.held, Commands: s.commands.Counts,
		BadMessages: s.badMessages, Written: s.disk.written, Dropped: s.disk.dropped,
		LacksSpace: s.disk.lacksSpace, Blocked: s.disk.blocked, Full: s.disk.full, Permille: s.disk.permille,
	}
	if len(s.disk.waiting) > 0 {
		v.WaitsSince = max(s.disk.waiting[0].now.At, 1)
	}
	return v
}

// Alarm is what a person must look into at the time at, in words; empty when there
// is nothing. It is the first that holds of: Central's, a full disk, used-up
// space.
func (v *View) Alarm(at time.Duration) string {
	if alarm := v.Delivery.Alarm(at); alarm != "" {
		return alarm
	}
	switch {
	case v.LacksSpace:
		return noSpace
	case v.Permille >= FullPermille:
		return fmt.Sprintf("the journal's space for unacknowledged records is used to %d.%d %%", v.Permille/10, v.Permille%10)
	}
	return ""
}

// Telemetry is the latest values, without those that only the shell knows (see
// PublishTelemetry).
func (v *View) Telemetry(cfg *Config, now connector.Now) wire.Telemetry {
	t := wire.Telemetry{
		V: wire.Version, CPID: cfg.CP, Journal: cfg.Journal, At: now.Wall, Clock: now.Clock, UptimeMS: now.At.Milliseconds(),
		IntervalMS: cfg.IdleTelemetry.Milliseconds(),
		Health: wire.Health{
			Unacked: int64(v.Delivery.Unacked()), QuotaPermill: v.Permille, Alarm: v.Alarm(now.At),
			Commands: int64(v.Commands.Received), Refused: int64(v.Commands.Refused()), BadMessages: int64(v.BadMessages),
		},
	}
	for i := range v.Connectors {
		if v.Connectors[i].Session.ID != "" {
			t.IntervalMS = cfg.Telemetry.Milliseconds()
		}
		t.Connectors = append(t.Connectors, describe(&v.Connectors[i], v.Limits[i]))
	}
	return t
}

// describe describes a connector by its last reading and its lowest limit.
func describe(s *connector.State, limit charge.Limit) wire.ConnectorTelemetry {
	r := s.Meter.Last
	t := wire.ConnectorTelemetry{
		Connector: s.ID, Status: connector.Status(*s), SessionID: s.Session.ID, Start: s.Session.StartRegister, Register: r.Import,
		Current: r.Current, Voltage: r.Voltage, Temperature: r.Temperature, Faults: s.Faults.List(),
	}
	if !limit.None() {
		t.Limit, t.LimitBy = new(limit.Current), limit.By
	}
	if s.Closed { // no power flows through an open contact, whatever the last reading was
		t.Power = r.Power
	} else {
		t.Current = 0
	}
	return t
}
