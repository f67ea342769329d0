package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/sim/fleet"
	"github.com/carga-ev/carga/sim/screen"
)

// onTerminal reports whether a person sees the output of a command and types its
// input, on a terminal that can place text, and returns that input.
func onTerminal(c *cobra.Command) (in *os.File, is bool) {
	in, is = c.InOrStdin().(*os.File)
	term := os.Getenv("TERM")
	return in, is && process.Interactive(in) && process.IsTerminal(c.OutOrStdout()) && term != "" && term != "dumb"
}

// screenOf returns a fleet as the terminal screen needs it.
func screenOf(f *fleet.Fleet) screen.Fleet {
	points := f.Points()
	s := screen.Fleet{
		Faults:  injectable(),
		Point:   func(n int) screen.Point { return screenPoint(points[n]) },
		Totals:  func() string { return fleetLine(f.Totals()) },
		Operate: func(n int, words string) error { return operate(points[n], strings.Fields(words)) },
	}
	for _, p := range points {
		s.IDs = append(s.IDs, p.ID)
	}
	return s
}

// injectable returns the faults that a board can have.
func injectable() []charge.Fault {
	return slices.DeleteFunc(charge.Faults(), func(f charge.Fault) bool { return f == charge.FaultJournal })
}

// screenPoint returns the present state of a charging point with one connector: of the
// agent what it knows, of the board what is true.
func screenPoint(p *fleet.Point) screen.Point {
	board, agent := p.State(), p.Status()
	out := screen.Point{
		Plugged: board.Plugged, Power: board.Power, Faults: board.Faults,
		Unacked: agent.Unacked, Linked: agent.Link.Up, Since: agent.Link.Since, Reason: agent.Link.LastError,
	}
	if len(agent.Connectors) == 0 || len(agent.Drivers) == 0 {
		return out // before the first boot
	}
	c := &agent.Connectors[0]
	out.Status, out.Driver = c.Status, agent.Drivers[0]
	if c.SessionID != "" {
		out.Session, out.Energy = true, c.Register-c.Start
	}
	return out
}
