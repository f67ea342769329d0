package ingest

import (
	"cmp"
	"maps"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// condition is whether a part of the network (see Part) does its work. Its
// alarm is raised and cleared by Central itself, without an operator.
type condition struct {
	part  string
	down  bool
	since charge.Time
	why   reason.Reason
}

func partAlarmID(part string) string { return string(view.AlarmPart) + "." + part }

// conditionIn is a condition that may have changed since it was reported last.
type conditionIn struct{ condition }

func (in conditionIn) apply(u *unit) {
	id := partAlarmID(in.part)
	open, raised := u.openAlarm(id)
	why := in.why
	why.Part = in.part
	a := ledger.Alarm{ID: id, Kind: view.AlarmPart, At: in.since, Detail: why.String(), Why: why}
	switch {
	case in.down && (!raised || open.Why != a.Why):
		u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: a}})
	case !in.down && raised:
		open.Cleared = true
		u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: open}})
	}
}

// openAlarm finds an alarm that is raised and not cleared.
func (u *unit) openAlarm(id string) (ledger.Alarm, bool) {
	if i, ok := u.changeIndex[rowKey{kind: alarmRow, id: id}]; ok {
		if c, ok := u.changes[i].(ledger.AlarmRaised); ok {
			return c.Alarm, !c.Alarm.Cleared
		}
	}
	return lookUp(u, func() (ledger.Alarm, bool, error) { return u.w.store.OpenAlarm(u.ctx, id) })
}

// reportParts enqueues each part whose condition differs from reported, which
// it updates. At the start reported is empty, so each part is enqueued: its
// alarm may be open since an earlier run.
func (w *Writer) reportParts(reported map[string]condition, now charge.Time) {
	for _, c := range w.live.conditions(now) {
		if before, known := reported[c.part]; !known || before.down != c.down || c.down && before.why != c.why {
			reported[c.part] = c
			w.enqueue(conditionIn{c})
		}
	}
}

// bridgeRun is one run of one bridge, between its start and its end.
type bridgeRun struct {
	bridge  string
	started charge.Time
}

// bridgeIn is the heartbeat of a bridge.
type bridgeIn struct {
	d KafkaRecord
	b wire.BridgeAlive
}

// apply raises an alarm for new dead letters of a bridge. The heartbeat has the
// number of dead letters since the start of that run. The highest number seen
// of each run is stored, so a heartbeat that is read again counts nothing
// twice.
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
	u.bridgeDeadLetters[run] = max(n, known) // also if nothing is new, so that the database is not read again
	if n <= known {
		return
	}
	u.newBridgeDeadLetters += n - known
	why := reason.Reason{Code: reason.BridgeDeadLetters, Other: run.bridge, Count: n, Topic: u.w.cfg.Topics.DeadLetters, Detail: in.b.DeadLetter}
	if last := in.b.DeadLetterWhy; last.Known() {
		why = why.Because(last)
		origin, _, _ := strings.Cut(in.b.DeadLetter, ": ")
		why.Detail = cmp.Or(why.Detail, origin)
	}
	u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: ledger.Alarm{
		ID: string(view.AlarmDeadLetter) + ".bridge." + run.bridge, Kind: view.AlarmDeadLetter, At: u.now, Detail: why.String(), Why: why,
	}}})
}

// rememberBridgeRuns caches the committed numbers of dead letters. Few runs are
// alive at a time, and a run that is not cached is read from the database.
func (w *Writer) rememberBridgeRuns(runs map[bridgeRun]int64) {
	if len(w.bridgeDeadLetters) > maxBridgeRuns {
		clear(w.bridgeDeadLetters)
	}
	maps.Copy(w.bridgeDeadLetters, runs)
}

// maxBridgeRuns bounds the cache, which is emptied beyond it.
const maxBridgeRuns = 64
