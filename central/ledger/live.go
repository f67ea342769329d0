package ledger

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
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

// silence is the least time without a sign of life after which a charging point
// counts as offline.
const silence = 5 * time.Second

// Signs are the signs of life of one charging point. They are kept in memory
// only: after a restart they are heard again.
type Signs struct {
	HeardAt    charge.Time   // last telemetry, record or presence, by Central's clock; zero: never
	Interval   time.Duration // that its telemetry promises; zero: not known
	GoneAt     charge.Time   // when its last will came, and nothing after it; zero: it did not
	StaleSince charge.Time   // since when its pipeline is not fresh; zero: it is fresh
}

// Live judges the signs of life at the moment now. since is from when on it is
// not online: the last will, the moment its silence became too long, or the
// pipeline's end; for an online one when it was last heard.
func Live(s Signs, now charge.Time) (l Liveness, since charge.Time) {
	due := s.HeardAt.Add(max(silence, 3*s.Interval))
	switch {
	case s.StaleSince != 0:
		return Unknown, s.StaleSince
	case s.GoneAt != 0:
		return Offline, s.GoneAt
	case s.HeardAt == 0:
		return Offline, 0
	case now > due:
		return Offline, due
	}
	return Online, s.HeardAt
}
