package limits

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Saved is what a new boot needs: the fold of the records. A checkpoint of the
// journal holds it as JSON, so fields are only ever added and their names never
// change. It is never changed in place.
type Saved []SavedLimit

// SavedLimit is a SET_LIMIT that is in force. LeftMS is the time left by the monotonic
// clock, counted while an agent runs.
type SavedLimit struct {
	Connector charge.ConnectorID `json:"connector"` // 0: each
	Current   charge.MilliAmps   `json:"limit_ma"`
	Until     charge.Time        `json:"until"`
	LeftMS    int64              `json:"left_ms"`
}

// Elapse subtracts a time from each limit, and drops those that are over.
func (v Saved) Elapse(d time.Duration) Saved {
	if len(v) == 0 || d <= 0 {
		return v
	}
	v = slices.Clone(v)
	for i := range v {
		v[i].LeftMS -= d.Milliseconds()
	}
	return slices.DeleteFunc(v, func(l SavedLimit) bool { return l.LeftMS <= 0 })
}

// Replay folds one record into v. Folding the last record a second time changes
// nothing, so a checkpoint may contain it already.
func Replay(v Saved, p wire.Payload) Saved {
	accepted, ok := p.(*wire.CommandAccepted)
	if !ok {
		return v
	}
	cmd, err := wire.DecodeCommand(accepted.Command)
	if err != nil || cmd.Type != wire.CommandSetLimit {
		return v
	}
	order, err := cmd.Order()
	if err != nil {
		return v
	}
	if o, ok := order.(*wire.SetLimit); ok {
		others := slices.DeleteFunc(slices.Clone(v), func(l SavedLimit) bool { return l.Connector == cmd.Connector })
		v = append(others, SavedLimit{cmd.Connector, o.Limit, o.Until, Life(o, cmd.SentAt).Milliseconds()})
	}
	return v
}
