package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// groundTruth is what the harness knows of one charging point, beside what its parts
// say: which bytes became durable, what they granted, what flowed for whom.
type groundTruth struct {
	agent   *agent
	records map[recordKey]*writtenRecord
	order   []recordKey // durable, in the order of writing
	deleted int         // so many of order are forgotten

	storageLost  bool // set back, emptied, unreadable, or lied, or nobody keeps them so long: records may be missing
	meterInexact bool // it did not answer, or the contactor did not obey

	granted       map[charge.SessionID]*grantedSession
	open          map[charge.ConnectorID]charge.SessionID // by durable records
	held          map[charge.ConnectorID]*heldReservation
	accepted      map[charge.CommandID]time.Duration
	deadline      map[charge.CommandID]time.Duration // since the boot that received it
	energy        map[charge.SessionID]charge.WattHours
	diedAt        time.Duration
	violatedSince map[charge.ConnectorID]time.Duration // since when power flows against a rule
}

// writtenRecord is the bytes of a record.
type writtenRecord struct {
	raw          []byte
	rec          wire.Record
	hash         string
	durable      bool
	alternatives []string // other bytes of the same name that were never announced
}

// encodedRecord is a record that was encoded.
type encodedRecord struct {
	rec wire.Record
	raw []byte
}

// grantedSession is a session by its durable records.
type grantedSession struct {
	connector charge.ConnectorID
	start     charge.WattHours
	ended     bool
	lies      bool // its meter or contactor did not work all the time
}

// heldReservation is a reservation by its durable records.
type heldReservation struct {
	id    charge.ReservationID
	user  charge.Username
	until charge.Time
	life  time.Duration
	since time.Duration // when it was accepted, or the present boot began
}

func (t *groundTruth) init(a *agent) {
	*t = groundTruth{
		agent: a, records: map[recordKey]*writtenRecord{}, granted: map[charge.SessionID]*grantedSession{}, open: map[charge.ConnectorID]charge.SessionID{},
		held: map[charge.ConnectorID]*heldReservation{}, accepted: map[charge.CommandID]time.Duration{}, deadline: map[charge.CommandID]time.Duration{},
		energy: map[charge.SessionID]charge.WattHours{}, violatedSince: map[charge.ConnectorID]time.Duration{},
	}
}

func (t *groundTruth) key(rec *wire.Record) recordKey {
	return recordKey{journalKey{t.agent.id, rec.Journal}, rec.Seq}
}

// appended notes that Append returned: these records have happened.
func (t *groundTruth) appended(b *boot, list []encodedRecord) {
	for _, n := range list {
		k, h := t.key(&n.rec), wire.Hash(n.raw)
		f := t.records[k]
		if f == nil {
			f = &writtenRecord{}
			t.records[k] = f
		}
		if f.durable && f.hash != h {
			t.agent.w.violated("S7", "%s: record %s/%d became durable twice with different bytes", t.agent.id, k.j, k.seq)
		}
		if f.hash != "" && f.hash != h {
			f.alternatives = append(f.alternatives, f.hash)
		}
		f.raw, f.rec, f.hash, f.durable = n.raw, n.rec, h, true
		t.order = append(t.order, k)
		t.agent.w.stats.Records++
		t.observe(b, &n.rec)
	}
}

// appendUncertain notes records of an Append that failed, or did not return.
func (t *groundTruth) appendUncertain(_ *boot, list []encodedRecord) {
	for _, n := range list {
		k, h := t.key(&n.rec), wire.Hash(n.raw)
		if f := t.records[k]; f == nil {
			t.records[k] = &writtenRecord{raw: n.raw, rec: n.rec, hash: h}
		} else if f.hash != h {
			f.alternatives = append(f.alternatives, h)
		}
	}
}

