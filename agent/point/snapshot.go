package point

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/class"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Snapshot is a charging point at one moment, between two steps, as plain data: the
// flight recorder writes it as JSON, and Resume goes on from it. It shares nothing
// that changes with the state.
type Snapshot struct {
	Config     Config
	Connectors []connector.State
	Cards      cards.State
	Limits     limits.State
	Limited    []charge.Limit
	Measured   []charge.Limit
	Registered bool
	Disk       DiskSnapshot

	Held     delivery.Held
	Position delivery.Position
	Delivery delivery.State
	Commands delivery.CommandsSnapshot

	Conn                     uint64
	Presence                 delivery.PresenceSchedule
	PresenceAt               time.Duration
	Described                bool
	TelemetryAt              time.Duration
	BadMessages              uint64
	Stopping, Ended, Drained bool
	Timer                    time.Duration
}

// DiskSnapshot is what waits for the disk and what is known of it; see disk.
type DiskSnapshot struct {
	Saved            []connector.Saved
	Waiting          []JobSnapshot
	Batch            int
	Position         *SavePosition
	Busy, Failed     bool
	LacksSpace       bool
	Tried            class.Class
	RetryAt          time.Duration
	Blocked, Full    bool
	Permille         int64
	Written, Dropped int64
}

// JobSnapshot is records that become durable together.
type JobSnapshot struct {
	Connector charge.ConnectorID
	Token     connector.Token
	Records   []RecordSnapshot
	Now       connector.Now
}

// Snapshot returns the state as plain data.
func (s *State) Snapshot() Snapshot {
	d := &s.disk
	v := Snapshot{
		Config: s.cfg, Connectors: slices.Clone(s.connectors), Cards: s.cards, Limits: s.limits, Registered: s.registered,
		Held: s.held, Position: s.position, Delivery: s.delivery, Commands: s.commands.Snapshot(),
		Conn: s.conn, Presence: s.presence, PresenceAt: s.presenceAt, Described: s.described, TelemetryAt: s.telemetryAt,
		BadMessages: s.badMessages, Stopping: s.stopping, Ended: s.ended, Drained: s.drained, Timer: s.timer,
		Disk: DiskSnapshot{
			Saved: d.saved, Batch: d.batch, Position: d.position, Busy: d.busy, Failed: d.failed, LacksSpace: d.lacksSpace,
			Tried: d.tried, RetryAt: d.retryAt, Blocked: d.blocked, Full: d.full, Permille: d.permille,
			Written: d.written, Dropped: d.dropped,
		},
	}
	v.Limits.Commands = slices.Clone(s.limits.Commands)
	v.Limited, v.Measured = slices.Clone(s.limited), slices.Clone(s.measured)
	v.Cards.Waiting = slices.Clone(s.cards.Waiting)
	v.Delivery.RolledBack = slices.Clone(s.delivery.RolledBack)
	for _, j := range d.waiting {
		o := JobSnapshot{Connector: j.connector, Token: j.token, Now: j.now}
		for _, r := range j.records {
			o.Records = append(o.Records, RecordSnapshot(r))
		}
		v.Disk.Waiting = append(v.Disk.Waiting, o)
	}
	return v
}

// Resume returns the state of a snapshot. Bugs that are planted are not in it.
func Resume(v Snapshot) *State {
	d := &v.Disk
	s := &State{
		cfg: v.Config, connectors: v.Connectors, cards: v.Cards, registered: v.Registered,
		limits: v.Limits, limited: v.Limited, measured: v.Measured,
		held: v.Held, position: v.Position, delivery: v.Delivery,
		commands: delivery.RestoreCommands(v.Config.CP, v.Config.Journal, v.Commands),
		conn:     v.Conn, presence: v.Presence, presenceAt: v.PresenceAt, described: v.Described, telemetryAt: v.TelemetryAt,
		badMessages: v.BadMessages, stopping: v.Stopping, ended: v.Ended, drained: v.Drained, timer: v.Timer,
		disk: disk{
			saved: d.Saved, batch: d.Batch, position: d.Position, busy: d.Busy, failed: d.Failed, lacksSpace: d.LacksSpace,
			tried: d.Tried, retryAt: d.RetryAt, blocked: d.Blocked, full: d.Full, permille: d.Permille,
			written: d.Written, dropped: d.Dropped,
		},
	}
	for _, j := range d.Waiting {
		w := job{connector: j.Connector, token: j.Token, now: j.Now}
		for _, r := range j.Records {
			w.records = append(w.records, connector.Record(r))
		}
		s.disk.waiting = append(s.disk.waiting, w)
	}
	return s
}

// Fold completes an Appended of which only Held is known: the records of the batch
// under way give what the checkpoint holds after them. It is for a replay, which has
// no journal.
func (s *State) Fold(e Appended) (Appended, error) {
	b := s.underWay()
	for i := range b.Records {
		// Neither the number nor the hash is part of what is saved.
		if _, err := b.Encode(i, 2, ""); err != nil {
			return e, fmt.Errorf("fold the batch under way: %w", err)
		}
	}
	e.Saved = b.saved
	return e, nil
}

// RecordSnapshot is a record of a connector; its JSON has the type of the payload.
type RecordSnapshot connector.Record

// recordJSON is the JSON of a RecordSnapshot.
type recordJSON struct {
	Session charge.SessionID
	Type    wire.RecordType
	Payload json.RawMessage
}

// MarshalJSON implements json.Marshaler.
func (r RecordSnapshot) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(r.Payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(recordJSON{r.Session, r.Payload.RecordType(), data})
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *RecordSnapshot) UnmarshalJSON(raw []byte) error {
	var v recordJSON
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	m := wire.Record{Type: v.Type, Data: v.Payload}
	p, err := m.Payload()
	if err == nil && p == nil {
		err = fmt.Errorf("record type %q is not known to this version", v.Type)
	}
	r.Session, r.Payload = v.Session, p
	return err
}
