package ledger

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// open begins a journal with the record, and chooses which boot is present.
func (f *fold) open(j *Journal) *Journal {
	r := f.rec
	known := len(f.cp.Journals)
	if j == nil {
		j = f.journal(r.Journal)
	} else {
		known-- // a hole made it a moment ago
	}
	j.OpenedAt, j.WroteAt, j.Clock = max(f.env.Now, 1), r.At, r.Clock
	j.Conn = max(j.Conn, f.connOf(j.ID))
	if r.Seq == 1 {
		f.link(j, known)
	}
	f.elect(j)
	return j
}

func (f *fold) connOf(id charge.JournalID) uint64 {
	if f.cp.Named == id {
		return f.cp.Conn
	}
	return 0
}

// link writes down what record 1 follows, and raises the alarm of a storage that
// was rolled back or replaced.
func (f *fold) link(j *Journal, known int) {
	reg, ok := f.payload().(*wire.Registered)
	switch {
	case !ok:
		if i := f.endingIn(f.rec.Prev); i != nil {
			f.follow(j, i, i.Last)
		} else {
			j.Root = f.rec.Prev == ""
		}
	case reg.After != nil:
		if i := f.known(reg.After.Journal); i != nil && i != j {
			f.follow(j, i, reg.After.Seq)
		}
	default:
		j.Root = true
	}
	if j.Root && known > 0 {
		f.alarm(AlarmReplaced, string(j.ID), 0, "the charging point came back with an empty storage")
	}
}

func (f *fold) follow(j, before *Journal, at charge.Seq) {
	j.After = wire.Position{Journal: before.ID, Seq: at}
	if before.Followed != 0 || before.Last > at {
		f.rolledBack(before.ID, at)
	}
	before.Followed = max(before.Followed, at)
	touch(&f.journals, before)
}

// elect makes a newly opened boot the present one: if presence names it, if
// presence names none that is known, or if it follows the one presence named,
// which is over then. Otherwise it waits until presence names it.
func (f *fold) elect(j *Journal) {
	cp := f.cp
	named := f.known(cp.Named)
	if named != nil && named.OpenedAt == 0 {
		named = nil // it exists as a hole only
	}
	f.point = true
	if cp.Present == "" || cp.Named == j.ID || named == nil || f.descends(j, named) {
		old, before := cp.Connectors, f.known(cp.Present)
		straight := before != nil && j.After == wire.Position{Journal: before.ID, Seq: before.Last}
		f.forget(cp.Present)
		f.forget(cp.WaitingJournal)
		cp.Present, cp.WaitingJournal = j.ID, ""
		cp.Connectors, cp.Waiting = map[charge.ConnectorID]*Connector{}, map[charge.ConnectorID]*Connector{}
		cp.Faults = nil
		f.out.NewBoot = true
		f.carryOver(old, straight)
		return
	}
	f.forget(cp.WaitingJournal)
	cp.WaitingJournal, cp.Waiting = j.ID, map[charge.ConnectorID]*Connector{}
}

func (f *fold) forget(j charge.JournalID) {
	if j != "" {
		f.first = append(f.first, BootForgotten{f.cp.ID, j})
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
	if cp.WaitingJournal == id {
		cp.Connectors, cp.Waiting = cp.Waiting, old
	} else {
		// A third one comes back: its state is not held any more. It is learned
		// anew from its records, and nothing is concluded from what is missing.
		f.forget(cp.WaitingJournal)
		cp.Connectors, cp.Waiting = map[charge.ConnectorID]*Connector{}, old
		j := f.journal(id)
		j.Registered = false
		touch(&f.journals, j)
	}
	cp.WaitingJournal, cp.Present = cp.Present, id
	cp.Faults = nil
	f.point = true
	f.out.NewBoot = true
	f.judgeAll()
}

// takeRegistered applies record 1 of a boot: all that a Central which knows
// nothing of it must know.
func (f *fold) takeRegistered(reg *wire.Registered) {
	if f.rec.Seq != 1 {
		f.unusable("cp_registered is record 1 of a journal and no other")
		return
	}
	f.passDamaged(reg)
	for i := range reg.Connectors {
		c := &reg.Connectors[i]
		if k := f.connector(c.Connector); k != nil {
			k.Rated = c.Rated
		}
		if c.Register != nil && !f.read(c.Connector, *c.Register) {
			f.astray = append(f.astray, c.Connector)
		}
	}
	boot := f.boot()
	if boot == nil {
		return
	}
	j := f.journal(f.rec.Journal)
	j.Registered = true
	if f.rec.Journal == f.cp.Present {
		f.describe(reg)
	}
	for id := range boot { // carried over from the boot before, and gone
		if !slices.ContainsFunc(reg.Connectors, func(c wire.ConnectorState) bool { return c.Connector == id }) {
			f.connectors = slices.DeleteFunc(f.connectors, func(c *Connector) bool { return c == boot[id] })
			delete(boot, id)
		}
	}
	for i := range reg.Connectors {
		f.takeState(j, &reg.Connectors[i])
	}
	for i := range reg.Reservations {
		h := &reg.Reservations[i]
		if c := f.connector(h.Connector); c != nil {
			c.Held = Held{ID: h.ReservationID, Username: h.Username, Until: h.Until, Tariff: h.Tariff}
		}
	}
	f.judgeAll()
}

func (f *fold) describe(reg *wire.Registered) {
	p := &f.cp.Point
	p.Name, p.Place, p.Agent, p.Simulated = reg.Name, reg.Place, reg.Agent, reg.Simulated
	f.point = true
}

func (f *fold) takeState(j *Journal, s *wire.ConnectorState) {
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
	ss, ended := f.session(s.SessionID, s.Connector)
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
		if s.Register != nil && !slices.Contains(f.astray, s.Connector) {
			ss.Register = max(ss.Register, *s.Register)
		}
		f.recount(s.Connector)
	}
}

