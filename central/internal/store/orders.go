package store

import (
	"encoding/json"
	"fmt"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// fenceSetting is the name of the setting that holds the epoch of the Central
// that fenced this one.
const fenceSetting = "fenced_by"

// Orders writes each Save… effect as one row; the other effects are not for the
// database. If several effects have the same key, the last one is written.
// Reservations that ended are written first, because an index allows one active
// reservation per connector.
func (tx *Tx) Orders(effects []orders.Effect) error {
	t := &tx.w.tables
	for _, first := range []bool{true, false} {
		for _, e := range effects {
			r, ok := e.(orders.SaveReservation)
			if ended := ok && r.Reservation.EndedAt != 0; ended != first {
				continue
			}
			if err := tx.order(t, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// order writes one effect. An effect of a type that is not listed is an error: a
// new kind of state must not be lost in silence.
func (tx *Tx) order(t *tables, e orders.Effect) error {
	switch e := e.(type) {
	case orders.SaveReservation:
		r := &e.Reservation
		return wrap("write reservation", tx.exec(t.reservations.one, string(r.ID), string(r.CPID), int64(r.Connector),
			string(r.Username), string(r.Tariff), int64(r.MadeAt), int64(r.Until), int64(r.ConfirmedAt), int64(r.EndedAt),
			r.Reason, string(r.SessionID), r.Adopted, r.Released, r.Announced, r.MessageID))
	case orders.SaveDesired:
		w := &e.Desired
		return wrap("write desired state", tx.exec(t.desired.one, string(w.Kind), string(w.CPID), int64(w.Connector),
			string(w.SessionID), string(w.Username), string(w.ReservationID), string(w.Tariff), w.Available,
			int64(w.RequestedAt), int64(w.Until), int64(w.EndedAt), w.Outcome, int64(w.Limit.Energy), w.Limit.Amount))
	case orders.SaveCommand:
		return wrap("write command", tx.command(t, &e.Command))
	case orders.SaveRequest:
		return wrap("write request", tx.request(t, &e.Request))
	case orders.SaveCard:
		return wrap("write card", tx.card(t, &e.Card))
	case orders.SaveLocalList:
		return wrap("write local list", tx.localList(t, &e.List))
	case orders.SaveGroup:
		return wrap("write group", tx.group(t, &e.Group))
	case orders.SaveGroupMember:
		return wrap("write member of a group", tx.groupMember(t, &e.Member))
	case orders.SaveFence:
		return wrap("write fence", tx.Setting(fenceSetting, e.By.String()))
	case orders.SendCommand, orders.PublishEvent, orders.CountRefusal, orders.Reply:
		return nil
	default:
		return fmt.Errorf("no row for an effect of type %T", e)
	}
}

// wrap puts what failed in front of an error; nil stays nil.
func wrap(doing string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func (tx *Tx) command(t *tables, c *orders.Command) error {
	at := func(now bool) int64 {
		if now {
			return int64(c.ChangedAt)
		}
		return 0
	}
	return tx.exec(t.commands.one, string(c.ID), int64(c.N), c.Central.String(), string(c.Journal), string(c.CPID),
		int64(c.Connector), string(c.Type), notNil(c.Data), string(c.ReservationID), string(c.SessionID),
		int64(c.IssuedAt), int64(c.ExpiresAt), string(c.State), c.Reason, int64(c.ChangedAt), c.SendCount, int64(c.NextSendAt),
		c.MessageID, at(sentToKafka(c.State)), at(c.State == orders.Accepted || c.State == orders.Done), at(!c.State.Open()))
}

// sentToKafka reports whether a command in that state is known to be on Kafka. A
// command that is superseded or expired may have been sent before; then the time
// of its first sending is already stored.
func sentToKafka(s orders.CommandState) bool {
	return s == orders.Sent || s == orders.Accepted || s == orders.Done || s == orders.Failed || s == orders.Rejected
}

// notNil returns an empty slice for nil, which SQLite would store as NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (tx *Tx) request(t *tables, r *orders.Request) error {
	answer := ""
	if r.Answer != nil {
		raw, err := json.Marshal(r.Answer)
		if err != nil {
			return err
		}
		answer = string(raw)
	}
	return tx.exec(t.requests.one, r.MessageID, string(r.EventType), string(r.Username), r.ClientID, string(r.CPID),
		int64(r.ReadAt), int64(r.AnswerBy), list(r.Tried), int64(r.TriedAt), string(r.ReservationID), answer, r.Ignored)
}

// ForgetRequests deletes requests that were read before the moment and are over,
// with their answers, at most limit of them; more is true when there may be
// others. It must be called with a moment from which on Kafka holds all requests:
// one that is read again after its row was deleted would have a second effect.
func (tx *Tx) ForgetRequests(before charge.Time, limit int) (more bool, err error) {
	more, err = tx.deleteUpTo(limit, "DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE read_at<? "+
		"AND NOT (answer='' AND ignored=0) ORDER BY read_at LIMIT ?)", int64(before), limit)
	return more, wrap("forget requests", err)
}
