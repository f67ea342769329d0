package ledger

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// openJournal begins a journal with the record, and chooses which boot is present.
func (f *fold) openJournal(j *Journal) *Journal {
	r := f.rec
	known := len(f.cp.Journals)
	if j == nil {
		j = f.findOrCreateJournal(r.Journal)
	} else {
		known-- // a hole made it a moment ago
	}
	j.OpenedAt, j.FirstWrittenAt, j.Clock = max(f.env.Now, 1), r.At, r.Clock
	j.Conn = max(j.Conn, f.connOf(j.ID))
	if r.Seq == 1 {
		f.linkJournal(j, known)
	}
	f.chooseCurrent(j)
	return j
}

func (f *fold) connOf(id charge.JournalID) uint64 {
	if f.cp.AnnouncedJournal == id {
		return f.cp.Conn
	}
	return 0
}

// linkJournal writes down what record 1 follows, and raises the alarm of a storage that
// was rolled back or replaced.
func (f *fold) linkJournal(j *Journal, known int) {
	reg, ok := f.payload().(*wire.Registered)
	switch {
	case !ok:
		if i := f.journalEndingWith(f.rec.Prev); i != nil {
			f.followJournal(j, i, i.Last)
		} else {
			j.Root = f.rec.Prev == ""
		}
	case reg.After != nil:
		if i := f.findJournal(reg.After.Journal); i != nil && i != j {
			f.followJournal(j, i, reg.After.Seq)
		}
	default:
		j.Root = true
	}
	if j.Root && known > 0 {
		f.raiseAlarm(AlarmReplaced, string(j.ID), 0, "the charging point came back with an empty storage")
	}
}

func (f *fold) followJournal(j, before *Journal, at charge.Seq) {
	j.After = wire.Position{Journal: before.ID, Seq: at}
	if before.LastFollowed != 0 || before.Last > at {
		f.alarmRolledBack(before.ID, at)
	}
	before.LastFollowed = max(before.LastFollowed, at)
	touch(&f.journals, before)
}

// chooseCurrent makes a newly opened boot the present one: if presence names it, if
// presence names none that is known, or if it follows the one presence named,
// which is over then. Otherwise it waits until presence names it.
func (f *fold) chooseCurrent(j *Journal) {
	cp := f.cp
	named := f.findJournal(cp.AnnouncedJournal)
	if named != nil && named.OpenedAt == 0 {
		named = nil // it exists as a hole only
	}
	f.pointChanged = true
	if cp.CurrentJournal == "" || cp.AnnouncedJournal == j.ID || named == nil || f.descends(j, named) {
		old, before := cp.Connectors, f.findJournal(cp.CurrentJournal)
		straight := before != nil && j.After == wire.Position{Journal: before.ID, Seq: before.Last}
		f.deleteBoot(cp.CurrentJournal)
		f.deleteBoot(cp.PendingJournal)
		cp.CurrentJournal, cp.PendingJournal = j.ID, ""
		cp.Connectors, cp.PendingConnectors = map[charge.ConnectorID]*Connector{}, map[charge.ConnectorID]*Connector{}
		cp.Faults = nil
		f.out.NewBoot = true
		f.carryOver(old, straight)
		return
	}
	f.deleteBoot(cp.PendingJournal)
	cp.PendingJournal, cp.PendingConnectors = j.ID, map[charge.ConnectorID]*Connector{}
}

func (f *fold) deleteBoot(j charge.JournalID) {
	if j != "" {
		f.deletions = append(f.deletions, BootDeleted{f.cp.ID, j})
	}
}

// carryOver keeps since when connectors are idle: a restart must neither win nor
// lose a place in the queue. Where the boot goes on straight from the one before
// it, its registers must go on too.
func (f *fold) carryOver(old map[charge.ConnectorID]*Connector, straight bool) {
	for id, c := range old {
		n := f.connector(id)
		n.Rated, n.IdleSince = c.Rated, c.IdleSince
		if straight {
			n.Register = c.Register
		}
	}
}

