package ingest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// unit collects one transaction: its rows, each once, and what to publish after
// the commit. Look-ups find the rows of the unit before those of the database.
type unit struct {
	w   *Writer
	ctx context.Context //nolint:containedctx // lives only as long as the step that makes the unit
	now charge.Time
	env ledger.Env
	// cp is the charging point whose record is being applied; the look-ups that
	// env has for package ledger are about it.
	cp charge.CPID
	// err is the first error of a look-up. If it is not nil, nothing of the
	// unit may be committed.
	err error

	// changes are rows of the ledger, effects rows of orders. Each has an index
	// by the row's key, so that a later version of a row replaces the earlier
	// one.
	changes      []ledger.Change
	changeIndex  map[rowKey]int
	effects      []orders.Effect
	effectIndex  map[rowKey]int
	records      []storedRecord
	links        map[recordKey]chainLink // hash and previous hash of records of this unit
	tickets      []ledger.Ticket         // of changes, for billed
	forked       []storedRecord
	deadLetters  []deadLetterIn
	replays      []replayed
	settings     map[charge.CPID]view.CPSettings
	tariffs      []ledger.Tariff           // new versions
	offsets      map[partitionKey]offsetIn // the last record read of each partition
	counts       map[string]int64
	outboxSent   []int64               // rows of the outbox to delete
	savedReplies map[string]savedReply // by idempotency key
	entries      []access.Entry        // of the audit log
	// bridgeDeadLetters is how many dead letters of each run of a bridge are
	// known now, newBridgeDeadLetters how many of them were not known before.
	bridgeDeadLetters    map[bridgeRun]int64
	newBridgeDeadLetters int64

	retentionNow  charge.Time // see Writer.advanceRetention
	answersBefore charge.Time // delete answers to drivers from before, and old replies; 0: delete none
	pruneBefore   charge.Time // delete raw records, commands and dead letters from before; 0: delete none
	cleanupMore   bool        // set by write: there are more rows to delete

	acks           []pendingAck
	commands       []wire.Command
	centralEvents  []wire.CentralEvent
	sendReplies    []func()      // to operators
	operatorReply  *orders.Reply // receives the orders.Reply of the operator's request being executed
	facts          []view.Fact
	booksChanged   bool                     // a gap or an alarm changed
	fenceEvaluated bool                     // package orders decided whether this Central is fenced
	changed        map[charge.CPID]struct{} // charging points changed in memory; "": all, by a desired state of the network
}

// rowKind is the table of a row.
type rowKind uint8

const (
	appendedRow rowKind = iota // has no key: each change adds a row
	pointRow
	journalRow
	connectorRow
	meterRow
	sessionRow
	publishedRow
	gapRow
	alarmRow
	reservationRow
	desiredRow
	commandRow
	requestRow
	cardRow
	listRow
	groupRow
	memberRow
	fenceRow
)

// rowKey identifies a row among the rows of a unit: the table and, in the other
// fields, its primary key.
type rowKey struct {
	kind      rowKind
	cp, id    string // cp is the username of a request
	connector charge.ConnectorID
}

type recordKey struct {
	cp  charge.CPID
	j   charge.JournalID
	seq charge.Seq
}

// chainLink is the place of a record in the hash chain of its journal.
type chainLink struct{ hash, prev string }

type partitionKey struct {
	topic     string
	partition int
}

// storedRecord is a record to be stored with its bytes.
type storedRecord struct {
	in   ledger.Input
	hash string
	at   charge.Time
}

// pendingAck is a journal to be acknowledged to its charging point.
type pendingAck struct {
	cp      charge.CPID
	journal charge.JournalID
}

