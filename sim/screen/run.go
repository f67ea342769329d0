package screen

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/carga-ev/carga/internal/charge"
)

// Fleet is what the screen shows and operates. Its functions are called by several
// goroutines.
type Fleet struct {
	IDs []charge.CPID
	// Faults are those that Operate knows.
	Faults []charge.Fault
	// Point returns the present state of a point, by its number.
	Point func(n int) Point
	// Totals describes the whole fleet in one line.
	Totals func() string
	// Operate does at a point what Operate's words name.
	Operate func(n int, words string) error
}

const (
	// readEvery is how often what is in view is read.
	readEvery = time.Second
	// framesPerSecond is how often the terminal is drawn at most.
	framesPerSecond = 20
)

// Run shows the screen on a terminal until a person quits it or ctx ends, and leaves
// the terminal as it was. It returns an error if the terminal fails.
func Run(ctx context.Context, in io.Reader, out io.Writer, f Fleet) error {
	// Signals are the caller's: they end ctx.
	p := tea.NewProgram(program{New(f.IDs, f.Faults), f}, tea.WithInput(in), tea.WithOutput(out),
		tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler())
	defer context.AfterFunc(ctx, p.Quit)()
	if _, err := p.Run(); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	return nil
}

// program translates between bubbletea and State.
type program struct {
	state State
	fleet Fleet
}

var _ tea.Model = program{}

// Init implements tea.Model.
func (p program) Init() tea.Cmd { return send(Ticked{}) }

// Update implements tea.Model.
func (p program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var e Event
	switch m := msg.(type) {
	case tea.KeyPressMsg:
		e = Key(m.String())
		if m.Text != "" {
			e = Key(m.Text)
		}
	case tea.WindowSizeMsg:
		e = Resized{m.Width, m.Height}
	case Event:
		e = m
	default:
		return p, nil
	}
	var effects []Effect
	p.state, effects = p.state.Step(e)
	var todo []tea.Cmd
	for _, f := range effects {
		todo = append(todo, p.perform(f))
	}
	if e == (Ticked{}) { // the next reading waits for this one
		todo = append(todo, tea.Tick(readEvery, func(time.Time) tea.Msg { return Ticked{} }))
		return p, tea.Sequence(todo...)
	}
	return p, tea.Batch(todo...)
}

// View implements tea.Model.
func (p program) View() tea.View {
	v := tea.NewView(p.state.View())
	v.AltScreen = true
	return v
}

// perform returns the command that performs an effect.
func (p program) perform(e Effect) tea.Cmd {
	switch e := e.(type) {
	case Read:
		return func() tea.Msg {
			seen := Seen{Points: map[int]Point{}}
			for _, n := range e.Points {
				seen.Points[n] = p.fleet.Point(n)
			}
			if e.Totals {
				seen.Totals = p.fleet.Totals()
			}
			return seen
		}
	case Operate:
		return func() tea.Msg {
			done := Done{Operate: e}
			if err := p.fleet.Operate(e.Point, e.Words); err != nil {
				done.Err = err.Error()
			}
			return done
		}
	case Quit:
		return tea.Quit
	}
	return nil
}

// send returns a command that sends an event.
func send(e Event) tea.Cmd { return func() tea.Msg { return e } }
