package ingest

import (
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
)

// ClearAlarm ends an alarm about something that is over, with an operator's note.
// If it happens again, the alarm opens again.
type ClearAlarm struct {
	Alarm int64 // number of the alarm
	Note  string
}

func (ClearAlarm) op() {}

// lasts returns how an alarm ends whose condition is still so, for people; "" of one
// that an operator clears.
func lasts(k ledger.AlarmKind) string {
	switch view.EndOf(k) {
	case view.EndExplain:
		return "explain its gap: POST /api/v1/gaps/{id}/explain"
	case view.EndRelease:
		return "release its charging point: POST /api/v1/cps/{cp}/release"
	case view.EndSettle:
		return "settle its session: POST /api/v1/sessions/{id}/settle"
	case view.EndItself:
		return "it ends when the part does its work again"
	case view.EndRepair:
		return "stop Central and run bin/central verify"
	case view.EndClear:
	}
	return ""
}

// clearAlarm clears an open alarm of a kind that reports what is over.
func (u *unit) clearAlarm(n int64, note string) *refusal {
	id, ok := lookUp(u, func() (string, bool, error) { return u.w.store.AlarmID(u.ctx, n) })
	if !ok {
		return &refusal{refusedAlarm, fmt.Sprintf("no alarm %d", n)}
	}
	a, open := u.openAlarm(id)
	if !open {
		return &refusal{refusedCleared, fmt.Sprintf("alarm %d is cleared already", n)}
	}
	if end := lasts(a.Kind); end != "" {
		return &refusal{refusedLasts, fmt.Sprintf("what alarm %s reports is still so; %s", a.Kind, end)}
	}
	a.Cleared, a.Detail, a.Why.Note = true, a.Detail+"; cleared by an operator: "+note, note
	u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: a}})
	return nil
}

// alarmChange returns an alarm as it is to be stored. One that the ledger withdraws
// keeps its time and its text; there is nothing to withdraw if it is not open.
func (u *unit) alarmChange(c ledger.AlarmRaised) (ledger.AlarmRaised, bool) {
	if !c.Alarm.Cleared || c.Alarm.Detail != "" {
		return c, true
	}
	open, ok := u.openAlarm(c.Alarm.ID)
	open.Cleared = true
	return ledger.AlarmRaised{Alarm: open}, ok
}