// newUnit returns an empty unit. Its clock stands still: every row of the
// transaction has the same time.
func (w *Writer) newUnit(ctx context.Context) *unit {
	u := &unit{
		w: w, ctx: ctx, now: w.now(),
		changeIndex: map[rowKey]int{}, effectIndex: map[rowKey]int{}, links: map[recordKey]chainLink{},
		offsets: map[partitionKey]offsetIn{}, counts: map[string]int64{}, settings: map[charge.CPID]view.CPSettings{}, changed: map[charge.CPID]struct{}{},
	}
	u.env = ledger.Env{
		Now: u.now, Central: w.self, Active: w.live.Active(), Default: w.tariffs.Present(u.now, w.cfg.Default), AdmitNew: w.cfg.Admit,
		Journal: u.journal, KeepJournals: keepJournals, JournalEnding: u.journalEnding,
		LogRead: func() bool { return w.logReads.Covers(u.cp) },
		Session: u.Session, Ticket: u.ticket, Published: u.published, HashOf: u.hashOf, PrevOf: u.prevOf, Billed: u.billed,
		Tariff: w.tariffs.Find, TariffAt: w.tariffs.At,
	}
	return u
}

// moment returns the time and the source of ids for an event of orders.
func (u *unit) moment() orders.Now {
	return orders.Now{At: u.now, IDs: u.w.cfg.IDs, Tariff: u.env.Default.Version}
}

// markRead moves the offset of a partition behind a record. A unit has records
// of a partition in the order of their offsets, so the last one counts.
func (u *unit) markRead(d KafkaRecord) {
	k := partitionKey{d.Topic, d.Partition}
	u.offsets[k] = offsetIn{d}
}

// touchPoint returns a charging point to be changed, a new one if it is
// unknown.
func (u *unit) touchPoint(id charge.CPID) *ledger.CP {
	cp := u.w.cps[id]
	if cp == nil {
		cp = ledger.NewCP(id)
		u.w.cps[id] = cp
	}
	u.changed[id] = struct{}{}
	u.cp = id
	return cp
}

// applyRecord applies a journal record to its charging point, and then to
// orders, for which the outcome can fulfil a desired state. Every record is
// acknowledged, duplicates too: an agent repeats a record only if it missed the
// acknowledgement.
func (u *unit) applyRecord(in recordIn) {
	u.markRead(in.d)
	r := &in.in.Record
	cp := u.touchPoint(r.CPID)
	out, changes := ledger.Apply(cp, &u.env, in.in)
	switch out.Verdict {
	case ledger.Applied:
		u.counts[countApplied]++
		u.records = append(u.records, storedRecord{in.in, out.Hash, in.d.ReceivedAt})
		u.links[recordKey{r.CPID, r.Journal, r.Seq}] = chainLink{out.Hash, r.Prev}
	case ledger.Duplicate:
		u.counts[countDuplicates]++
	case ledger.OutOfOrder:
		u.counts[countOutOfOrder]++
	case ledger.Mismatched:
		u.counts[countMismatched]++
	case ledger.Forked:
		u.counts[countForked]++
		u.forked = append(u.forked, storedRecord{in.in, out.Hash, in.d.ReceivedAt})
	}
	u.w.logReads.RecordRead(r.CPID, &out, in.d.Partition, in.d.Offset)
	if out.AwaitsLog {
		u.w.logReads.request(r.CPID)
	}
	if out.Unusable != nil {
		u.counts[countUnusable]++
	}
	u.addChanges(changes)
	u.acks = append(u.acks, pendingAck{r.CPID, r.Journal})
	u.recordFacts(r, &out, changes)
	u.stepOrders(orders.RecordReceived{Now: u.moment(), CPID: r.CPID, Record: *r, Outcome: out, Changes: changes})
}

