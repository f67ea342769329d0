package recorder

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

// trip is a trip of the control loop, and the time of its last tick.
type trip struct {
	wall charge.Time
	safety.Trip
}

// tripLine is a trip in a file.
type tripLine struct {
	Wall      charge.Time        `json:"wall"`
	Connector charge.ConnectorID `json:"connector"`
	LeftOut   int                `json:"left_out,omitempty"`
	Limits    safety.Limits      `json:"limits"`
	Before    safety.State       `json:"before"`
	// Ticks have the fields that are not as in the tick before; the first one, not zero.
	Ticks []json.RawMessage `json:"ticks"`
}

func (t *trip) encode() (*tripLine, error) {
	l := &tripLine{Wall: t.wall, Connector: t.Connector, LeftOut: t.LeftOut, Limits: t.Limits, Before: t.Before}
	var was safety.Tick
	for _, now := range t.Ticks {
		raw, err := json.Marshal(changes(reflect.ValueOf(was), reflect.ValueOf(now)))
		if err != nil {
			return nil, err
		}
		l.Ticks = append(l.Ticks, raw)
		was = now
	}
	return l, nil
}

// decode is the reverse.
func (l *tripLine) decode() (*safety.Trip, error) {
	t := &safety.Trip{Connector: l.Connector, LeftOut: l.LeftOut, Limits: l.Limits, Before: l.Before}
	var now safety.Tick
	for _, raw := range l.Ticks {
		if err := json.Unmarshal(raw, &now); err != nil {
			return nil, err
		}
		t.Ticks = append(t.Ticks, now)
	}
	if len(t.Ticks) == 0 {
		return nil, errors.New("it has no tick")
	}
	return t, nil
}

// changes are the fields of a struct that are not as they were, and so are those of the
// structs in it. Decoding them over the old struct makes the new one.
func changes(was, now reflect.Value) map[string]any {
	m := map[string]any{}
	for i := range now.NumField() {
		a, b, name := was.Field(i), now.Field(i), now.Type().Field(i).Name
		switch {
		case a.Equal(b):
		case b.Kind() == reflect.Struct:
			m[name] = changes(a, b)
		default:
			m[name] = b.Interface()
		}
	}
	return m
}

// difference is how the rules of this version decide a trip in another way; empty: they
// do not.
func difference(t *safety.Trip) string {
	i, now := t.Replay()
	if i < 0 {
		return ""
	}
	recorded := t.Ticks[i].Verdict
	text := func(was, now safety.Verdict) []byte {
		raw, err := json.Marshal(changes(reflect.ValueOf(was), reflect.ValueOf(now)))
		if err != nil {
			return []byte(err.Error())
		}
		return raw
	}
	return fmt.Sprintf("tick %d of %d: recorded %s, this version decides %s", i+1, len(t.Ticks), text(now, recorded), text(recorded, now))
}