// recovered takes what a boot found: its sessions are granted.
func (t *groundTruth) recovered(b *boot, found journal.Recovery) {
	clear(t.open)
	clear(t.held)
	for i := range b.saved {
		v := &b.saved[i]
		if id := v.Session.ID; id != "" {
			if t.granted[id] == nil {
				t.granted[id] = &grantedSession{connector: v.Connector, start: v.Session.StartRegister}
			}
			t.open[v.Connector] = id
		}
		if r := v.Reservation; r.ID != "" {
			t.held[v.Connector] = &heldReservation{id: r.ID, user: r.Username, until: r.Until, life: time.Duration(r.LeftMS) * time.Millisecond, since: t.agent.w.now}
		}
	}
	for _, raw := range t.unannounced(b) {
		t.noteSurvivor(raw)
	}
	if t.agent.disk.failRead { // what cannot be read is named, and the next boot may find it again
		t.storageLost = true
	}
	if len(found.Damaged) > 0 && !t.storageLost {
		d := found.Damaged[0]
		t.agent.w.violated("S6", "%s finds %d damages on its disk, and nothing was broken: %s/%d to %d in %s, %s",
			t.agent.id, len(found.Damaged), d.Journal, d.First, d.Last, d.Segment, d.Reason)
	}
}

// unannounced are the records at the end of the journal that were written before
// a crash and never announced. Looking at them harms nobody.
func (t *groundTruth) unannounced(b *boot) [][]byte {
	d := t.agent.disk
	at, fails := d.killAt, d.failRead
	d.killAt, d.failRead = 0, false
	defer func() { d.killAt, d.failRead = at, fails }()
	var list [][]byte
	for i := b.held().Last(); i > 0; i-- {
		e, err := b.log.Read(uint64(i))
		if err != nil {
			break
		}
		f := t.records[recordKey{journalKey{t.agent.id, e.Journal}, e.Seq}]
		if f != nil && f.durable && f.hash == wire.Hash(e.Bytes) {
			break
		}
		list = append(list, e.Bytes)
	}
	slices.Reverse(list)
	return list
}

// noteSurvivor notes a record that was written before a crash and never announced:
// now it is told like any other.
func (t *groundTruth) noteSurvivor(raw []byte) {
	rec, err := wire.DecodeRecord(raw)
	if err != nil {
		t.agent.w.violated("S7", "%s found a record nobody can read: %v", t.agent.id, err)
		return
	}
	k, h := t.key(&rec), wire.Hash(raw)
	f := t.records[k]
	switch {
	case !f.matches(h):
		t.agent.w.violated("S7", "%s found record %s/%d, which was never written so", t.agent.id, k.j, k.seq)
	case !f.durable:
		f.raw, f.rec, f.hash, f.durable = raw, rec, h, true
		t.order = append(t.order, k)
	}
}

// observe follows what a durable record says.
func (t *groundTruth) observe(b *boot, rec *wire.Record) {
	p, err := rec.Payload()
	if err != nil {
		t.agent.w.violated("S15", "%s writes a record nobody can read: %v", t.agent.id, err)
		return
	}
	switch p := p.(type) {
	case *wire.Authorized:
		t.authorized(rec, p)
	case *wire.ChargingStopped:
		t.stopped(rec, p)
	case *wire.CommandAccepted:
		t.commandAccepted(b, rec, p)
	case *wire.ReservationEnded:
		if h := t.held[rec.Connector]; h != nil && h.id == p.ReservationID {
			delete(t.held, rec.Connector)
		}
	}
}

func (t *groundTruth) authorized(rec *wire.Record, p *wire.Authorized) {
	w := t.agent.w
	if other := t.open[rec.Connector]; other != "" {
		w.violated("S3", "%s/%d: session %s begins while %s is open", t.agent.id, rec.Connector, rec.SessionID, other)
	}
	if h := t.held[rec.Connector]; h != nil {
		if h.user != p.Username {
			w.violated("S11", "%s/%d: session of %q begins on the reservation of %q", t.agent.id, rec.Connector, p.Username, h.user)
		}
		if h.id == p.ReservationID {
			delete(t.held, rec.Connector)
		}
	}
	if g := t.granted[rec.SessionID]; g != nil && !t.storageLost {
		w.violated("S12", "%s/%d: session %s begins a second time", t.agent.id, rec.Connector, rec.SessionID)
	}
	o := t.agent.outlets[rec.Connector-1]
	t.granted[rec.SessionID] = &grantedSession{connector: rec.Connector, start: p.Register, lies: o.broken.any()}
	t.open[rec.Connector] = rec.SessionID
	w.stats.Sessions++
}

