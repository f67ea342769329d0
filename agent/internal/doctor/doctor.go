// Package doctor looks at the inputs of a board for a while and explains, for an
// installer, what each of them means and what to do. It reads only: the
// one command it gives is SafeState. It has no goroutine.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// State is how a finding is to be read.
type State int

// The states of a finding.
const (
	Good State = iota // as it must be
	Note              // worth knowing
	Bad               // to be repaired
)

// String returns "ok", "note" or "BAD".
func (s State) String() string {
	switch s {
	case Good:
		return "ok"
	case Note:
		return "note"
	case Bad:
	}
	return "BAD"
}

// Finding is what was found at one device.
type Finding struct {
	State   State
	Device  string // such as "connector 1: pilot"
	Value   string // the last one
	Meaning string
	Remedy  string // empty: nothing to do
}

// Options are how long to look, and where changes are reported.
type Options struct {
	// For is how long the inputs are watched.
	For time.Duration
	// Changed is called with each change of a contact, and with each card and press;
	// it may be nil.
	Changed func(device, value string)
}

// period is the time between two looks, that of the safety loop.
const period = 10 * time.Millisecond

// loose is how often a contact changes while it is watched before that is reported:
// more often than a person moves it.
const loose = 10

// Examine opens the contactors, watches all inputs until the time is over or ctx
// ends, and returns one finding per device.
func Examine(ctx context.Context, b hal.Board, o Options) []Finding {
	if o.Changed == nil {
		o.Changed = func(string, string) {}
	}
	var out []Finding
	if err := b.SafeState(); err != nil {
		out = append(out, Finding{Bad, "board", "", "the contactors cannot be commanded open: " + err.Error(), "the relays' wires and supply"})
	}
	e := newExamination(ctx, b)
	e.watch(ctx, o)
	return append(out, e.findings(ctx)...)
}

// Worst is the worst state of the findings.
func Worst(findings []Finding) State {
	worst := Good
	for _, f := range findings {
		worst = max(worst, f.State)
	}
	return worst
}

// input is one input and what was seen of it.
type input struct {
	device string
	// read returns the value as text.
	read func() (string, error)
	// explain explains a value that could be read.
	explain func(value string) (State, string, string)
	// remedy is what to do if the input cannot be read, absent what its absence means.
	remedy, absent string
	analogue       bool // it changes all the time

	value   string
	err     error
	changes int
}

// look reads the input once and reports a change. The first value is no change.
func (i *input) look(first bool, changed func(device, value string)) {
	value, err := i.read()
	if !first && !i.analogue && (value != i.value || (err == nil) != (i.err == nil)) {
		i.changes++
		if err != nil {
			changed(i.device, "cannot be read: "+err.Error())
		} else {
			changed(i.device, value)
		}
	}
	i.value, i.err = value, err
}

// finding explains what was seen last.
func (i *input) finding() Finding {
	switch {
	case errors.Is(i.err, hal.ErrNotFitted):
		return Finding{Note, i.device, "not fitted", i.absent, ""}
	case i.err != nil:
		return Finding{Bad, i.device, "no value", "it cannot be read: " + i.err.Error(), i.remedy}
	case i.changes > loose:
		return Finding{Bad, i.device, i.value, fmt.Sprintf("it changed %d times: a loose wire, or a bouncing contact", i.changes), i.remedy}
	}
	state, meaning, remedy := i.explain(i.value)
	return Finding{state, i.device, i.value, meaning, remedy}
}

// examination is one look at a board.
type examination struct {
	board  hal.Board
	inputs []*input
	meters []*meter

	reader  hal.TokenReader // nil: not fitted
	panel   hal.FrontPanel  // nil: not fitted
	cards   int
	presses int
}

// newExamination lists the inputs of the board and reads them for the first time.
func newExamination(ctx context.Context, b hal.Board) *examination {
	e := &examination{board: b}
	e.inputs = append(e.inputs, estop(b), reader(b))
	e.reader, _ = b.Reader() // nil where it is not fitted
	e.panel, _ = b.Panel()
	for n := range b.Info().Connectors {
		id := charge.ConnectorID(n + 1)
		c, err := b.Connector(id)
		if err != nil {
			continue // the range is the board's own
		}
		e.inputs = append(e.inputs, connectorInputs(id, c, b.Info())...)
		e.meters = append(e.meters, newMeter(ctx, id, c))
	}
	// A board may need a moment until its first measurements count.
	for _, i := range e.inputs {
		i.look(true, nil)
	}
	return e
}

// watch reads all inputs each period, and receives cards and presses.
func (e *examination) watch(ctx context.Context, o Options) {
	ctx, cancel := context.WithTimeout(ctx, o.For)
	defer cancel()
	var cards <-chan hal.Token
	if e.reader != nil {
		cards = e.reader.Tokens()
	}
	var presses <-chan hal.Press
	if e.panel != nil {
		presses = e.panel.Presses()
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, i := range e.inputs {
				i.look(false, o.Changed)
			}
		case card := <-cards: // its identifier is a secret
			e.cards++
			o.Changed("card reader", fmt.Sprintf("read a card of %d bytes", len(card.UID)/2))
		case p := <-presses:
			if p.Held {
				o.Changed("front panel", fmt.Sprintf("button of connector %d held: while the agent runs this resets faults", p.Connector))
				continue
			}
			e.presses++
			o.Changed("front panel", fmt.Sprintf("button of connector %d pressed", p.Connector))
		}
	}
}

// findings explains everything, the board's own devices first.
func (e *examination) findings(ctx context.Context) []Finding {
	var out []Finding
	for _, i := range e.inputs {
		out = append(out, i.finding())
	}
	for _, m := range e.meters {
		out = append(out, m.finding(ctx, e.board.Info()))
	}
	if e.reader != nil && e.cards == 0 {
		out = append(out, Finding{Note, "card reader", "no card", "none was held to it", "hold one to it while the doctor looks"})
	}
	out = append(out, e.boardFindings()...)
	return out
}