// Heard folds a presence into cp and returns what changed. NewBoot of the
// outcome says that another boot is present now. Presences of boots that are
// over and late wills of older connections change nothing.
func Heard(cp *CP, env *Env, p wire.Presence) (Outcome, []Change) {
	f := fold{cp: cp, env: env}
	f.meet()
	j := f.known(p.Journal)
	if f.outdated(j, p) {
		return f.out, f.emit()
	}
	f.point = true
	cp.Named, cp.Conn, cp.Online, cp.PresenceAt = p.Journal, p.Conn, p.Online, env.Now
	if p.Online {
		cp.First, cp.Next, cp.Last = position(p.First), position(p.Next), position(p.Last)
		cp.Position = p.Central
		f.exceed(charge.Highest(p.Central, p.Ordered))
	}
	if j != nil && j.OpenedAt != 0 {
		if p.Conn > j.Conn {
			j.Conn = p.Conn
			touch(&f.journals, j)
		}
		if cp.Present != j.ID {
			f.switchTo(j.ID)
		}
	}
	return f.out, f.emit()
}

// outdated reports whether a presence is older than what is known.
func (f *fold) outdated(j *Journal, p wire.Presence) bool {
	cp := f.cp
	if p.Journal == cp.Named {
		return p.Conn < cp.Conn || p.Conn == cp.Conn && p.Online && !cp.Online // its will has come
	}
	if !p.Online {
		return cp.Named != "" || cp.Present != "" && p.Journal != cp.Present
	}
	if j == nil {
		return false
	}
	return j.Conn != 0 && p.Conn <= j.Conn || f.over(j)
}

// over reports whether a boot has ended, for the present one began after it on
// the same storage. Of two boxes with one storage that says nothing: in
// quarantine the one that speaks last is there, so that it can be ordered once
// the other is switched off and the identity released.
func (f *fold) over(j *Journal) bool {
	present := f.known(f.cp.Present)
	return present != nil && present != j && !f.cp.Forked() && f.descends(present, j)
}

func position(p *wire.Position) wire.Position {
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
	f := fold{cp: cp, env: &Env{}, point: true}
	return f.emit()
}

// PassNext makes a hole of exactly the record that the latest presence calls
// next, at an operator's word: a dead letter holds up its charging point. It
// answers an error when what precedes it is not known.
func PassNext(cp *CP, env *Env) ([]Change, error) {
	f := fold{cp: cp, env: env}
	n := cp.Next
	j := f.known(n.Journal)
	ours := f.ours()
	switch {
	case n.Seq == 0:
		return nil, fmt.Errorf("charging point %s has not said which record is next; wait for its presence", cp.ID)
	case j != nil && n.Seq <= j.Last:
		return nil, fmt.Errorf("record %s/%d is known already; nothing holds it up", n.Journal, n.Seq)
	case j != nil && n.Seq == j.Last+1, n == cp.First, j == nil && n.Seq == 1 && ours:
	default:
		return nil, fmt.Errorf("what precedes record %s/%d is not known; it must arrive first", n.Journal, n.Seq)
	}
	f.pass(f.journal(n.Journal), n.Seq, "", HoleDeadLetter, "passed by an operator")
	return f.emit(), nil
}

// Release ends the quarantine of an identity, at an operator's word. If two
// journals go on growing it comes back.
func Release(cp *CP) []Change {
	if !cp.Forked() {
		return nil
	}
	f := fold{cp: cp, env: &Env{}, point: true}
	f.clear(AlarmFork, string(cp.Present), 0)
	if cp.MismatchAt != 0 {
		f.clear(AlarmMismatch, mismatchID, 0)
	}
	cp.ForkedAt, cp.Fork, cp.HeldUpSince, cp.MismatchAt = 0, "", 0, 0
	for _, j := range cp.Journals {
		j.GrownAt = 0
		touch(&f.journals, j)
	}
	return f.emit()
}
