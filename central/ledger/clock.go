package ledger

import (
	"cmp"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// BootTime is when a boot began, by the wall clock of the best quality that a
// record of it had: the time of that record less its uptime. It gives every record
// of the boot a time, also those that were written before the clock was set.
type BootTime struct {
	At    charge.Time
	Clock charge.ClockQuality // of that record; unset or "": not known
	Seq   charge.Seq          // of that record
}

// learn applies a record of the boot, and reports whether that changed b. Of two
// records with the same quality the earlier one counts, so the result does not
// depend on the order in which they arrive.
func (b *BootTime) learn(r *wire.Record) bool {
	switch rank := clockRank(r.Clock) - clockRank(b.Clock); {
	case r.Clock == charge.ClockUnset, rank < 0, rank == 0 && r.Seq >= b.Seq:
		return false
	}
	*b = BootTime{At: r.At - charge.Time(r.UptimeMS), Clock: r.Clock, Seq: r.Seq}
	return true
}

// BootOf returns the time of a boot whose journal is in memory.
func (cp *CP) BootOf(id charge.JournalID) BootTime {
	if j := cp.Journals[id]; j != nil {
		return j.Boot
	}
	return BootTime{}
}

// clockRank orders the qualities of a clock, the best last. A record without one
// is as good as unset.
func clockRank(q charge.ClockQuality) int {
	return max(0, slices.Index([]charge.ClockQuality{charge.ClockUnset, charge.ClockSet, charge.ClockSynced}, q))
}

// learnTime updates the time of the record's boot. A clock that is far ahead of the
// reception is none, whatever the record states.
func (f *fold) learnTime() {
	j := f.findJournal(f.rec.Journal)
	if j == nil || f.rec.At > cmp.Or(f.receivedAt, f.env.Now).Add(mostAhead) {
		return
	}
	if j.Boot.learn(f.rec) {
		touch(&f.journals, j)
	}
}

// noteMoment notes in a span at which uptime the session was granted, started or
// stopped, and the worst quality of the clock at those moments.
func (sp *Span) noteMoment(p wire.Payload, r *wire.Record) {
	switch p.(type) {
	case *wire.Authorized:
		sp.GrantMS = earliest(sp.GrantMS, r.UptimeMS)
	case *wire.ChargingStarted:
		sp.StartMS = earliest(sp.StartMS, r.UptimeMS)
	case *wire.ChargingStopped:
	default:
		return
	}
	if q := r.Clock; q != charge.ClockSynced && (sp.Clock == "" || clockRank(q) < clockRank(sp.Clock)) {
		sp.Clock = q
	}
}

// earliest is the lower of two uptimes; 0 means that there is none.
func earliest(a, b int64) int64 {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// ClockNote is what is to be known of the times of a session.
type ClockNote string

// The notes, the most serious last.
const (
	ClockFine      ClockNote = ""          // written with a synchronised clock, or by a version that noted nothing
	ClockCorrected ClockNote = "corrected" // written with a clock that was wrong or unsure; computed from a later synchronised one
	ClockUnsure    ClockNote = "set"       // written with a clock that was set once, and never synchronised
	ClockUnknown   ClockNote = "unset"     // written with a clock that was never set: the times are not known
)

// CorrectTimes returns the session with the times of its grant, start and stop as
// the boots in which they were written know them now, and what is to be known of
// these times. boot finds the time of a boot. Nothing that is stored changes: a
// record of the boot with a better clock may arrive at any time later.
func (s Session) CorrectTimes(boot func(charge.JournalID) BootTime) (Session, ClockNote) {
	note := 0
	notes := []ClockNote{ClockFine, ClockCorrected, ClockUnsure, ClockUnknown}
	for i := range s.Spans {
		sp := &s.Spans[i]
		if sp.Clock == "" {
			continue
		}
		b := boot(sp.Journal)
		better := clockRank(b.Clock) > clockRank(sp.Clock)
		if better {
			s.moveTimes(sp, b)
		}
		var n ClockNote
		switch {
		case better && b.Clock == charge.ClockSynced:
			n = ClockCorrected
		case better || sp.Clock == charge.ClockSet:
			n = ClockUnsure
		default:
			n = ClockUnknown
			s.moveTimes(sp, BootTime{})
		}
		note = max(note, slices.Index(notes, n))
	}
	return s, notes[note]
}

// moveTimes computes the times that lie in a span; they are zero if b is, and if they
// are no times of the years 1970 to 9999: a record may state any uptime.
func (s *Session) moveTimes(sp *Span, b BootTime) {
	for _, m := range []struct {
		at *charge.Time
		ms int64
	}{{&s.AuthorizedAt, sp.GrantMS}, {&s.StartedAt, sp.StartMS}, {&s.EndedAt, sp.StopMS}} {
		switch {
		case m.ms == 0: // in another span, or not yet
		case b.Clock == "":
			*m.at = 0
		default:
			if *m.at = b.At + charge.Time(m.ms); *m.at < 0 || *m.at > charge.MaxTime {
				*m.at = 0
			}
		}
	}
}
