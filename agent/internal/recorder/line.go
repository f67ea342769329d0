package recorder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
)

// format is the version of the files. A change of what is below, of point.Snapshot or
// of an event that is more than a new field needs a new one.
const format = 1

// line is one line of a file; exactly one of its fields is set.
type line struct {
	Head  *head           `json:"head,omitempty"` // the first of a file
	Boot  *boot           `json:"boot,omitempty"`
	State json.RawMessage `json:"state,omitempty"` // a point.Snapshot, after the steps before it
	Lost  uint64          `json:"lost,omitempty"`  // so many steps before the next state are not in the ring
	Step  *step           `json:"step,omitempty"`
	Trip  *tripLine       `json:"trip,omitempty"`
}

// head is what a file is.
type head struct {
	Format  int              `json:"format"`
	Agent   string           `json:"agent"` // the version that wrote it
	CP      charge.CPID      `json:"cp_id"`
	Journal charge.JournalID `json:"journal"` // of the boot
}

// boot is the input of point.Boot, and what it did.
type boot struct {
	Now       point.Now       `json:"now"`
	Config    point.Config    `json:"config"`
	Recovered point.Recovered `json:"recovered"`
	did
}

// step is the input of point.Step, and what it did.
type step struct {
	At    time.Duration       `json:"at"`
	Wall  int64               `json:"wall,omitempty"`  // less what the line before predicts, in ms
	Clock charge.ClockQuality `json:"clock,omitempty"` // empty: as in the line before
	Rand  uint64              `json:"rand"`
	Event string              `json:"event"`
	Data  json.RawMessage     `json:"data,omitempty"`
	did
}

// did is what a step did: the names of its effects, and a checksum of their content.
type did struct {
	Did []string `json:"did,omitempty"`
	Sum uint32   `json:"sum,omitempty"`
}

// describe describes the effects of a step.
func describe(effects []point.Effect) (d did) {
	for _, f := range effects {
		name := reflect.TypeOf(f).Name()
		raw, err := json.Marshal(f)
		if err != nil {
			raw = []byte(err.Error())
		}
		d.Did = append(d.Did, name)
		d.Sum = crc32.Update(d.Sum, crc32.IEEETable, append(raw, name...))
	}
	return d
}

// difference is how another run of the same step differs; empty: it does not.
func (d did) difference(now did) string {
	recorded, here := strings.Join(d.Did, ", "), strings.Join(now.Did, ", ")
	switch {
	case recorded != here:
		return fmt.Sprintf("recorded [%s], this version does [%s]", recorded, here)
	case d.Sum != now.Sum:
		return fmt.Sprintf("[%s] have another content in this version", here)
	}
	return ""
}

// appendLine encodes a line.
func appendLine(b *bytes.Buffer, l *line) error {
	raw, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(b, "%08x %s\n", crc32.ChecksumIEEE(raw), raw)
	return nil
}

