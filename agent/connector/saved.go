package connector

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Saved is what a new boot needs of a connector: the fold of its records. A
// checkpoint of the journal holds it as JSON, so fields are only ever added and
// their JSON names never change.
type Saved struct {
	Connector   charge.ConnectorID `json:"connector"`
	Unavailable bool               `json:"unavailable,omitempty"`
	Finishing   bool               `json:"finishing,omitempty"`
	Register    charge.WattHours   `json:"register_wh,omitempty"`
	Reservation SavedReservation   `json:"reservation,omitzero"`
	Session     SavedSession       `json:"session,omitzero"`
	Unfinished  []Unfinished       `json:"unfinished,omitempty"`
	Latched     []charge.Fault     `json:"latched,omitempty"`    // raised and not cleared, of those that latch
	Journal     charge.JournalID   `json:"journal,omitempty"`    // of the last record
	UptimeMS    int64              `json:"uptime_ms,omitempty"`  // of the last record
	RegisterAt  charge.Time        `json:"register_at,omitzero"` // when Register was recorded; zero when the clock was not set
	// Cards and Limits are of the charging point as a whole, in the entry with
	// Connector 0.
	Cards  cards.Saved  `json:"cards,omitzero"`
	Limits limits.Saved `json:"limits,omitempty"`
}

// SavedReservation is a reservation that is held. LeftMS is the time left by the
// monotonic clock, counted by elapse: it limits the reservation whatever the wall
// clock shows after a restart.
type SavedReservation struct {
	ID       charge.ReservationID `json:"reservation_id"`
	Username charge.Username      `json:"username"`
	Until    charge.Time          `json:"until"`
	Tariff   charge.TariffVersion `json:"tariff,omitempty"`
	LeftMS   int64                `json:"left_ms"`
}

// SavedSession is a session that is open.
type SavedSession struct {
	ID            charge.SessionID     `json:"session_id"`
	Username      charge.Username      `json:"username,omitempty"`
	Reservation   charge.ReservationID `json:"reservation_id,omitempty"`
	Tariff        charge.TariffVersion `json:"tariff,omitempty"`
	StartRegister charge.WattHours     `json:"register_start_wh"`
	Started       bool                 `json:"started,omitempty"`
	// Ending is why it was about to end; empty: it was not. Such a session is not
	// resumed after a restart.
	Ending charge.StopReason `json:"ending,omitempty"`
	Card   charge.TokenHash  `json:"token_hash,omitempty"`
	// Limits of the session; 0: none.
	Limit       charge.WattHours `json:"limit_wh,omitempty"`
	LimitAmount int64            `json:"limit_amount,omitempty"`
}

// noteEnding sets why the session, if there is one, is about to end; the first
// reason stays.
func (x *SavedSession) noteEnding(why charge.StopReason) {
	if x.ID != "" && x.Ending == "" {
		x.Ending = why
	}
}

// Unfinished is a command that was accepted and not finished.
type Unfinished struct {
	ID      charge.CommandID `json:"command_id"`
	Type    wire.CommandType `json:"command"`
	Session charge.SessionID `json:"session_id,omitempty"` // of a START or an AUTHORIZE
}

// Replay folds one record into v. A record of another connector changes only the
// time, and so does one that cannot be decoded. Folding the last record a second
// time changes nothing, so a checkpoint may contain it already.
func Replay(v Saved, rec wire.Record) Saved {
	v = v.elapse(rec)
	if rec.Connector != v.Connector && rec.Connector != 0 && v.Connector != 0 {
		return v
	}
	p, err := rec.Payload()
	if err != nil || p == nil {
		return v
	}
	if v.Connector == 0 {
		v.Cards, v.Limits = cards.Replay(v.Cards, &rec, p), limits.Replay(v.Limits, p)
		return v
	}
	switch p := p.(type) {
	case *wire.CommandAccepted:
		return v.accepted(rec, p)
	case *wire.CommandFinished:
		v.Unfinished = slices.DeleteFunc(slices.Clone(v.Unfinished), func(u Unfinished) bool { return u.ID == p.CommandID })
	case *wire.ReservationEnded:
		if p.ReservationID == v.Reservation.ID {
			v.Reservation = SavedReservation{}
		}
	case *wire.Authorized:
		if p.ReservationID == v.Reservation.ID {
			v.Reservation = SavedReservation{}
		}
		v.Session = SavedSession{
			ID: rec.SessionID, Username: p.Username, Reservation: p.ReservationID, Tariff: p.Tariff, StartRegister: p.Register,
			Card: p.TokenHash, Limit: p.Limit, LimitAmount: p.LimitAmount,
		}
		v.Finishing = false
		v.noteRegister(&rec, p.Register)
	case *wire.ChargingStarted:
		v.Session.Started = true
		v.noteRegister(&rec, p.Register)
	case *wire.MeterRead:
		v.noteRegister(&rec, p.Register)
	case *wire.Suspended:
		v.noteRegister(&rec, p.Register)
	case *wire.Resumed:
		v.noteRegister(&rec, p.Register)
	case *wire.ChargingStopped:
		v.Session, v.Finishing = SavedSession{}, true
		v.noteRegister(&rec, p.Register)
	case *wire.Unplugged:
		v.Finishing = false
		v.Session.noteEnding(charge.StopUnplugged)
	case *wire.FaultRaised:
		v.Session.noteEnding(p.Fault.StopReason())
		if p.Fault.Latches() && !slices.Contains(v.Latched, p.Fault) {
			v.Latched = append(slices.Clone(v.Latched), p.Fault)
		}
	case *wire.FaultCleared:
		v.Latched = slices.DeleteFunc(slices.Clone(v.Latched), func(f charge.Fault) bool { return f == p.Fault })
	default: // the rest comes from the hardware at boot
	}
	return v
}

