package autonomy_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
)

// The bounds of a power cut that docs/OPERATIONS.md publishes.
const (
	// Unbilled, in Wh: nothing if the meter answers at the next boot.
	maxUnbilled charge.WattHours = 0
	// Unbilled if it never answers: what flows until a sample is durable. At 22 kW
	// that is 1 kWh, a reading a second, and two slow syncs.
	maxUnbilledMute charge.WattHours = 1000 + 10
	// Writes for a session besides its samples, and for a sample: a batch of records
	// and, with a connection, the position. Only batches are synced.
	maxWritesBesides, maxWritesSample = 16, 2
)

// charged is the energy of the session that is cut.
const charged charge.WattHours = 4500

// TestPowerCutAtEveryOperation cuts the power before each operation at the disk of a
// session, with all or nothing of what was not synced. The vehicle leaves before
// the power returns; the boot that follows is cut, too. It measures what the ticket
// lacks of what went through the meter: no more than published, and never less than
// nothing.
func TestPowerCutAtEveryOperation(t *testing.T) {
	t.Parallel()
	var ops, writes, syncs, bytes int
	whole := newSite(t, 1)
	whole.start()
	inner := whole.disk.Fault
	whole.disk.Fault = func(o journaltest.Op) error {
		ops++
		switch o.Kind {
		case journaltest.Write:
			writes, bytes = writes+1, bytes+o.Len
		case journaltest.Sync, journaltest.SyncDir:
			syncs++
		default:
		}
		return inner(o)
	}
	oneSession(whole)
	whole.disk.Fault = inner
	if got := whole.bill(); got != whole.metered() || got < charged {
		t.Fatalf("without a cut %d Wh are billed of %d", got, whole.metered())
	}
	if most := maxWritesBesides + maxWritesSample*int(charged)/1000; writes > most || syncs > most/2 {
		t.Errorf("%d writes and %d syncs, want at most %d and %d", writes, syncs, most, most/2)
	}
	var worst [2]charge.WattHours // with a meter that answers, and with one that does not
	for mute := range worst {
		for at := 1; at <= ops; at++ {
			for _, keep := range []bool{false, true} {
				lost := unbilledAfterCut(t, at, keep, mute == 1)
				if worst[mute] = max(worst[mute], lost); lost < 0 {
					t.Fatalf("cut at operation %d, kept %t, mute %d: %d Wh are billed that did not flow", at, keep, mute, -lost)
				}
			}
		}
	}
	t.Logf("a session of %d Wh: %d writes of %d B in total, %d syncs; cut at each of %d operations: at most %d Wh unbilled, %d if the meter never answers",
		whole.metered(), writes, bytes, syncs, ops, worst[0], worst[1])
	if worst[0] > maxUnbilled || worst[1] > maxUnbilledMute {
		t.Errorf("unbilled: %d Wh and %d Wh, want at most %d and %d", worst[0], worst[1], maxUnbilled, maxUnbilledMute)
	}
}

// oneSession charges at the rated power until the energy has flowed or the power is
// cut. Central acknowledges each record at once.
func oneSession(s *site) {
	s.step(point.Connected{Conn: 1})
	s.plug(1)
	for s.run != nil && s.metered() < charged {
		s.pass(time.Second, time.Second)
	}
	s.unplug(1)
	s.pass(10*time.Second, time.Second)
}

// unbilledAfterCut is what the ticket lacks after a cut at an operation.
func unbilledAfterCut(t *testing.T, at int, keep, mute bool) charge.WattHours {
	t.Helper()
	s := newSite(t, 1)
	s.start()
	s.cutAfter(at)
	oneSession(s)
	if s.run != nil {
		t.Fatalf("operation %d is not reached", at)
	}
	o := s.outlets[0]
	s.settleCut(keep)
	s.set(o, charge.PilotA, false)
	o.silent = mute
	s.at += time.Minute
	s.cutAfter(1 + at%12)
	if s.start() {
		s.pass(time.Minute, time.Second)
	}
	s.settleCut(!keep)
	if !s.start() {
		t.Fatal("it does not start")
	}
	s.pass(time.Minute, time.Second)
	if id := s.run.core.View().Connectors[0].Session.ID; id != "" {
		t.Fatalf("session %s is still open", id)
	}
	return s.metered() - s.bill()
}

// metered is what went through the meters.
func (s *site) metered() (sum charge.WattHours) {
	for _, o := range s.outlets {
		sum += s.register(o) - charge.WattHours(firstRegister)
	}
	return sum
}

// bill lets Central apply all records, and returns the energy on its tickets.
func (s *site) bill() charge.WattHours {
	for _, r := range s.run.log.Held() {
		for i := r.Index; i <= r.Index+uint64(r.Last-r.First); i++ {
			s.apply(i)
		}
	}
	return s.central.Billed()
}
