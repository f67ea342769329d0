package ledger

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Liveness says whether a charging point is there. Offline is an overlay: it
// never ends a session.
type Liveness string

// The values of Liveness.
const (
	Online  Liveness = "online"
	Offline Liveness = "offline"
	Unknown Liveness = "unknown" // the way to it is not fresh: nobody can tell
)

// minSilence is the least time without a sign of life after which a charging point
// counts as offline.
const minSilence = 5 * time.Second

// Heartbeat are the signs of life of one charging point. They are kept in memory
// only: after a restart they are heard again.
type Heartbeat struct {
	LastSeenAt         charge.Time   // last telemetry, record or presence, by Central's clock; zero: never
	Interval           time.Duration // that its telemetry promises; zero: not known
	WillAt             charge.Time   // when its last will came, and nothing after it; zero: it did not
	PipelineStaleSince charge.Time   // since when its pipeline is not fresh; zero: it is fresh
}

// LivenessOf judges the signs of life at the moment now. since is from when on it is
// not online: the last will, the moment its silence became too long, or the
// pipeline's end; for an online one when it was last heard.
func LivenessOf(s Heartbeat, now charge.Time) (l Liveness, since charge.Time) {
	due := s.LastSeenAt.Add(max(minSilence, 3*s.Interval))
	switch {
	case s.PipelineStaleSince != 0:
		return Unknown, s.PipelineStaleSince
	case s.WillAt != 0:
		return Offline, s.WillAt
	case s.LastSeenAt == 0:
		return Offline, 0
	case now > due:
		return Offline, due
	}
	return Online, s.LastSeenAt
}

// Pipeline is the way to all charging points, as the bridge's signs of life show it.
// Started and Patience are given; Heard fills in the rest.
type Pipeline struct {
	Started          charge.Time   // when Central began to listen
	HeartbeatTimeout time.Duration // how long the bridge may be silent

	heartbeatAt charge.Time // zero: never
	mqttUp      bool
	mqttSince   charge.Time
	freshSince  charge.Time // zero while stale
}

// BridgeHeartbeat takes what the bridge said of MQTT at the time at.
func (w *Pipeline) BridgeHeartbeat(mqttUp bool, mqttSince, at charge.Time) {
	w.heartbeatAt, w.mqttUp, w.mqttSince = at, mqttUp, mqttSince
}

// ClockSetBack says that Central's clock was set back to now: what was heard later, by
// a clock that was ahead, counts as heard now. Else the bridge would be up until
// that date, and unheard.
func (w *Pipeline) ClockSetBack(now charge.Time) {
	w.Started, w.heartbeatAt, w.freshSince = min(w.Started, now), min(w.heartbeatAt, now), min(w.freshSince, now)
}

// LastHeartbeat is when the bridge was last heard; zero: never.
func (w *Pipeline) LastHeartbeat() charge.Time { return w.heartbeatAt }

// BridgeUp reports whether the bridge is heard.
func (w *Pipeline) BridgeUp(now charge.Time) bool {
	return w.heartbeatAt != 0 && now <= w.heartbeatAt.Add(w.HeartbeatTimeout)
}

// StaleSince is since when the way is not fresh; zero while it is.
func (w *Pipeline) StaleSince(now charge.Time) charge.Time {
	switch {
	case w.heartbeatAt == 0:
		return w.Started
	case !w.BridgeUp(now):
		return w.heartbeatAt
	case !w.mqttUp:
		return min(max(w.mqttSince, 1), now)
	}
	return 0
}

// Refresh notes since when the way is fresh. It is called when something was heard
// and now and then.
func (w *Pipeline) Refresh(now charge.Time) {
	switch stale := w.StaleSince(now); {
	case stale != 0:
		w.freshSince = 0
	case w.freshSince == 0:
		w.freshSince = now
	}
}

// Liveness judges a charging point that was last known as known. Its silence counts
// only while the way to it is fresh: an outage of Kafka does not grey the
// network.
func (w *Pipeline) Liveness(s Heartbeat, known Liveness, now charge.Time) (Liveness, charge.Time) {
	s.PipelineStaleSince = w.StaleSince(now)
	if known == Online && s.LastSeenAt != 0 {
		s.LastSeenAt = max(s.LastSeenAt, w.freshSince)
	}
	return LivenessOf(s, now)
}

// OrderLiveness is a liveness as orders see it. A way that has been stale for longer
// than a command lives is as good as none: what is wanted is ordered when the
// charging point is heard again, not once a minute for as long as Kafka is away.
func OrderLiveness(l Liveness, since, now charge.Time) Liveness {
	if l == Unknown && now > since.Add(wire.MaxCommandLife) {
		return Offline
	}
	return l
}
