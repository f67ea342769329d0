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

// truth is what the harness knows of one charging point, beside what its parts
// say: which bytes became durable, what they granted, what flowed for whom.
type truth struct {
	a       *agent
	records map[recordKey]*fact
	order   []recordKey // durable, in the order of writing
	head    int         // so many of order are forgotten

	storageLost bool // set back, emptied, unreadable, or lied, or nobody keeps them so long: records may be missing
	meterLied   bool // it did not answer, or the contactor did not obey

	granted  map[charge.SessionID]*grant
	open     map[charge.ConnectorID]charge.SessionID // by durable records
	holds    map[charge.ConnectorID]*hold
	accepted map[charge.CommandID]time.Duration
	deadline map[charge.CommandID]time.Duration // since the boot that received it
	energy   map[charge.SessionID]charge.WattHours
	diedAt   time.Duration
	wrong    map[charge.ConnectorID]time.Duration // since when power flows against a rule
}

// fact is the bytes of a record.
type fact struct {
	raw     []byte
	rec     wire.Record
	hash    string
	durable bool
	also    []string // other bytes of the same name that were never announced
}

// born is a record that was encoded.
type born struct {
	rec wire.Record
	raw []byte
}

// grant is a session by its durable records.
type grant struct {
	connector charge.ConnectorID
	start     charge.WattHours
	ended     bool
	lies      bool // its meter or contactor did not work all the time
}

// hold is a reservation by its durable records.
type hold struct {
	id    charge.ReservationID
	user  charge.Username
	until charge.Time
	life  time.Duration
	since time.Duration // when it was accepted, or the present boot began
}

func (t *truth) init(a *agent) {
	*t = truth{
		a: a, records: map[recordKey]*fact{}, granted: map[charge.SessionID]*grant{}, open: map[charge.ConnectorID]charge.SessionID{},
		holds: map[charge.ConnectorID]*hold{}, accepted: map[charge.CommandID]time.Duration{}, deadline: map[charge.CommandID]time.Duration{},
		energy: map[charge.SessionID]charge.WattHours{}, wrong: map[charge.ConnectorID]time.Duration{},
	}
}

func (t *truth) key(rec *wire.Record) recordKey {
	return recordKey{journalKey{t.a.id, rec.Journal}, rec.Seq}
}

// durable notes that Append returned: these records have happened.
func (t *truth) durable(b *boot, list []born) {
	for _, n := range list {
		k, h := t.key(&n.rec), wire.Hash(n.raw)
		f := t.records[k]
		if f == nil {
			f = &fact{}
			t.records[k] = f
		}
		if f.durable && f.hash != h {
			t.a.w.object("S7", "%s: record %s/%d became durable twice with different bytes", t.a.id, k.j, k.seq)
		}
		if f.hash != "" && f.hash != h {
			f.also = append(f.also, f.hash)
		}
		f.raw, f.rec, f.hash, f.durable = n.raw, n.rec, h, true
		t.order = append(t.order, k)
		t.a.w.stats.Records++
		t.observe(b, &n.rec)
	}
}

// unsure notes records of an Append that failed, or did not return.
func (t *truth) unsure(_ *boot, list []born) {
	for _, n := range list {
		k, h := t.key(&n.rec), wire.Hash(n.raw)
		if f := t.records[k]; f == nil {
			t.records[k] = &fact{raw: n.raw, rec: n.rec, hash: h}
		} else if f.hash != h {
			f.also = append(f.also, h)
		}
	}
}

// recovered takes what a boot found: its sessions are granted.
func (t *truth) recovered(b *boot, found journal.Recovery) {
	clear(t.open)
	clear(t.holds)
	for i := range b.saved {
		v := &b.saved[i]
		if id := v.Session.ID; id != "" {
			if t.granted[id] == nil {
				t.granted[id] = &grant{connector: v.Connector, start: v.Session.Start}
			}
			t.open[v.Connector] = id
		}
		if r := v.Reservation; r.ID != "" {
			t.holds[v.Connector] = &hold{id: r.ID, user: r.Username, until: r.Until, life: time.Duration(r.LeftMS) * time.Millisecond, since: t.a.w.now}
		}
	}
	for _, raw := range t.unannounced(b) {
		t.survived(raw)
	}
	if t.a.disk.failRead { // what cannot be read is named, and the next boot may find it again
		t.storageLost = true
	}
	if len(found.Damaged) > 0 && !t.storageLost {
		d := found.Damaged[0]
		t.a.w.object("S6", "%s finds %d damages on its disk, and nothing was broken: %s/%d to %d in %s, %s",
			t.a.id, len(found.Damaged), d.Journal, d.First, d.Last, d.Segment, d.Reason)
	}
}

// unannounced are the records at the end of the journal that were written before
// a crash and never announced. Looking at them harms nobody.
func (t *truth) unannounced(b *boot) [][]byte {
	d := t.a.disk
	at, fails := d.killAt, d.failRead
	d.killAt, d.failRead = 0, false
	defer func() { d.killAt, d.failRead = at, fails }()
	var list [][]byte
	for i := b.held().Last(); i > 0; i-- {
		e, err := b.log.Read(uint64(i))
		if err != nil {
			break
		}
		f := t.records[recordKey{journalKey{t.a.id, e.Journal}, e.Seq}]
		if f != nil && f.durable && f.hash == wire.Hash(e.Bytes) {
			break
		}
		list = append(list, e.Bytes)
	}
	slices.Reverse(list)
	return list
}

