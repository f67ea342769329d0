package ingest

import (
	"fmt"
	"maps"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// condition is whether a part cannot do its work.
type condition struct {
	part   string
	down   bool
	since  charge.Time
	reason string // in words, without figures that change by themselves
}

func partAlarmID(part string) string { return string(alarmPart) + "." + part }

// conditionIn says that the condition of a part may have changed.
type conditionIn struct{ condition }

func (in conditionIn) apply(u *unit) {
	id := partAlarmID(in.part)
	open, raised := u.openAlarm(id)
	a := ledger.Alarm{ID: id, Kind: alarmPart, At: in.since, Detail: in.part + ": " + in.reason}
	switch {
	case in.down && (!raised || open.Detail != a.Detail):
		u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: a}})
	case !in.down && raised:
		open.Cleared = true
		u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: open}})
	}
}

// openAlarm finds an alarm that is not taken back.
func (u *unit) openAlarm(id string) (ledger.Alarm, bool) {
	if i, ok := u.changeIndex[rowKey{kind: 'a', id: id}]; ok {
		if c, ok := u.changes[i].(ledger.AlarmRaised); ok {
			return c.Alarm, !c.Alarm.Cleared
		}
	}
	return lookUp(u, func() (ledger.Alarm, bool, error) { return u.w.store.OpenAlarm(u.ctx, id) })
}

// reportParts tells the writer of each part whose condition changed since it was
// told last, at the beginning of all: one may have been raised by an earlier life.
func (w *Writer) reportParts(reported map[string]condition, now charge.Time) {
	for _, c := range w.live.conditions(now) {
		if before, known := reported[c.part]; !known || before.down != c.down || c.down && before.reason != c.reason {
			reported[c.part] = c
			w.enqueue(conditionIn{c})
		}
	}
}

// bridgeRun is one run of a bridge.
type bridgeRun struct {
	bridge  string
	started charge.Time
}

// bridgeIn is a sign of life of a bridge.
type bridgeIn struct {
	d KafkaRecord
	b wire.BridgeAlive
}

// apply raises the alarm for messages that a bridge made dead letters. Each of its
// runs counts from 0, and how many of a run are known is kept, so that none is
// told twice, however often a sign of life is read.
func (in bridgeIn) apply(u *unit) {
	u.markRead(in.d)
	n := in.b.DeadLetters
	run := bridgeRun{in.b.Bridge, in.b.StartedAt}
	if n == 0 || n <= u.w.bridgeDeadLetters[run] {
		return
	}
	known, ok := u.bridgeDeadLetters[run]
	if !ok {
		known, _ = lookUp(u, func() (int64, bool, error) {
			n, err := u.w.store.BridgeDead(u.ctx, run.bridge, run.started)
			return n, true, err
		})
	}
	if u.bridgeDeadLetters == nil {
		u.bridgeDeadLetters = map[bridgeRun]int64{}
	}
	u.bridgeDeadLetters[run] = max(n, known) // also what the database knew: it is not asked again
	if n <= known {
		return
	}
	u.newBridgeDeadLetters += n - known
	words := fmt.Sprintf("dead letters of bridge %s since its start: %d, kept in %s", run.bridge, n, u.w.cfg.Topics.DeadLetters)
	if in.b.DeadLetter != "" {
		words += "; the last: " + in.b.DeadLetter
	}
	u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: ledger.Alarm{
		ID: string(alarmDeadLetter) + ".bridge." + run.bridge, Kind: alarmDeadLetter, At: u.now, Detail: words,
	}}})
}

// rememberBridgeRuns notes what was committed about runs of bridges. Few are alive at
// a time; what is forgotten is looked up again.
func (w *Writer) rememberBridgeRuns(runs map[bridgeRun]int64) {
	if len(w.bridgeDeadLetters) > maxBridgeRuns {
		clear(w.bridgeDeadLetters)
	}
	maps.Copy(w.bridgeDeadLetters, runs)
}

const maxBridgeRuns = 64
