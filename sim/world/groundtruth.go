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

// groundTruth is what the simulation itself observed of one charging point: which
// bytes became durable, what these records state, and what the hardware did. The
// checks compare it with what the product believes.
type groundTruth struct {
	agent   *agent
	records map[recordKey]*writtenRecord
	// Keys of durable records, in the order of writing.
	order   []recordKey
	deleted int // the journal deleted order[:deleted]

	// storageLost is set once records may be missing for a reason that is no bug: the
	// disk was rolled back, replaced, unreadable or dropped syncs, or a backup of
	// Central's database was restored after the journal had deleted them. Checks of
	// completeness do not apply to this charging point any more.
	storageLost bool
	// meterInexact is set once the meter did not answer or the contact did not obey:
	// energy may then be on another ticket than the one of its session.
	meterInexact bool

	granted map[charge.SessionID]*grantedSession
	open    map[charge.ConnectorID]charge.SessionID // open sessions, by durable records
	held    map[charge.ConnectorID]*heldReservation // reservations, by durable records
	// Commands with a durable command_accepted.
	accepted map[charge.CommandID]bool
	// Uptime, of the boot that received the command.
	deadline map[charge.CommandID]time.Duration
	// That flowed; "" for closures without a session.
	energy        map[charge.SessionID]charge.WattHours
	diedAt        time.Duration                        // when the process last died
	violatedSince map[charge.ConnectorID]time.Duration // since when power flows against a rule
}

// writtenRecord is a record that was written, and perhaps became durable.
type writtenRecord struct {
	raw     []byte
	rec     wire.Record
	hash    string
	durable bool
	// Hashes of other bytes with the same key, of appends that failed.
	alternatives []string
}

// encodedRecord is a record that was passed to the journal.
type encodedRecord struct {
	rec wire.Record
	raw []byte
}

// grantedSession is a session whose grant is durable.
type grantedSession struct{ ended bool }

// heldReservation is a reservation whose acceptance is durable.
type heldReservation struct {
	id   charge.ReservationID
	user charge.Username
	life time.Duration // how long it may last from since on
	// When it was accepted, or the present boot began.
	since time.Duration
}

// init sets an empty ground truth of a charging point.
func (t *groundTruth) init(a *agent) {
	*t = groundTruth{
		agent: a, records: map[recordKey]*writtenRecord{}, granted: map[charge.SessionID]*grantedSession{}, open: map[charge.ConnectorID]charge.SessionID{},
		held: map[charge.ConnectorID]*heldReservation{}, accepted: map[charge.CommandID]bool{}, deadline: map[charge.CommandID]time.Duration{},
		energy: map[charge.SessionID]charge.WattHours{}, violatedSince: map[charge.ConnectorID]time.Duration{},
	}
}

// key returns the key of a record of this charging point.
func (t *groundTruth) key(rec *wire.Record) recordKey {
	return recordKey{journalKey{t.agent.id, rec.Journal}, rec.Seq}
}

// decode decodes records that were passed to the journal.
func (t *groundTruth) decode(list [][]byte) (out []encodedRecord) {
	for _, raw := range list {
		rec, err := wire.DecodeRecord(raw)
		if err != nil {
			t.agent.w.violated("S15", "%s writes a record that cannot be decoded: %v", t.agent.id, err)
			continue
		}
		out = append(out, encodedRecord{rec, raw})
	}
	return out
}

