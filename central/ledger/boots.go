package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// openJournal begins a journal with the record, and decides whether its boot is
// the current one. j is nil, or exists because a gap named it before.
func (f *fold) openJournal(j *Journal) *Journal {
	r := f.rec
	known := len(f.cp.Journals)
	if j == nil {
		j = f.findOrCreateJournal(r.Journal)
	} else {
		known-- // passBefore created it in this call
	}
	j.OpenedAt, j.FirstWrittenAt, j.Clock = set(f.env.Now), r.At, r.Clock
	if r.At > cmp.Or(f.receivedAt, f.env.Now).Add(mostAhead) {
		j.Clock = charge.ClockUnset // whatever the agent states of it
	}
	j.Conn = max(j.Conn, f.connOf(j.ID))
	if r.Seq == 1 {
		f.linkJournal(j, known)
	}
	f.chooseNewest(j)
	f.chooseCurrent(j)
	return j
}

func (f *fold) connOf(id charge.JournalID) uint64 {
	if f.cp.AnnouncedJournal == id {
		return f.cp.Conn
	}
	return 0
}

// linkJournal stores which record the journal's record 1 follows, and raises the
// alarm of a storage that was rolled back (the record has another follower) or
// replaced (record 1 follows nothing although journals are known).
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
		f.raiseAlarm(AlarmReplaced, string(j.ID), 0, reason.Reason{Code: reason.StorageReplaced})
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