// applyPresence applies a presence. It names the agent's position, which is
// acknowledged, so that an agent learns after each connect where to continue.
func (u *unit) applyPresence(in presenceIn) {
	u.markRead(in.d)
	cp := u.touchPoint(in.cp)
	first := cp.First
	out, changes := ledger.ApplyPresence(cp, &u.env, in.p)
	if cp.First != first { // it deleted records since the presence before
		u.w.logReads.PresenceApplied(in.cp)
	}
	u.addChanges(changes)
	if in.p.Next != nil {
		u.acks = append(u.acks, pendingAck{in.cp, in.p.Next.Journal})
	}
	u.stepOrders(orders.PresenceReceived{Now: u.moment(), CPID: in.cp, NewBoot: out.NewBoot, Changes: changes})
}

// applyDriver passes a driver's message to orders, with the answer it had
// before, if any.
func (u *unit) applyDriver(in driverIn) {
	crashpoint.At(crashpoint.Requested)
	u.markRead(in.d)
	u.counts[CountRequests]++
	e := orders.DriverRequestReceived{Now: u.moment(), Request: in.req, InvalidReason: in.invalid, NameError: in.badName, LoggedAt: in.d.ReceivedAt, LoggedAfter: in.d.NotBefore}
	if q, ok := u.request(orders.RequestKey{Username: in.req.Username, MessageID: in.req.MessageID}); ok && q.Finished() {
		e.Previous = &q
	}
	u.stepOrders(e)
}

// addDeadLetter stores a record that cannot be used, with its bytes, and raises
// an alarm if it is an event of a charging point: its journal stops there.
func (u *unit) addDeadLetter(d KafkaRecord, cause reason.Reason) {
	u.markRead(d)
	u.deadLetters = append(u.deadLetters, deadLetterIn{d, cause})
	if d.Topic != u.w.cfg.Topics.Events {
		return
	}
	if cp := charge.CPID(d.Key); cp.Valid() {
		why := reason.Reason{Code: reason.MessageUnusable, Topic: d.Topic, Other: fmt.Sprintf("%d/%d", d.Partition, d.Offset)}.Because(cause)
		u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: ledger.Alarm{
			ID: "dead_letter." + d.Key, Kind: view.AlarmDeadLetter, CPID: cp, At: u.now, Detail: why.String(), Why: why,
		}}})
	}
}

// addChanges adds changes of the ledger as rows; a later change of the same row
// replaces the earlier one.
func (u *unit) addChanges(changes []ledger.Change) {
	for _, c := range changes {
		if f, ok := c.(ledger.BootDeleted); ok {
			u.forgetBoot(f)
		}
		if a, ok := c.(ledger.AlarmRaised); ok {
			if c, ok = u.alarmChange(a); !ok {
				continue
			}
		}
		k := keyOfChange(c)
		u.booksChanged = u.booksChanged || k.kind == gapRow || k.kind == alarmRow
		if t, ok := c.(ledger.TicketMade); ok {
			u.tickets = append(u.tickets, t.Ticket)
		}
		if i, ok := u.changeIndex[k]; ok && k.kind != appendedRow {
			u.changes[i] = c
		} else {
			u.changeIndex[k] = len(u.changes)
			u.changes = append(u.changes, c)
		}
		u.changeFacts(c)
	}
}

// forgetBoot drops the rows of a boot that is deleted. Otherwise a row of that
// boot, if it comes back within the unit, would replace one before the
// deletion.
func (u *unit) forgetBoot(f ledger.BootDeleted) {
	if len(u.changes) == 0 {
		return
	}
	u.changes = slices.DeleteFunc(u.changes, func(c ledger.Change) bool {
		k, ok := c.(ledger.ConnectorChanged)
		return ok && k.CPID == f.CPID && k.Connector.Journal == f.Journal
	})
	clear(u.changeIndex)
	for i, c := range u.changes {
		u.changeIndex[keyOfChange(c)] = i
	}
}