// switchTo makes a known boot the present one because presence names it.
func (f *fold) switchTo(id charge.JournalID) {
	cp := f.cp
	old := cp.Connectors
	if cp.PendingJournal == id {
		cp.Connectors, cp.PendingConnectors = cp.PendingConnectors, old
	} else {
		// A third one comes back: its state is not held any more. It is learned
		// anew from its records, and nothing is concluded from what is missing.
		f.deleteBoot(cp.PendingJournal)
		cp.Connectors, cp.PendingConnectors = map[charge.ConnectorID]*Connector{}, old
		j := f.findOrCreateJournal(id)
		j.Registered = false
		touch(&f.journals, j)
	}
	cp.PendingJournal, cp.CurrentJournal = cp.CurrentJournal, id
	cp.Faults = nil
	f.pointChanged = true
	f.out.NewBoot = true
	f.updateAllOrphaned()
}

// applyRegistered applies record 1 of a boot: all that a Central which knows
// nothing of it must know.
func (f *fold) applyRegistered(reg *wire.Registered) {
	if f.rec.Seq != 1 {
		f.reportUnusable("cp_registered is record 1 of a journal and no other")
		return
	}
	f.skipDamaged(reg)
	for i := range reg.Connectors {
		c := &reg.Connectors[i]
		if k := f.connector(c.Connector); k != nil {
			k.Rated = c.Rated
		}
		if c.Register != nil && !f.applyRegister(c.Connector, *c.Register) {
			f.brokenRegisters = append(f.brokenRegisters, c.Connector)
		}
	}
	boot := f.bootState()
	if boot == nil {
		return
	}
	j := f.findOrCreateJournal(f.rec.Journal)
	j.Registered = true
	if f.rec.Journal == f.cp.CurrentJournal {
		f.updateDescription(reg)
	}
	for id := range boot { // carried over from the boot before, and gone
		if !slices.ContainsFunc(reg.Connectors, func(c wire.ConnectorState) bool { return c.Connector == id }) {
			f.connectors = slices.DeleteFunc(f.connectors, func(c *Connector) bool { return c == boot[id] })
			delete(boot, id)
		}
	}
	for i := range reg.Connectors {
		f.applyConnectorState(j, &reg.Connectors[i])
	}
	for i := range reg.Reservations {
		h := &reg.Reservations[i]
		if c := f.connector(h.Connector); c != nil {
			c.Held = Held{ID: h.ReservationID, Username: h.Username, Until: h.Until, Tariff: h.Tariff}
		}
	}
	f.updateAllOrphaned()
}

func (f *fold) updateDescription(reg *wire.Registered) {
	p := &f.cp.Point
	p.Name, p.Place, p.Agent, p.Simulated = reg.Name, reg.Place, reg.Agent, reg.Simulated
	f.pointChanged = true
}

func (f *fold) applyConnectorState(j *Journal, s *wire.ConnectorState) {
	c := f.connector(s.Connector)
	if c == nil {
		return
	}
	c.Rated, c.Plugged, c.Available, c.Reported = s.Rated, s.Plugged, s.Available, s.Status
	c.Finishing = s.Status == charge.StatusFinishing
	if s.Register != nil {
		c.Register = *s.Register
	}
	if s.SessionID == "" {
		return
	}
	ss, ended := f.findOrCreateSession(s.SessionID, s.Connector)
	if ss == nil {
		return
	}
	j.Reported = append(j.Reported, s.SessionID)
	c.Session, c.Phase = s.SessionID, charge.StatusSuspendedEVSE
	if s.Status.InSession() {
		c.Phase = s.Status
	}
	if !ended {
		touch(&f.sessions, ss)
		if s.Register != nil && !slices.Contains(f.brokenRegisters, s.Connector) {
			ss.Register = max(ss.Register, *s.Register)
		}
		f.updateRunning(s.Connector)
	}
}

