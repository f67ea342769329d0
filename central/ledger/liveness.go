package ledger

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Liveness is whether a charging point can be reached. Offline is an overlay over
// the state that the records report: it never ends a session.
type Liveness string

// The values of Liveness.
const (
	Online  Liveness = "online"
	Offline Liveness = "offline"
	Unknown Liveness = "unknown" // the pipeline is stale, so its silence proves nothing
)

// minSilence is the shortest silence after which a charging point counts as
// offline. With a longer telemetry interval it is three intervals.
const minSilence = 5 * time.Second

// Contact is when and how Central last received something from a charging point.
// It is kept in memory only: after a restart it fills again within seconds.
type Contact struct {
	LastSeenAt         charge.Time   // last telemetry, record or presence, by Central's clock; zero: never
	Interval           time.Duration // between its telemetry messages, as they state it; zero: not known
	WillAt             charge.Time   // when its last will arrived, if nothing did after it; zero: no will
	PipelineStaleSince charge.Time   // since when the pipeline is stale; zero: it is fresh
}

// LivenessOf evaluates a contact at the moment now. since is the start of that
// liveness: the last will, the moment the silence became too long, or the moment
// the pipeline became stale; for an online charging point its last message.
func LivenessOf(c Contact, now charge.Time) (l Liveness, since charge.Time) {
	due := c.LastSeenAt.Add(max(minSilence, 3*c.Interval))
	switch {
	case c.PipelineStaleSince != 0:
		return Unknown, c.PipelineStaleSince
	case c.WillAt != 0:
		return Offline, c.WillAt
	case c.LastSeenAt == 0:
		return Offline, 0
	case now > due:
		return Offline, due
	}
	return Online, c.LastSeenAt
}

// Pipeline is the path between Central and all charging points (broker, bridge,
// Kafka), as the bridge's heartbeats show it. It is fresh while heartbeats arrive
// and report that the bridge is connected to MQTT. While it is stale, the silence
// of a charging point proves nothing.
//
// The caller sets Started and HeartbeatTimeout. The zero value of the rest is a
// pipeline without a heartbeat so far.
type Pipeline struct {
	Started          charge.Time   // when Central began to read heartbeats
	HeartbeatTimeout time.Duration // the longest pause between two heartbeats of a running bridge

	heartbeatAt charge.Time // of the latest heartbeat, by Central's clock; zero: never
	mqttUp      bool        // in the latest heartbeat
	mqttSince   charge.Time // since when mqttUp is so, by the bridge's clock
	freshSince  charge.Time // zero while stale
}

// BridgeHeartbeat stores a heartbeat of the bridge that arrived at the moment at.
func (p *Pipeline) BridgeHeartbeat(mqttUp bool, mqttSince, at charge.Time) {
	p.heartbeatAt, p.mqttUp, p.mqttSince = at, mqttUp, mqttSince
}

// ClockSetBack adapts the stored moments after Central's clock was set back to
// now: those that the clock had ahead of now become now. Otherwise the bridge
// would count as up until that date without any heartbeat.
func (p *Pipeline) ClockSetBack(now charge.Time) {
	p.Started, p.heartbeatAt, p.freshSince = min(p.Started, now), min(p.heartbeatAt, now), min(p.freshSince, now)
}

// LastHeartbeat is when the latest heartbeat arrived; zero: never.
func (p *Pipeline) LastHeartbeat() charge.Time { return p.heartbeatAt }

// BridgeUp reports whether the latest heartbeat is recent enough.
func (p *Pipeline) BridgeUp(now charge.Time) bool {
	return p.heartbeatAt != 0 && now <= p.heartbeatAt.Add(p.HeartbeatTimeout)
}

// StaleSince is since when the pipeline is stale; zero while it is fresh.
func (p *Pipeline) StaleSince(now charge.Time) charge.Time {
	switch {
	case p.heartbeatAt == 0:
		return p.Started
	case !p.BridgeUp(now):
		return p.heartbeatAt
	case !p.mqttUp:
		return min(max(p.mqttSince, 1), now)
	}
	return 0
}

// Refresh updates since when the pipeline is fresh. The caller calls it after
// each heartbeat and periodically.
func (p *Pipeline) Refresh(now charge.Time) {
	switch stale := p.StaleSince(now); {
	case stale != 0:
		p.freshSince = 0
	case p.freshSince == 0:
		p.freshSince = now
	}
}

// Liveness evaluates a charging point whose liveness was known before. Its silence
// counts only from the moment the pipeline became fresh: after an outage of Kafka
// each charging point that was online has the usual time to send something.
func (p *Pipeline) Liveness(c Contact, known Liveness, now charge.Time) (Liveness, charge.Time) {
	c.PipelineStaleSince = p.StaleSince(now)
	if known == Online && c.LastSeenAt != 0 {
		c.LastSeenAt = max(c.LastSeenAt, p.freshSince)
	}
	return LivenessOf(c, now)
}

// OrderLiveness converts a liveness for package orders. A pipeline that has been
// stale for longer than a command lives counts as offline: commands are then
// issued when the charging point is back, not again each minute of the outage.
func OrderLiveness(l Liveness, since, now charge.Time) Liveness {
	if l == Unknown && now > since.Add(wire.MaxCommandLife) {
		return Offline
	}
	return l
}