// survived notes a record that was written before a crash and never announced:
// now it is told like any other.
func (t *truth) survived(raw []byte) {
	rec, err := wire.DecodeRecord(raw)
	if err != nil {
		t.a.w.object("S7", "%s found a record nobody can read: %v", t.a.id, err)
		return
	}
	k, h := t.key(&rec), wire.Hash(raw)
	f := t.records[k]
	switch {
	case !f.is(h):
		t.a.w.object("S7", "%s found record %s/%d, which was never written so", t.a.id, k.j, k.seq)
	case !f.durable:
		f.raw, f.rec, f.hash, f.durable = raw, rec, h, true
		t.order = append(t.order, k)
	}
}

// observe follows what a durable record says.
func (t *truth) observe(b *boot, rec *wire.Record) {
	p, err := rec.Payload()
	if err != nil {
		t.a.w.object("S15", "%s writes a record nobody can read: %v", t.a.id, err)
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
		if h := t.holds[rec.Connector]; h != nil && h.id == p.ReservationID {
			delete(t.holds, rec.Connector)
		}
	}
}

func (t *truth) authorized(rec *wire.Record, p *wire.Authorized) {
	w := t.a.w
	if other := t.open[rec.Connector]; other != "" {
		w.object("S3", "%s/%d: session %s begins while %s is open", t.a.id, rec.Connector, rec.SessionID, other)
	}
	if h := t.holds[rec.Connector]; h != nil {
		if h.user != p.Username {
			w.object("S11", "%s/%d: session of %q begins on the reservation of %q", t.a.id, rec.Connector, p.Username, h.user)
		}
		if h.id == p.ReservationID {
			delete(t.holds, rec.Connector)
		}
	}
	if g := t.granted[rec.SessionID]; g != nil && !t.storageLost {
		w.object("S12", "%s/%d: session %s begins a second time", t.a.id, rec.Connector, rec.SessionID)
	}
	o := t.a.hw[rec.Connector-1]
	t.granted[rec.SessionID] = &grant{connector: rec.Connector, start: p.Register, lies: o.broken.any()}
	t.open[rec.Connector] = rec.SessionID
	w.stats.Sessions++
}

func (t *truth) stopped(rec *wire.Record, p *wire.ChargingStopped) {
	if g := t.granted[rec.SessionID]; g != nil {
		g.ended = true
	}
	if t.open[rec.Connector] != rec.SessionID && !t.storageLost {
		t.a.w.object("S3", "%s/%d: session %s ends and was not open", t.a.id, rec.Connector, rec.SessionID)
	}
	delete(t.open, rec.Connector)
	if p.Register < p.Start {
		t.a.w.object("S4", "%s/%d: session %s used less than nothing", t.a.id, rec.Connector, rec.SessionID)
	}
}

func (t *truth) commandAccepted(b *boot, rec *wire.Record, p *wire.CommandAccepted) {
	w := t.a.w
	cmd, err := wire.DecodeCommand(p.Command)
	if err != nil {
		w.object("S12", "%s repeats a command nobody can read: %v", t.a.id, err)
		return
	}
	if _, twice := t.accepted[cmd.ID]; twice {
		w.object("S12", "%s accepts command %s %s twice", t.a.id, cmd.Type, cmd.ID)
	}
	t.accepted[cmd.ID] = w.now
	if cmd.Journal != b.journal || cmd.CPID != t.a.id {
		w.object("S12", "%s accepts command %s %s of another boot or charging point", t.a.id, cmd.Type, cmd.ID)
	}
	if by, known := t.deadline[cmd.ID]; known && time.Duration(rec.UptimeMS)*time.Millisecond > by+connector.ReadWithin+time.Second {
		w.object("S12", "%s accepts command %s %s after its end", t.a.id, cmd.Type, cmd.ID)
	}
	at := b.born + time.Duration(rec.UptimeMS)*time.Millisecond // it may have waited for room on the disk since
	if sent, known := w.sentAt[cmd.ID]; known && w.honest && at-sent > wire.MaxCommandLife+gone+3*time.Minute {
		w.object("S12", "%s accepts command %s %s, said last %s ago", t.a.id, cmd.Type, cmd.ID, at-sent)
	}
	if order, err := cmd.Order(); err == nil {
		if r, ok := order.(*wire.Reserve); ok {
			t.reserved(rec, &cmd, r)
		}
	}
}

func (t *truth) reserved(rec *wire.Record, cmd *wire.Command, r *wire.Reserve) {
	h := t.holds[rec.Connector]
	switch {
	case h == nil:
		t.holds[rec.Connector] = &hold{id: r.ReservationID, user: r.Username, until: r.Until, life: r.Until.Sub(cmd.SentAt), since: t.a.w.now}
	case h.id != r.ReservationID:
		t.a.w.object("S11", "%s/%d holds reservation %s and accepts %s", t.a.id, rec.Connector, h.id, r.ReservationID)
	}
}

// received notes until when a command may take effect.
func (t *truth) received(v *delivery.Verdict) {
	if v.Kind == delivery.Run {
		t.deadline[v.Command.ID] = v.Deadline
	}
}

func (t *truth) died(*boot) { t.diedAt = t.a.w.now }

// broke notes that the account of the sessions of a charging point is not exact.
func (t *truth) broke(f charge.Fault) {
	inexact := []charge.Fault{charge.FaultMeter, charge.FaultContactorWelded, charge.FaultContactorStuck, charge.FaultSafetyInput}
	if slices.Contains(inexact, f) {
		t.meterLied = true
	}
}

// book adds what flowed while the contact was closed.
func (w *World) book(o *outlet, e charge.WattHours) { o.a.known.energy[o.owner] += e }

// forgotAll reports whether the charging point has forgotten all records of a
// hole, as it may what is acknowledged.
func (t *truth) forgotAll(h *ledger.Hole) bool {
	for _, k := range t.order[t.head:] {
		if k.j == h.Journal && h.First <= k.seq && (h.Last == 0 || k.seq <= h.Last) {
			return false
		}
	}
	return true
}