// keyOfChange returns the key of a change's row.
func keyOfChange(c ledger.Change) rowKey {
	switch c := c.(type) {
	case ledger.PointChanged:
		return rowKey{kind: pointRow, cp: string(c.Point.ID)}
	case ledger.JournalChanged:
		return rowKey{kind: journalRow, cp: string(c.CPID), id: string(c.Journal.ID)}
	case ledger.ConnectorChanged:
		return rowKey{kind: connectorRow, cp: string(c.CPID), id: string(c.Connector.Journal), connector: c.Connector.ID}
	case ledger.MeterChanged:
		return rowKey{kind: meterRow, cp: string(c.CPID), connector: c.Meter.Connector}
	case ledger.SessionChanged:
		return rowKey{kind: sessionRow, id: string(c.Session.ID)}
	case ledger.TicketPublished:
		return rowKey{kind: publishedRow, id: c.Ticket.ID}
	case ledger.GapChanged:
		return rowKey{kind: gapRow, id: c.Gap.ID}
	case ledger.AlarmRaised:
		return rowKey{kind: alarmRow, id: c.Alarm.ID}
	case ledger.TicketMade, ledger.BootDeleted:
	}
	return rowKey{kind: appendedRow}
}

// stepOrders passes an event to orders and collects the effects: rows, commands
// and events for drivers.
func (u *unit) stepOrders(e orders.Event) {
	for _, f := range orders.Step(u.w.orders, u, e) {
		switch f := f.(type) {
		case orders.SendCommand:
			u.commands = append(u.commands, f.Command)
			continue
		case orders.PublishEvent:
			u.centralEvents = append(u.centralEvents, f.Event)
			continue
		case orders.CountRefusal:
			u.counts[CountRefused+f.Reason]++
			continue
		case orders.Reply:
			if u.operatorReply != nil {
				*u.operatorReply = f
			}
		case orders.SaveReservation:
			u.changed[f.Reservation.CPID] = struct{}{}
			u.saveEffect(rowKey{kind: reservationRow, id: string(f.Reservation.ID)}, f)
		case orders.SaveDesired:
			u.changed[f.Desired.CPID] = struct{}{}
			u.saveEffect(rowKey{kind: desiredRow, cp: string(f.Desired.CPID), id: string(f.Desired.Kind) + string(f.Desired.SessionID), connector: f.Desired.Connector}, f)
		case orders.SaveCommand:
			u.saveEffect(rowKey{kind: commandRow, id: string(f.Command.ID)}, f)
		case orders.SaveRequest:
			u.saveEffect(rowKey{kind: requestRow, cp: string(f.Request.Username), id: f.Request.MessageID}, f)
		case orders.SaveCard:
			u.saveEffect(rowKey{kind: cardRow, id: string(f.Card.ID)}, f)
		case orders.SaveLocalList:
			u.saveEffect(rowKey{kind: listRow, cp: string(f.List.CPID)}, f)
		case orders.SaveGroup:
			u.saveEffect(rowKey{kind: groupRow, id: string(f.Group.ID)}, f)
		case orders.SaveGroupMember:
			u.saveEffect(rowKey{kind: memberRow, cp: string(f.Member.CPID), connector: f.Member.Connector}, f)
		case orders.SaveFence:
			u.fenceEvaluated = true
			u.saveEffect(rowKey{kind: fenceRow}, f)
		}
	}
}

// saveEffect adds an effect of orders as a row; a later effect of the same row
// replaces the earlier one.
func (u *unit) saveEffect(k rowKey, e orders.Effect) {
	if i, ok := u.effectIndex[k]; ok {
		u.effects[i] = e
	} else {
		u.effectIndex[k] = len(u.effects)
		u.effects = append(u.effects, e)
	}
	u.effectFacts(e)
}

// empty reports whether the unit has nothing to write.
func (u *unit) empty() bool {
	return len(u.changes)+len(u.effects)+len(u.records)+len(u.forked)+len(u.deadLetters)+len(u.replays)+len(u.settings)+len(u.tariffs)+len(u.offsets)+len(u.counts)+
		len(u.outboxSent)+len(u.centralEvents)+len(u.savedReplies)+len(u.entries)+len(u.bridgeDeadLetters) == 0 && u.answersBefore == 0
}

