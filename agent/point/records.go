package point

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/class"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	// maxBatch is the most records of one batch, unless one step has more. Larger ones
	// would delay the first record of a batch for those behind it.
	maxBatch = 256
	// spaceRetry is how often an append to a full disk is retried.
	spaceRetry = time.Second
	// FullPermille is how much of the space for unacknowledged records may be used
	// before no new session starts: the rest is for the sessions that run.
	FullPermille = 900
)

// job is records that become durable together or not at all.
type job struct {
	connector charge.ConnectorID // 0: of the whole charging point
	token     connector.Token    // of the Append of the connector; 0: no connector waits
	records   []connector.Record
	now       connector.Now // of the step that asked for them
}

// class is the highest class of the job's records, since they go together.
func (j *job) class() (c class.Class) {
	for _, r := range j.records {
		c = max(c, class.Of(r.Payload.RecordType()))
	}
	return c
}

// highestClass is the highest class among jobs.
func highestClass(jobs []job) (c class.Class) {
	for i := range jobs {
		c = max(c, jobs[i].class())
	}
	return c
}

// disk is what waits for the disk and what is known of it.
//
// While there is no space, samples are dropped. The other records wait in their
// order, until there is space or until a final record joins them: that may use
// the journal's reserve, and all before it go with it.
type disk struct {
	saved    []connector.Saved // what a checkpoint holds: the fold of all durable records
	waiting  []job             // not durable, in order
	batch    int               // so many of waiting are in the batch under way
	position *SavePosition     // waits to be saved; only the latest one counts
	busy     bool              // a batch or a position is under way
	failed   bool              // the journal takes no more records in this boot

	lacksSpace bool          // a record that waits did not fit
	tried      class.Class   // the class that did not fit
	retryAt    time.Duration // while lacksSpace: when one job is tried again; 0: a whole batch, at once
	blocked    bool          // not even final records fit: the connectors have a fault
	full       bool          // the connectors know that no session may start
	permille   int64         // of the space for unacknowledged records that is used

	early            []job // BugCloseBeforeSync: taken for durable
	written, dropped int64 // records of this boot: made durable, dropped for want of space
}

// waits reports whether records wait for the next try of a full disk.
func (d *disk) waits() bool { return !d.busy && !d.failed && d.lacksSpace && len(d.waiting) > 0 }

// append lets records wait for the disk. Those of a full disk are tried at once if
// they may use more space than the ones before.
func (s *State) append(j job) {
	j.now = s.now.Now
	if d := &s.disk; d.lacksSpace && j.class() > d.tried {
		d.retryAt = 0
	}
	s.disk.waiting = append(s.disk.waiting, j)
	if s.bug(BugCloseBeforeSync) {
		s.disk.early = append(s.disk.early, j)
	}
}

// record lets one record wait for the disk, for which no connector waits.
func (s *State) record(n charge.ConnectorID, p wire.Payload) {
	s.append(job{connector: n, records: []connector.Record{{Payload: p}}})
}

// write gives the disk the next thing to do: the position, since it may free
// space, and then a batch. A batch has the highest class of all that wait: a final
// record lends its rights to those before it, since their order must not change.
func (s *State) write() {
	d := &s.disk
	switch {
	case d.busy || d.failed:
		return
	case d.position != nil:
		s.effects = append(s.effects, *d.position)
		d.position, d.busy = nil, true
		return
	case len(d.waiting) == 0 || d.lacksSpace && s.now.At < d.retryAt:
		return
	}
	// What waits for space is encoded for each try, and may be much: one job shows
	// whether there is some.
	most := maxBatch
	if d.lacksSpace && d.retryAt != 0 {
		most = 0
	}
	d.batch = 0
	for n := 0; d.batch < len(d.waiting); d.batch++ {
		if n += len(d.waiting[d.batch].records); d.batch > 0 && n > most {
			break
		}
	}
	b := s.underWay()
	b.Class = highestClass(d.waiting)
	d.tried, d.busy = b.Class, true
	s.effects = append(s.effects, Append{b})
}

// underWay makes the batch of the jobs that are under way.
func (s *State) underWay() *Batch {
	b := &Batch{cp: s.cfg.CP, journal: s.cfg.Journal, saved: slices.Clone(s.disk.saved)}
	for _, j := range s.disk.waiting[:s.disk.batch] {
		for _, r := range j.records {
			b.Records = append(b.Records, Record{j.connector, r.Session, r.Payload, j.now})
		}
	}
	return b
}

// appended continues with what waited for the batch: the connectors, and delivery.
func (s *State) appended(e Appended) {
	d := &s.disk
	if d.batch == 0 {
		return // none is under way
	}
	done := d.waiting[:d.batch]
	d.waiting, d.batch, d.busy, d.saved, d.retryAt = slices.Clone(d.waiting[d.batch:]), 0, false, e.Saved, 0
	for i := range done {
		d.written += int64(len(done[i].records))
	}
	if !s.registered {
		s.held = e.Held
		s.beginWork()
		return
	}
	s.fireTimers()
	if !s.bug(BugCloseBeforeSync) {
		s.continueJobs(done)
	}
	s.setHeld(e.Held)
	if len(d.waiting) == 0 {
		s.endLackOfSpace()
	}
}