// appended notes records that are durable: Append returned without an error.
func (t *groundTruth) appended(b *boot, list [][]byte) {
	for _, n := range t.decode(list) {
		k, h := t.key(&n.rec), wire.Hash(n.raw)
		f := t.records[k]
		if f == nil {
			f = &writtenRecord{}
			t.records[k] = f
		}
		// A key is used for one record only, across crashes as well.
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

// appendUncertain notes records of an Append that failed or did not return. Any
// prefix of them may be on the medium, and may be found by the next boot.
func (t *groundTruth) appendUncertain(list [][]byte) {
	for _, n := range t.decode(list) {
		k, h := t.key(&n.rec), wire.Hash(n.raw)
		if f := t.records[k]; f == nil {
			t.records[k] = &writtenRecord{raw: n.raw, rec: n.rec, hash: h}
		} else if f.hash != h {
			f.alternatives = append(f.alternatives, h)
		}
	}
}

// recovered notes what a boot recovered. Open sessions and reservations are from
// now on those that the agent knows.
func (t *groundTruth) recovered(b *boot, found journal.Recovery, saved []connector.Saved) {
	// A boot begins with what it recovered, not with what the last one knew.
	clear(t.open)
	clear(t.held)
	for i := range saved {
		v := &saved[i]
		if id := v.Session.ID; id != "" {
			if t.granted[id] == nil {
				t.granted[id] = &grantedSession{}
			}
			t.open[v.Connector] = id
		}
		if r := v.Reservation; r.ID != "" {
			t.held[v.Connector] = &heldReservation{id: r.ID, user: r.Username, life: time.Duration(r.LeftMS) * time.Millisecond, since: t.agent.w.now}
		}
	}
	for _, raw := range t.survivors(b) {
		t.noteSurvivor(raw)
	}
	if t.agent.disk.failRead { // record 1 reports it as damaged, and the next boot may read it again
		t.storageLost = true
	}
	if len(found.Damaged) > 0 && !t.storageLost {
		d := found.Damaged[0]
		t.agent.w.violated("S6", "%s reports %d damaged ranges on a disk without faults: %s/%d to %d in %s, %s",
			t.agent.id, len(found.Damaged), d.Journal, d.First, d.Last, d.Segment, d.Reason)
	}
}

// survivors returns the records at the end of the journal that were written before
// a crash by an Append that never returned. It reads the disk without its faults,
// and changes nothing.
func (t *groundTruth) survivors(b *boot) [][]byte {
	var list [][]byte
	t.agent.disk.WithoutFaults(func() {
		// Backwards until a record that is known to be durable.
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
	})
	slices.Reverse(list)
	return list
}

// noteSurvivor notes that a record of an uncertain append turned out to be durable.
func (t *groundTruth) noteSurvivor(raw []byte) {
	rec, err := wire.DecodeRecord(raw)
	if err != nil {
		t.agent.w.violated("S7", "%s recovered a record that cannot be decoded: %v", t.agent.id, err)
		return
	}
	k, h := t.key(&rec), wire.Hash(raw)
	f := t.records[k]
	switch {
	case !f.matches(h):
		t.agent.w.violated("S7", "%s recovered record %s/%d with bytes that were never written", t.agent.id, k.j, k.seq)
	case !f.durable:
		f.raw, f.rec, f.hash, f.durable = raw, rec, h, true
		t.order = append(t.order, k)
	}
}

// observe applies what a durable record states, and checks it against the rest.
func (t *groundTruth) observe(b *boot, rec *wire.Record) {
	p, err := rec.Payload()
	if err != nil {
		t.agent.w.violated("S15", "%s writes a record that cannot be decoded: %v", t.agent.id, err)
		return
	}
	switch p := p.(type) {
	case *wire.Authorized:
		t.authorized(rec, p)
		t.agent.w.checkCard(b, rec, p)
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

// authorized notes a grant: S3, S11, S12.
func (t *groundTruth) authorized(rec *wire.Record, p *wire.Authorized) {
	w := t.agent.w
	// The record before has to end the other session.
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
	t.granted[rec.SessionID] = &grantedSession{}
	t.open[rec.Connector] = rec.SessionID
	w.stats.Sessions++
}

// stopped notes the end of a session: S3, S4.
func (t *groundTruth) stopped(rec *wire.Record, p *wire.ChargingStopped) {
	if g := t.granted[rec.SessionID]; g != nil {
		g.ended = true
	}
	if t.open[rec.Connector] != rec.SessionID && !t.storageLost {
		t.agent.w.violated("S3", "%s/%d: session %s ends and was not open", t.agent.id, rec.Connector, rec.SessionID)
	}
	delete(t.open, rec.Connector)
	if p.Register < p.Start {
		t.agent.w.violated("S4", "%s/%d: session %s has negative energy", t.agent.id, rec.Connector, rec.SessionID)
	}
}

// commandAccepted notes an executed command: S12. A command is late if it is
// accepted after its deadline plus the time to read the meter, or longer after
// its last publication than any queue on the way may keep it.
func (t *groundTruth) commandAccepted(b *boot, rec *wire.Record, p *wire.CommandAccepted) {
	w := t.agent.w
	cmd, err := wire.DecodeCommand(p.Command)
	if err != nil {
		w.violated("S12", "%s records a command that cannot be decoded: %v", t.agent.id, err)
		return
	}
	if _, twice := t.accepted[cmd.ID]; twice {
		w.violated("S12", "%s accepts command %s %s twice", t.agent.id, cmd.Type, cmd.ID)
	}
	t.accepted[cmd.ID] = true
	if cmd.Journal != b.cfg.Journal || cmd.CPID != t.agent.id {
		w.violated("S12", "%s accepts command %s %s of another boot or charging point", t.agent.id, cmd.Type, cmd.ID)
	}
	// A start waits for a reading of the meter before it is accepted.
	if by, known := t.deadline[cmd.ID]; known && time.Duration(rec.UptimeMS)*time.Millisecond > by+connector.ReadWithin+time.Second {
		w.violated("S12", "%s accepts command %s %s after its deadline", t.agent.id, cmd.Type, cmd.ID)
	}
	at := b.bootedAt + time.Duration(rec.UptimeMS)*time.Millisecond // when it was accepted: the record may have waited for space since
	// A command is published again while it is open, so the last publication counts.
	if sent, known := w.sentAt[cmd.ID]; known && w.clocksRight && at-sent > wire.MaxCommandLife+lineTimeout+3*time.Minute {
		w.violated("S12", "%s accepts command %s %s, which was published %s before", t.agent.id, cmd.Type, cmd.ID, at-sent)
	}
	if order, err := cmd.Order(); err == nil {
		if r, ok := order.(*wire.Reserve); ok {
			t.reserved(rec, &cmd, r)
		}
	}
}

// reserved notes a reservation: S11.
func (t *groundTruth) reserved(rec *wire.Record, cmd *wire.Command, r *wire.Reserve) {
	h := t.held[rec.Connector]
	switch {
	case h == nil:
		t.held[rec.Connector] = &heldReservation{id: r.ReservationID, user: r.Username, life: r.Until.Sub(cmd.SentAt), since: t.agent.w.now}
	case h.id != r.ReservationID:
		t.agent.w.violated("S11", "%s/%d holds reservation %s and accepts %s", t.agent.id, rec.Connector, h.id, r.ReservationID)
	}
}

// received notes the deadline of a command that is to be executed.
func (t *groundTruth) received(v *delivery.Verdict) {
	if v.Kind == delivery.Run {
		t.deadline[v.Command.ID] = v.Deadline
	}
}

// died notes that the process died.
func (t *groundTruth) died() { t.diedAt = t.agent.w.now }

// noteFault notes a hardware fault that makes the energy per session inexact.
func (t *groundTruth) noteFault(f charge.Fault) {
	inexact := []charge.Fault{charge.FaultMeter, charge.FaultContactorWelded, charge.FaultContactorStuck, charge.FaultSafetyInput}
	if slices.Contains(inexact, f) {
		t.meterInexact = true
	}
}

// addEnergy accounts the energy of one closure of the contact.
func (w *World) addEnergy(o *outlet, e charge.WattHours) { o.agent.truth.energy[o.closedFor] += e }

// deletedAll reports whether the journal deleted all records of a gap, as it may
// once they are acknowledged.
func (t *groundTruth) deletedAll(h *ledger.Gap) bool {
	for _, k := range t.order[t.deleted:] {
		if k.j == h.Journal && h.First <= k.seq && (h.Last == 0 || k.seq <= h.Last) {
			return false
		}
	}
	return true
}