// write adds all rows to a transaction. All errors are joined: the first one
// fails the transaction. It also sets the counters of new dead letters, and
// cleanupMore.
func (u *unit) write(tx Tx) error {
	errs := []error{tx.Ledger(u.changes)}
	for i := range u.records {
		r := &u.records[i]
		errs = append(errs, tx.Record(r.in, r.hash, r.at))
	}
	for i := range u.forked {
		r := &u.forked[i]
		errs = append(errs, tx.Forked(r.in, r.hash, r.at))
	}
	errs = append(errs, tx.Orders(u.effects))
	if len(u.effects) > 0 {
		crashpoint.At(crashpoint.Ordering)
	}
	for key, g := range u.savedReplies {
		errs = append(errs, writeReply(tx, key, &g, u.now))
	}
	for i := range u.entries {
		errs = append(errs, tx.Entry(u.entries[i]))
	}
	for run, n := range u.bridgeDeadLetters {
		errs = append(errs, tx.BridgeDead(run.bridge, run.started, n, u.now))
	}
	u.counts[countDeadLetters], u.counts[countBridgeDeadLetters] = 0, u.newBridgeDeadLetters
	for _, d := range u.deadLetters {
		fresh, err := u.writeDeadLetter(tx, d)
		if errs = append(errs, err); fresh {
			u.counts[countDeadLetters]++
		}
	}
	errs = append(errs, u.writeReplays(tx)...)
	for _, s := range u.settings {
		errs = append(errs, tx.CPSettings(s))
	}
	for i := range u.tariffs {
		errs = append(errs, tx.Tariff(u.tariffs[i], u.now))
	}
	for i := range u.centralEvents {
		errs = append(errs, u.writeCentralEvent(tx, &u.centralEvents[i]))
	}
	if len(u.outboxSent) > 0 {
		errs = append(errs, tx.OutboxSent(u.outboxSent))
	}
	if u.answersBefore > 0 {
		requests, err1 := tx.ForgetRequests(u.answersBefore, maxBatch)
		replies, err2 := tx.ForgetReplies(u.retentionNow.Add(-keepReplies), u.now, maxBatch)
		u.cleanupMore = requests || replies
		errs = append(errs, err1, err2, tx.Aged(u.retentionNow))
	}
	if u.pruneBefore > 0 {
		more, err := tx.Prune(u.pruneBefore, maxBatch)
		u.cleanupMore = u.cleanupMore || more
		errs = append(errs, err)
	}
	for k, p := range u.offsets {
		errs = append(errs, tx.Offset(k.topic, k.partition, p.d.Offset+1, p.d.CRC))
	}
	for name, n := range u.counts {
		if n == 0 {
			continue
		}
		errs = append(errs, tx.Count(name, n))
	}
	if len(u.records) > 0 {
		crashpoint.At(crashpoint.Applying)
	}
	return errors.Join(errs...)
}

// reportTo passes measurements of the committed unit to the hooks.
func (u *unit) reportTo(w *Hooks) {
	now := u.w.now()
	for i := range u.records {
		if r := &u.records[i].in.Record; r.Clock == charge.ClockSynced {
			w.RecordAge(now.Sub(r.At))
		}
	}
	for _, e := range u.effects {
		if s, ok := e.(orders.SaveCommand); ok && !s.Command.State.Open() { // its last row
			w.CommandEnded(s.Command.Type, s.Command.State)
		}
	}
}

// maxDeadLetter bounds the bytes copied to the topic of dead letters. Brokers
// are configured for messages of 68 KiB.
const maxDeadLetter = 64 << 10