// ApplyPresence folds a presence into cp and returns what changed. NewBoot of the
// outcome says that another boot is present now. Presences of boots that are
// over and late wills of older connections change nothing.
func ApplyPresence(cp *CP, env *Env, p wire.Presence) (Outcome, []Change) {
	f := fold{cp: cp, env: env}
	f.noteFirstContact()
	j := f.findJournal(p.Journal)
	if f.presenceOutdated(j, p) {
		return f.out, f.emit()
	}
	f.pointChanged = true
	cp.AnnouncedJournal, cp.Conn, cp.Online, cp.PresenceAt = p.Journal, p.Conn, p.Online, env.Now
	if p.Online {
		cp.First, cp.Next, cp.Last = positionOrZero(p.First), positionOrZero(p.Next), positionOrZero(p.Last)
		cp.Position = p.Central
		f.exceedEpoch(charge.Highest(p.Central, p.Ordered))
	}
	if j != nil && j.OpenedAt != 0 {
		if p.Conn > j.Conn {
			j.Conn = p.Conn
			touch(&f.journals, j)
		}
		if cp.CurrentJournal != j.ID {
			f.switchTo(j.ID)
		}
	}
	return f.out, f.emit()
}

// presenceOutdated reports whether a presence is older than what is known.
func (f *fold) presenceOutdated(j *Journal, p wire.Presence) bool {
	cp := f.cp
	if p.Journal == cp.AnnouncedJournal {
		return p.Conn < cp.Conn || p.Conn == cp.Conn && p.Online && !cp.Online // its will has come
	}
	if !p.Online {
		return cp.AnnouncedJournal != "" || cp.CurrentJournal != "" && p.Journal != cp.CurrentJournal
	}
	if j == nil {
		return false
	}
	return j.Conn != 0 && p.Conn <= j.Conn || f.bootEnded(j)
}

// bootEnded reports whether a boot has ended, for the present one began after it on
// the same storage. Of two boxes with one storage that says nothing: in
// quarantine the one that speaks last is there, so that it can be ordered once
// the other is switched off and the identity released.
func (f *fold) bootEnded(j *Journal) bool {
	present := f.findJournal(f.cp.CurrentJournal)
	return present != nil && present != j && !f.cp.Forked() && f.descends(present, j)
}

func positionOrZero(p *wire.Position) wire.Position {
	if p == nil {
		return wire.Position{}
	}
	return *p
}

// Admit lets a charging point be reserved and ordered, or takes that back.
func Admit(cp *CP, admitted bool) []Change {
	if cp.Admitted == admitted {
		return nil
	}
	cp.Admitted = admitted
	f := fold{cp: cp, env: &Env{}, pointChanged: true}
	return f.emit()
}

// SkipNext makes a hole of exactly the record that the latest presence calls
// next, at an operator's word: a dead letter holds up its charging point. It
// answers an error when what precedes it is not known.
func SkipNext(cp *CP, env *Env) ([]Change, error) {
	f := fold{cp: cp, env: env}
	n := cp.Next
	j := f.findJournal(n.Journal)
	ours := f.positionIsOurs()
	switch {
	case n.Seq == 0:
		return nil, fmt.Errorf("charging point %s has not said which record is next; wait for its presence", cp.ID)
	case j != nil && n.Seq <= j.Last:
		return nil, fmt.Errorf("record %s/%d is known already; nothing holds it up", n.Journal, n.Seq)
	case j != nil && n.Seq == j.Last+1, n == cp.First, j == nil && n.Seq == 1 && ours:
	default:
		return nil, fmt.Errorf("what precedes record %s/%d is not known; it must arrive first", n.Journal, n.Seq)
	}
	f.skipTo(f.findOrCreateJournal(n.Journal), n.Seq, "", GapDeadLetter, "passed by an operator")
	return f.emit(), nil
}

// Release ends the quarantine of an identity, at an operator's word. If two
// journals go on growing it comes back.
func Release(cp *CP) []Change {
	if !cp.Forked() {
		return nil
	}
	f := fold{cp: cp, env: &Env{}, pointChanged: true}
	f.clearAlarm(AlarmFork, string(cp.CurrentJournal), 0)
	if cp.MismatchAt != 0 {
		f.clearAlarm(AlarmMismatch, mismatchID, 0)
	}
	cp.ForkedAt, cp.ForkReason, cp.BlockedSince, cp.MismatchAt = 0, "", 0, 0
	for _, j := range cp.Journals {
		j.GrownAt = 0
		touch(&f.journals, j)
	}
	return f.emit()
}