// LatchedFaults are the faults that the safety rules had latched when the last boot
// ended.
func (v *Saved) LatchedFaults() (f charge.FaultSet) {
	for _, one := range v.Latched {
		f = f.With(one)
	}
	return f
}

// noteRegister sets the last register and when it was recorded. The register in
// cp_registered does not count: meterMismatch compares with the registers of the
// session, which decide whose meter it is.
func (v *Saved) noteRegister(rec *wire.Record, register charge.WattHours) {
	v.Register, v.RegisterAt = register, 0
	if rec.Clock != charge.ClockUnset {
		v.RegisterAt = rec.At
	}
}

// elapse subtracts the time since the record before from that of the reservation and
// of the limits.
//
// How long a boot lasted after its last record is not known, nor for how long there
// was no agent. With a synced clock a reservation does not depend on it; without one a
// boot counts at least BootCounts, so that no number of restarts keeps it for ever. A
// limit may only lower the current after a restart, and is not shortened.
func (v Saved) elapse(rec wire.Record) Saved {
	if rec.Journal != v.Journal {
		if v.Journal != "" && rec.Clock != charge.ClockSynced && v.Reservation.ID != "" {
			v.Reservation.LeftMS -= max(BootCounts.Milliseconds()-v.UptimeMS, 0)
		}
		v.Journal, v.UptimeMS = rec.Journal, 0
	}
	if d := rec.UptimeMS - v.UptimeMS; d > 0 {
		v.UptimeMS = rec.UptimeMS
		if v.Reservation.ID != "" {
			v.Reservation.LeftMS -= d
		}
		v.Limits = v.Limits.Elapse(charge.Milliseconds(d))
	}
	return v
}

// accepted folds an accepted command: it is unfinished until its result, and has
// the effect of its type.
func (v Saved) accepted(rec wire.Record, p *wire.CommandAccepted) Saved {
	cmd, err := wire.DecodeCommand(p.Command)
	if err != nil {
		return v
	}
	o, err := cmd.Order()
	if err != nil || o == nil {
		return v
	}
	u := Unfinished{ID: cmd.ID, Type: cmd.Type}
	switch o := o.(type) {
	case *wire.Reserve:
		if o.ReservationID != v.Reservation.ID {
			v.Reservation = SavedReservation{
				ID: o.ReservationID, Username: o.Username, Until: o.Until, Tariff: o.Tariff,
				LeftMS: reservedFor(o, cmd.SentAt).Milliseconds(),
			}
		}
	case *wire.Start:
		u.Session = o.SessionID
	case *wire.Authorize:
		u.Session = o.SessionID
	case *wire.Stop:
		if o.SessionID == v.Session.ID {
			v.Session.noteEnding(cmp.Or(o.Reason, charge.StopRemote))
		}
	case *wire.Unlock:
		v.Session.noteEnding(charge.StopRemote)
	case *wire.SetAvailability:
		v.Unavailable = !o.Available
		if !o.Available {
			v.Session.noteEnding(charge.StopRemote)
		}
	default:
	}
	known := slices.ContainsFunc(v.Unfinished, func(k Unfinished) bool { return k.ID == u.ID })
	if rec.Connector == v.Connector && !known {
		v.Unfinished = append(slices.Clone(v.Unfinished), u)
	}
	return v
}

// Checkpoint encodes the saved state of all connectors.
func Checkpoint(all []Saved) ([]byte, error) { return json.Marshal(all) }

// ReadCheckpoint decodes what Checkpoint encoded.
func ReadCheckpoint(raw []byte) ([]Saved, error) {
	var all []Saved
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	return all, nil
}

// Restore folds the last checkpoint and the records after it into the saved
// state of n connectors, and behind them that of the charging point as a whole
// (Connector 0). An empty checkpoint is none. If the number of connectors has
// changed, those in common keep their state.
func Restore(checkpoint []byte, since [][]byte, n int) ([]Saved, error) {
	saved := make([]Saved, n+1)
	for i := range n {
		saved[i].Connector = charge.ConnectorID(i + 1)
	}
	if len(checkpoint) > 0 {
		all, err := ReadCheckpoint(checkpoint)
		if err != nil {
			return nil, err
		}
		for _, v := range all { // one of an earlier version has no Connector 0
			switch {
			case v.Connector == 0:
				saved[n] = v
			case int(v.Connector) <= n:
				saved[v.Connector-1] = v
			}
		}
	}
	for _, raw := range since {
		rec, err := wire.DecodeRecord(raw)
		if err != nil {
			return nil, err
		}
		for i := range saved {
			saved[i] = Replay(saved[i], rec)
		}
	}
	return saved, nil
}