// writeDeadLetter stores a dead letter and publishes it with its bytes and its
// origin. A dead letter that is stored already is not published again.
func (u *unit) writeDeadLetter(tx Tx, in deadLetterIn) (fresh bool, err error) {
	d := in.d
	letter := view.DeadLetter{
		Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Key: truncate(d.Key, 200), Kind: truncate(d.Kind, 200), Reason: truncate(in.why.String(), 500), Why: in.why, At: u.now,
		ReceivedAt: d.ReceivedAt, Size: len(d.Value),
	}
	value := d.Value
	if len(value) > maxDeadLetter || letter.Key != d.Key || letter.Kind != d.Kind {
		value = nil // it could not be published as it was
	}
	if fresh, err = tx.DeadLetter(letter, d.CRC, value); err != nil || !fresh {
		return fresh, err
	}
	return true, tx.Outbox(u.w.cfg.Topics.DeadLetters, truncate(d.Key, 200), map[string]string{
		wire.HeaderReason:     letter.Reason,
		wire.HeaderWhy:        wire.EncodeWhy(in.why),
		wire.HeaderTopic:      d.Topic,
		wire.HeaderOrigin:     fmt.Sprintf("%d/%d", d.Partition, d.Offset),
		wire.HeaderReceivedAt: d.ReceivedAt.String(),
	}, d.Value[:min(len(d.Value), maxDeadLetter)], u.now)
}

// truncate cuts a text to at most n bytes.
func truncate(s string, n int) string { return s[:min(len(s), n)] }

// writeCentralEvent adds an event for drivers to the outbox. One that cannot be
// encoded is the fault of an input.
func (u *unit) writeCentralEvent(tx Tx, e *wire.CentralEvent) error {
	raw, err := e.Encode()
	if err != nil {
		return inputError{fmt.Errorf("central event %s: %w", e.EventType, err)}
	}
	return tx.Outbox(u.w.cfg.Topics.Central, e.Key(), e.Headers(), raw, u.now)
}

// What follows is the view that orders has of the ledger and the database; it
// implements orders.View.

var _ orders.View = (*unit)(nil)

// CP implements orders.View.
func (u *unit) CP(id charge.CPID) *ledger.CP { return u.w.cps[id] }

// CPs implements orders.View.
func (u *unit) CPs() iter.Seq[*ledger.CP] { return maps.Values(u.w.cps) }

// Liveness implements orders.View.
func (u *unit) Liveness(id charge.CPID, now charge.Time) ledger.Liveness {
	link, since := u.w.live.liveness(id, now)
	return ledger.OrderLiveness(link, since, now)
}

// TariffOf implements orders.View.
func (u *unit) TariffOf(named charge.TariffVersion, grantedAt charge.Time) ledger.Tariff {
	return u.env.TariffOf(named, grantedAt)
}

// Running implements orders.View.
func (u *unit) Running(s *ledger.Session) ledger.Usage { return u.w.live.running(s) }

// Session implements orders.View.
func (u *unit) Session(id charge.SessionID) (ledger.Session, bool) {
	if i, ok := u.changeIndex[rowKey{kind: sessionRow, id: string(id)}]; ok {
		if c, ok := u.changes[i].(ledger.SessionChanged); ok {
			return c.Session, true
		}
	}
	return lookUp(u, func() (ledger.Session, bool, error) { return u.w.store.Session(u.ctx, id) })
}

// ticket finds a ticket of the unit or of the database. It is called only for
// settled sessions and published tickets, so a linear search of the unit is cheap
// enough.
func (u *unit) ticket(id string) (ledger.Ticket, bool) {
	for _, c := range u.changes {
		if made, ok := c.(ledger.TicketMade); ok && made.Ticket.ID == id {
			return made.Ticket, true
		}
	}
	return lookUp(u, func() (ledger.Ticket, bool, error) { return u.w.store.Ticket(u.ctx, id) })
}

// published finds a published ticket that the database lacks.
func (u *unit) published(id string) (ledger.Ticket, bool) {
	if i, ok := u.changeIndex[rowKey{kind: publishedRow, id: id}]; ok {
		if c, ok := u.changes[i].(ledger.TicketPublished); ok {
			return c.Ticket, true
		}
	}
	return lookUp(u, func() (ledger.Ticket, bool, error) { return u.w.store.PublishedTicket(u.ctx, id) })
}

