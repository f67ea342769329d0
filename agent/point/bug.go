package point

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/wire"
)

// Bug is a known bug that can be planted into a build with the tag planted, to
// prove that the checks of the simulation find it. In any other build there is
// none, and the compiler removes the places.
type Bug string

// The bugs that can be planted.
const (
	BugCloseBeforeSync Bug = "contactor_before_the_grants_fsync"    // a connector continues before its records are durable
	BugForgetAtPuback  Bug = "forget_at_puback"                     // a PUBACK counts as Central's acknowledgement
	BugCommandTwice    Bug = "command_executed_again_on_redelivery" // no dedup of command ids
	BugIgnoreBoot      Bug = "command_of_another_boot_obeyed"       // a command to an earlier boot is executed
	BugWallClock       Bug = "expiry_by_wall_clock_only"            // timers of connectors follow the wall clock when it jumps
	BugNoRewind        Bug = "position_never_goes_back"             // a restored Central cannot ask for records again
	BugNoProbe         Bug = "no_probe"                             // what was lost on the way is never sent again
	BugLimitByWall     Bug = "limit_ends_by_the_wall_clock"         // a SET_LIMIT ends early when the wall clock jumps ahead
	BugFullDiskCharges Bug = "power_while_nothing_can_be_written"   // no fault while not even final records fit
)

// connectorNow is the time of an event of a connector.
func (s *State) connectorNow() connector.Now {
	n := s.now.Now
	if s.bug(BugWallClock) {
		n.At = max(n.Wall.Sub(s.startedAt), 0)
	}
	return n
}

// continueEarly is BugCloseBeforeSync.
func (s *State) continueEarly() {
	early := s.disk.early
	s.disk.early = nil
	s.continueJobs(early)
}

// plantInCommands is BugCommandTwice and BugIgnoreBoot.
func (s *State) plantInCommands(v delivery.Verdict) delivery.Verdict {
	again := v.Kind == delivery.Known && s.bug(BugCommandTwice) ||
		v.Kind == delivery.OtherBoot && v.Command.CPID == s.cfg.CP && s.bug(BugIgnoreBoot)
	if order, err := v.Command.Order(); again && err == nil {
		v.Kind, v.Order, v.Deadline = delivery.Run, order, s.now.At+v.Command.Life()
	}
	return v
}

// limitsAt is the time by which limits end.
func (s *State) limitsAt() time.Duration {
	if s.bug(BugLimitByWall) {
		return max(s.now.At, s.now.Wall.Sub(s.startedAt))
	}
	return s.now.At
}

// plantInAck is BugNoRewind: an acknowledgement that would move the position back
// confirms the present one.
func (s *State) plantInAck(a wire.Ack) wire.Ack {
	p := s.held.Position(s.delivery.Acked)
	if s.bug(BugNoRewind) && s.delivery.Position.Central.Less(a.Central) && p != nil {
		a.Journal, a.Seq = &p.Journal, p.Seq
	}
	return a
}