// decodeLine decodes a line without its end.
func decodeLine(raw []byte) (l line, err error) {
	sum, body, ok := bytes.Cut(raw, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || err != nil || uint32(want) != crc32.ChecksumIEEE(body) {
		return line{}, errors.New("its checksum is wrong")
	}
	return l, json.Unmarshal(body, &l)
}

// events returns all events of the core. Their names in a file are those of their
// types.
func events() []point.Event {
	return []point.Event{
		point.PilotChanged{},
		point.ContactChanged{},
		point.PowerWithheld{},
		point.LimitApplied{},
		point.FaultSeen{},
		point.FaultGone{},
		point.MeterRead{},
		point.LocalStop{},
		point.Operated{},
		point.Appended{},
		point.AppendFailed{},
		point.PositionSaved{},
		point.DiskChecked{},
		point.Connected{},
		point.Disconnected{},
		point.Confirmed{},
		point.AckReceived{},
		point.CommandReceived{},
		point.BadMessage{},
		point.TimerFired{},
		point.Shutdown{},
		point.CardPresented{},
	}
}

// memory is what a line leaves out, since the line before has it. Writer and reader
// have the same one; both begin again at each file.
type memory struct {
	wallLessAt charge.Time
	clock      charge.ClockQuality
	held       delivery.Held
	permille   int64 // as last checked
	checked    bool  // the disk, since the last batch: the same once more does nothing
}

// heldData is what the disk holds, as an event's data. Keep is how many ranges are as
// in the event before.
type heldData struct {
	Same     bool             `json:"same,omitempty"` // all of it is
	Keep     int              `json:"keep,omitempty"`
	Ranges   []delivery.Range `json:"ranges,omitempty"`
	Present  charge.JournalID `json:"present,omitempty"`
	Permille int64            `json:"permille,omitempty"` // of DiskChecked
}

// encodeHeld encodes what the disk holds.
func (m *memory) encodeHeld(h delivery.Held, permille int64) heldData {
	keep := 0
	for keep < min(len(h.Ranges), len(m.held.Ranges)) && h.Ranges[keep] == m.held.Ranges[keep] {
		keep++
	}
	same := keep == len(h.Ranges) && keep == len(m.held.Ranges) && h.Present == m.held.Present
	m.held = h
	if same {
		return heldData{Same: true, Permille: permille}
	}
	return heldData{Keep: keep, Ranges: h.Ranges[keep:], Present: h.Present, Permille: permille}
}

// decodeHeld is the reverse.
func (m *memory) decodeHeld(raw []byte) (h delivery.Held, permille int64, err error) {
	var d heldData
	if err := json.Unmarshal(raw, &d); err != nil {
		return h, 0, err
	}
	if d.Same {
		return m.held, d.Permille, nil
	}
	if d.Keep > len(m.held.Ranges) || d.Keep < 0 {
		return h, 0, errors.New("it keeps more ranges than there are")
	}
	m.held = delivery.Held{Ranges: append(m.held.Ranges[:d.Keep:d.Keep], d.Ranges...), Present: d.Present}
	return m.held, d.Permille, nil
}

// encode encodes a step. It reports false for one that did nothing: the regular
// check of a disk on which nothing has changed.
func (m *memory) encode(now point.Now, e point.Event, d did) (*step, bool, error) {
	data := any(e)
	switch e := e.(type) {
	case point.Appended: // a replay folds Saved itself
		data, m.checked = m.encodeHeld(e.Held, 0), false
	case point.AppendFailed:
		m.checked = false
	case point.PositionSaved:
		data = m.encodeHeld(e.Held, 0)
	case point.DiskChecked:
		h := m.encodeHeld(e.Held, e.Permille)
		if h.Same && e.Permille == m.permille && m.checked && len(d.Did) == 0 {
			return nil, false, nil
		}
		data, m.permille, m.checked = h, e.Permille, true
	default:
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, false, err
	}
	s := &step{At: now.At, Wall: int64(now.Wall - m.predicted(now.At)), Rand: now.Rand, Event: reflect.TypeOf(e).Name(), did: d}
	if string(raw) != "{}" {
		s.Data = raw
	}
	if now.Clock != m.clock {
		s.Clock = now.Clock
	}
	m.follow(now)
	return s, true, nil
}

// decode is the reverse.
func (m *memory) decode(s *step) (now point.Now, e point.Event, err error) {
	now = point.Now{Now: connector.Now{At: s.At, Wall: m.predicted(s.At) + charge.Time(s.Wall), Clock: m.clock}, Rand: s.Rand}
	if s.Clock != "" {
		now.Clock = s.Clock
	}
	m.follow(now)
	for _, known := range events() {
		t := reflect.TypeOf(known)
		if t.Name() != s.Event {
			continue
		}
		switch known.(type) {
		case point.Appended:
			h, _, err := m.decodeHeld(s.Data)
			return now, point.Appended{Held: h}, err
		case point.PositionSaved:
			h, _, err := m.decodeHeld(s.Data)
			return now, point.PositionSaved{Held: h}, err
		case point.DiskChecked:
			h, permille, err := m.decodeHeld(s.Data)
			return now, point.DiskChecked{Held: h, Permille: permille}, err
		default:
		}
		v := reflect.New(t)
		if len(s.Data) > 0 {
			err = json.Unmarshal(s.Data, v.Interface())
		}
		e, _ = v.Elem().Interface().(point.Event)
		return now, e, err
	}
	return now, nil, fmt.Errorf("the event %s is not known to this version", s.Event)
}

// predicted is the wall clock at a time since the boot if nothing sets it.
func (m *memory) predicted(at time.Duration) charge.Time {
	return m.wallLessAt + charge.Time(at.Milliseconds())
}

// follow remembers the clock of a line.
func (m *memory) follow(now point.Now) {
	if off := now.Wall - m.predicted(now.At); off < -1 || off > 1 { // less is the truncation to milliseconds
		m.wallLessAt += off
	}
	m.clock = now.Clock
}