// Reservation implements orders.View.
func (u *unit) Reservation(id charge.ReservationID) (orders.Reservation, bool) {
	if i, ok := u.effectIndex[rowKey{kind: reservationRow, id: string(id)}]; ok {
		if e, ok := u.effects[i].(orders.SaveReservation); ok {
			return e.Reservation, true
		}
	}
	return lookUp(u, func() (orders.Reservation, bool, error) { return u.w.store.Reservation(u.ctx, id) })
}

// Command implements orders.View.
func (u *unit) Command(id charge.CommandID) (orders.Command, bool) {
	if i, ok := u.effectIndex[rowKey{kind: commandRow, id: string(id)}]; ok {
		if e, ok := u.effects[i].(orders.SaveCommand); ok {
			return e.Command, true
		}
	}
	return lookUp(u, func() (orders.Command, bool, error) { return u.w.store.FindCommand(u.ctx, id) })
}

// The methods from here to prevOf are the look-ups of ledger.Env: first the
// rows of this unit, then the database.
func (u *unit) request(k orders.RequestKey) (orders.Request, bool) {
	if i, ok := u.effectIndex[rowKey{kind: requestRow, cp: string(k.Username), id: k.MessageID}]; ok {
		if e, ok := u.effects[i].(orders.SaveRequest); ok {
			return e.Request, true
		}
	}
	return lookUp(u, func() (orders.Request, bool, error) { return u.w.store.Request(u.ctx, k) })
}

func (u *unit) journal(id charge.JournalID) (ledger.Journal, bool) {
	if i, ok := u.changeIndex[rowKey{kind: journalRow, cp: string(u.cp), id: string(id)}]; ok {
		if c, ok := u.changes[i].(ledger.JournalChanged); ok {
			return c.Journal, true
		}
	}
	return lookUp(u, func() (ledger.Journal, bool, error) { return u.w.store.Journal(u.ctx, u.cp, id) })
}

func (u *unit) journalEnding(hash string) (charge.JournalID, bool) {
	for _, c := range u.changes {
		if c, ok := c.(ledger.JournalChanged); ok && c.CPID == u.cp && c.Journal.Hash == hash {
			return c.Journal.ID, true
		}
	}
	return lookUp(u, func() (charge.JournalID, bool, error) { return u.w.store.JournalEnding(u.ctx, u.cp, hash) })
}

func (u *unit) hashOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	if l, ok := u.links[recordKey{u.cp, j, seq}]; ok {
		return l.hash, true
	}
	return lookUp(u, func() (string, bool, error) { return u.w.store.HashOf(u.ctx, u.cp, j, seq) })
}

// billed finds a session of the charging point whose ticket has energy between
// two registers.
func (u *unit) billed(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool) {
	for i := range u.tickets {
		if t := &u.tickets[i]; t.CPID == u.cp && t.Connector == id && t.Stop > from && t.Start < to && t.Energy > 0 {
			return t.SessionID, true
		}
	}
	return lookUp(u, func() (charge.SessionID, bool, error) { return u.w.store.Billed(u.ctx, u.cp, id, from, to) })
}

func (u *unit) prevOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	if l, ok := u.links[recordKey{u.cp, j, seq}]; ok {
		return l.prev, true
	}
	return lookUp(u, func() (string, bool, error) { return u.w.store.PrevOf(u.ctx, u.cp, j, seq) })
}

// lookUp reads the database. An error does not mean "not found": it is kept in
// u.err and fails the unit.
func lookUp[T any](u *unit, read func() (T, bool, error)) (T, bool) {
	v, ok, err := read()
	if err != nil && u.err == nil {
		u.err = err
	}
	return v, ok && err == nil
}