// chooseCurrent makes a newly opened boot the current one if presence names it, if
// presence names no boot that is known, or if it follows the boot that presence
// named, which has ended then. Otherwise the boot stays pending until presence
// names it: its records may be a late delivery of a lost branch.
func (f *fold) chooseCurrent(j *Journal) {
	cp := f.cp
	named := f.findJournal(cp.AnnouncedJournal)
	if named != nil && named.OpenedAt == 0 {
		named = nil // it exists as a gap only
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

// carryOver copies IdleSince from the boot before: a restart must not change a
// connector's place in the queue. If the boot follows the last known record of
// that boot (straight), its registers must continue those of that boot as well.
func (f *fold) carryOver(old map[charge.ConnectorID]*Connector, straight bool) {
	for id, c := range old {
		n := f.connector(id)
		n.Rated, n.Most, n.Safe, n.IdleSince = c.Rated, c.Most, c.Safe, c.IdleSince
		if straight {
			n.Register = c.Register
		}
	}
}

// switchTo makes a known boot the current one because presence names it.
func (f *fold) switchTo(id charge.JournalID) {
	cp := f.cp
	old := cp.Connectors
	if cp.PendingJournal == id {
		cp.Connectors, cp.PendingConnectors = cp.PendingConnectors, old
	} else {
		// A third boot comes back, whose connectors are not stored any more. Its
		// next records report them.
		f.deleteBoot(cp.PendingJournal)
		cp.Connectors, cp.PendingConnectors = map[charge.ConnectorID]*Connector{}, old
	}
	cp.PendingJournal, cp.CurrentJournal = cp.CurrentJournal, id
	cp.Faults = nil
	f.pointChanged = true
	f.out.NewBoot = true
}

// applyRegistered applies record 1 of a boot, which reports the whole state of the
// charging point: its identity, connectors, open sessions, reservations held, and
// which of its records it cannot read.
func (f *fold) applyRegistered(reg *wire.Registered) {
	if f.rec.Seq != 1 {
		f.reportUnusable(reason.Reason{Code: reason.RegisteredLater})
		return
	}
	f.passDamaged(reg)
	for i := range reg.Connectors {
		c := &reg.Connectors[i]
		if k := f.connector(c.Connector); k != nil {
			k.Rated, k.Most, k.Safe = c.Rated, c.Most, c.Safe
		}
		if !f.late && c.Connector >= 1 {
			f.changeMeter(c.Connector).Rated = c.Rated
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
	for id := range boot { // carried over from the boot before, and not reported any more
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

// applyConnectorState applies the state of one connector in record 1.
func (f *fold) applyConnectorState(j *Journal, s *wire.ConnectorState) {
	c := f.connector(s.Connector)
	if c == nil {
		return
	}
	c.Rated, c.Plugged, c.Available, c.Reported = s.Rated, s.Plugged, s.Available, s.Status
	c.Most, c.Safe = s.Most, s.Safe
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
	if !f.late {
		f.changeMeter(s.Connector).Session = s.SessionID
	}
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

// ApplyPresence folds a presence (an agent's birth message or last will) into cp
// and returns what changed. NewBoot of the outcome reports that another boot
// became the current one. Presences of boots that ended and wills of older
// connections change nothing.
func ApplyPresence(cp *CP, env *Env, p wire.Presence) (Outcome, []Change) {
	f := fold{cp: cp, env: env}
	f.noteFirstContact()
	j := f.findJournal(p.Journal)
	if f.presenceOutdated(j, p) {
		f.dropFarClaim(&p)
		return f.out, f.emit()
	}
	f.pointChanged = true
	cp.AnnouncedJournal, cp.Conn, cp.Online, cp.PresenceAt = p.Journal, p.Conn, p.Online, env.Now
	if p.Online {
		cp.First, cp.Next, cp.Last = positionOrZero(p.First), positionOrZero(p.Next), positionOrZero(p.Last)
		cp.Position = p.Central
		f.exceedEpoch(&p)
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

// presenceOutdated reports whether a presence is older than what is known. MQTT
// keeps no order between an agent's birth message and the will of the connection
// before it, so connection numbers decide.
func (f *fold) presenceOutdated(j *Journal, p wire.Presence) bool {
	cp := f.cp
	if p.Journal == cp.AnnouncedJournal {
		return p.Conn < cp.Conn || p.Conn == cp.Conn && p.Online && !cp.Online // the will of this connection came first
	}
	if !p.Online {
		return cp.AnnouncedJournal != "" || cp.CurrentJournal != "" && p.Journal != cp.CurrentJournal
	}
	if j == nil {
		return false
	}
	return j.Conn != 0 && p.Conn <= j.Conn || f.bootEnded(j)
}

// bootEnded reports whether a boot has ended because the current one began after
// it on the same storage. In quarantine two devices may share one storage, so the
// device that connected last counts as current; it can be commanded once the
// other is switched off and the identity is released.
func (f *fold) bootEnded(j *Journal) bool {
	current := f.findJournal(f.cp.CurrentJournal)
	return current != nil && current != j && !f.cp.Forked() && f.descends(current, j)
}

func positionOrZero(p *wire.Position) wire.Position {
	if p == nil {
		return wire.Position{}
	}
	return *p
}

// Admit permits to reserve and command a charging point, or withdraws that.
func Admit(cp *CP, admitted bool) []Change {
	if cp.Admitted == admitted {
		return nil
	}
	cp.Admitted = admitted
	f := fold{cp: cp, env: &Env{}, pointChanged: true}
	return f.emit()
}

// ErrLogUnread is the error of PassNext while the log has not been read far enough,
// see Env.LogRead.
var ErrLogUnread = errors.New("what Kafka holds of this charging point is still being read; try again in a few seconds")

// PassNext makes a gap of exactly the record that the latest presence calls next,
// at an operator's request: the message is a dead letter and blocks the records
// after it. It returns an error when what precedes the record is not known.
func PassNext(cp *CP, env *Env) ([]Change, error) {
	f := fold{cp: cp, env: env}
	n := cp.Next
	j := f.findJournal(n.Journal)
	ours := f.positionIsOurs()
	switch {
	case n.Seq == 0:
		return nil, fmt.Errorf("charging point %s has not reported which record is next; wait for its presence", cp.ID)
	case j != nil && n.Seq <= j.Last:
		return nil, fmt.Errorf("record %s/%d is known already; it blocks nothing", n.Journal, n.Seq)
	case n.Journal == cp.Last.Journal && n.Seq > cp.Last.Seq:
		return nil, fmt.Errorf("charging point %s holds no record that is not acknowledged: its latest presence names %d as the last and %d as the next; "+
			"if it wrote one since, try again after its next presence, in at most 5 minutes", cp.ID, cp.Last.Seq, n.Seq)
	case j != nil && n.Seq == j.Last+1:
	case n == cp.First && !f.logRead():
		return nil, ErrLogUnread
	case n == cp.First, j == nil && n.Seq == 1 && ours:
	default:
		return nil, fmt.Errorf("what precedes record %s/%d is not known; it must arrive first", n.Journal, n.Seq)
	}
	f.passTo(f.findOrCreateJournal(n.Journal), n.Seq, "", GapDeadLetter, reason.Reason{Code: reason.GapPassed})
	return f.emit(), nil
}

// Release ends the quarantine of an identity, at an operator's request. If two
// journals continue to grow, the identity is quarantined again.
func Release(cp *CP) []Change {
	if !cp.Forked() {
		return nil
	}
	f := fold{cp: cp, env: &Env{}, pointChanged: true}
	f.clearAlarm(AlarmFork, string(cp.CurrentJournal), 0)
	if cp.MismatchAt != 0 {
		f.clearAlarm(AlarmMismatch, mismatchID, 0)
	}
	cp.ForkedAt, cp.Fork, cp.BlockedSince, cp.MismatchAt = 0, reason.Reason{}, 0, 0
	for _, j := range cp.Journals {
		j.GrownAt = 0
		touch(&f.journals, j)
	}
	return f.emit()
}