// appendFailed handles a batch of which nothing was written. A full disk is
// retried without the samples. Any other failure is final: every contactor opens.
func (s *State) appendFailed(e AppendFailed) {
	d := &s.disk
	d.batch, d.busy = 0, false
	if !e.NoSpace || !s.registered {
		d.failed = true
		s.stepAll(func(n connector.Now) connector.Event { return connector.AppendFailed{Now: n} })
		return
	}
	s.dropSamples()
	if len(d.waiting) == 0 {
		s.endLackOfSpace()
		return
	}
	d.lacksSpace, d.retryAt = true, s.now.At+spaceRetry
	if !d.blocked && highestClass(d.waiting) == class.Final {
		d.blocked = true
		s.reportBlocked()
	}
	s.checkSpace()
}

// dropSamples drops the jobs that are samples only, and continues as if they were
// durable: a missing sample is no failure.
func (s *State) dropSamples() {
	var dropped []job
	s.disk.waiting = slices.DeleteFunc(s.disk.waiting, func(j job) bool {
		if j.class() > class.Sample {
			return false
		}
		dropped = append(dropped, j)
		return true
	})
	s.disk.dropped += int64(len(dropped))
	s.continueJobs(dropped)
}

// continueJobs continues the connectors whose records are durable.
func (s *State) continueJobs(jobs []job) {
	for _, j := range jobs {
		if j.token != 0 {
			s.stepConnector(j.connector, connector.Appended{Now: s.connectorNow(), Token: j.token})
		}
	}
}

// endLackOfSpace ends it: everything could be written.
func (s *State) endLackOfSpace() {
	s.disk.lacksSpace = false
	if s.disk.blocked {
		s.disk.blocked = false
		s.reportBlocked()
	}
}

// reportBlocked raises or clears the journal fault of every connector: no power
// flows while not even the end of a session could be recorded.
func (s *State) reportBlocked() {
	if s.bug(BugFullDiskCharges) {
		return
	}
	s.stepAll(func(n connector.Now) connector.Event {
		if s.disk.blocked {
			return connector.FaultSeen{Now: n, Fault: charge.FaultJournal, Detail: noSpace}
		}
		return connector.FaultGone{Now: n, Fault: charge.FaultJournal}
	})
}

// checkSpace reports to the connectors whether there is space for a new session.
func (s *State) checkSpace() {
	full := s.disk.lacksSpace || s.disk.permille >= FullPermille
	if full == s.disk.full {
		return
	}
	s.disk.full = full
	s.stepAll(func(n connector.Now) connector.Event { return connector.StorageChanged{Now: n, Full: full} })
}

// positionSaved continues with the disk, which may have deleted records.
func (s *State) positionSaved(e PositionSaved) {
	s.disk.busy = false
	s.setHeld(e.Held)
}

// setHeld remembers what the disk holds, and lets delivery send what is new. An
// account that is older than the last one has no effect: both ends only advance.
func (s *State) setHeld(h delivery.Held) {
	if h.Last() < s.held.Last() || h.First() < s.held.First() || h.Last() == s.held.Last() && h.First() == s.held.First() {
		return
	}
	s.held = h
	s.stepDelivery(delivery.Appended{Now: s.deliveryNow(), First: h.First(), End: h.Last()})
}

// register asks for record 1, cp_registered: everything that a Central without any
// earlier record of this charging point needs. Damage of the journal follows in
// the same batch: a Central that knows of the boot knows of the damage too.
func (s *State) register(found Recovered) {
	p := &wire.Registered{
		After: found.After, Damaged: found.Damaged, Agent: s.cfg.Agent, Name: s.cfg.Name, Place: s.cfg.Place,
		Simulated: s.cfg.Simulated, Capabilities: s.cfg.Capabilities,
	}
	list := s.cards.List.State()
	p.LocalList = &list
	for _, c := range s.connectors {
		p.Connectors = append(p.Connectors, s.describeLimits(connector.Describe(c)))
		if held, some := connector.HeldReservation(c); some {
			p.Reservations = append(p.Reservations, held)
		}
	}
	records := []connector.Record{{Payload: p}}
	for _, d := range found.Damaged {
		records = append(records, connector.Record{Payload: &wire.AnomalySeen{
			Anomaly: "journal_damaged", Detail: fmt.Sprintf("records %d to %d of %s: %.256s", d.First, d.Last, d.Journal, d.Reason),
		}})
	}
	s.append(job{records: records})
}

// beginWork follows record 1: from here on the boot exists for Central.
func (s *State) beginWork() {
	s.registered = true
	s.stepDelivery(delivery.Booted{Held: s.held, Position: s.position})
	for i := range s.connectors {
		s.stepConnector(charge.ConnectorID(i+1), connector.Registered{Now: s.connectorNow(), Unfinished: s.disk.saved[i].Unfinished})
	}
}