func (t *groundTruth) stopped(rec *wire.Record, p *wire.ChargingStopped) {
	if g := t.granted[rec.SessionID]; g != nil {
		g.ended = true
	}
	if t.open[rec.Connector] != rec.SessionID && !t.storageLost {
		t.agent.w.violated("S3", "%s/%d: session %s ends and was not open", t.agent.id, rec.Connector, rec.SessionID)
	}
	delete(t.open, rec.Connector)
	if p.Register < p.Start {
		t.agent.w.violated("S4", "%s/%d: session %s used less than nothing", t.agent.id, rec.Connector, rec.SessionID)
	}
}

func (t *groundTruth) commandAccepted(b *boot, rec *wire.Record, p *wire.CommandAccepted) {
	w := t.agent.w
	cmd, err := wire.DecodeCommand(p.Command)
	if err != nil {
		w.violated("S12", "%s repeats a command nobody can read: %v", t.agent.id, err)
		return
	}
	if _, twice := t.accepted[cmd.ID]; twice {
		w.violated("S12", "%s accepts command %s %s twice", t.agent.id, cmd.Type, cmd.ID)
	}
	t.accepted[cmd.ID] = w.now
	if cmd.Journal != b.journal || cmd.CPID != t.agent.id {
		w.violated("S12", "%s accepts command %s %s of another boot or charging point", t.agent.id, cmd.Type, cmd.ID)
	}
	if by, known := t.deadline[cmd.ID]; known && time.Duration(rec.UptimeMS)*time.Millisecond > by+connector.ReadWithin+time.Second {
		w.violated("S12", "%s accepts command %s %s after its end", t.agent.id, cmd.Type, cmd.ID)
	}
	at := b.bootedAt + time.Duration(rec.UptimeMS)*time.Millisecond // it may have waited for room on the disk since
	if sent, known := w.sentAt[cmd.ID]; known && w.clocksRight && at-sent > wire.MaxCommandLife+lineTimeout+3*time.Minute {
		w.violated("S12", "%s accepts command %s %s, said last %s ago", t.agent.id, cmd.Type, cmd.ID, at-sent)
	}
	if order, err := cmd.Order(); err == nil {
		if r, ok := order.(*wire.Reserve); ok {
			t.reserved(rec, &cmd, r)
		}
	}
}

func (t *groundTruth) reserved(rec *wire.Record, cmd *wire.Command, r *wire.Reserve) {
	h := t.held[rec.Connector]
	switch {
	case h == nil:
		t.held[rec.Connector] = &heldReservation{id: r.ReservationID, user: r.Username, until: r.Until, life: r.Until.Sub(cmd.SentAt), since: t.agent.w.now}
	case h.id != r.ReservationID:
		t.agent.w.violated("S11", "%s/%d holds reservation %s and accepts %s", t.agent.id, rec.Connector, h.id, r.ReservationID)
	}
}

// received notes until when a command may take effect.
func (t *groundTruth) received(v *delivery.Verdict) {
	if v.Kind == delivery.Run {
		t.deadline[v.Command.ID] = v.Deadline
	}
}

func (t *groundTruth) died(*boot) { t.diedAt = t.agent.w.now }

// noteFault notes that the account of the sessions of a charging point is not exact.
func (t *groundTruth) noteFault(f charge.Fault) {
	inexact := []charge.Fault{charge.FaultMeter, charge.FaultContactorWelded, charge.FaultContactorStuck, charge.FaultSafetyInput}
	if slices.Contains(inexact, f) {
		t.meterInexact = true
	}
}

// addEnergy adds what flowed while the contact was closed.
func (w *World) addEnergy(o *outlet, e charge.WattHours) { o.agent.truth.energy[o.closedFor] += e }

// deletedAll reports whether the charging point has forgotten all records of a
// hole, as it may what is acknowledged.
func (t *groundTruth) deletedAll(h *ledger.Gap) bool {
	for _, k := range t.order[t.deleted:] {
		if k.j == h.Journal && h.First <= k.seq && (h.Last == 0 || k.seq <= h.Last) {
			return false
		}
	}
	return true
}
