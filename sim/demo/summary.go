package demo

import (
	"fmt"
	"io"

	"github.com/carga-ev/carga/internal/charge"
)

// Summary is the state of a demo's books, counted since its data folder was
// created. Its JSON is the one object that --json prints.
type Summary struct {
	Sessions     int64               `json:"sessions"`
	Tickets      int64               `json:"tickets"`
	Events       EventSummary        `json:"events"`
	Energy       EnergySummary       `json:"energy_wh"`
	Reservations ReservationsSummary `json:"reservations"`
	// ReadyS is the time in seconds until all charging points were online.
	ReadyS float64 `json:"ready_s"`
}

// EventSummary counts journal records. In a healthy network at rest Applied
// equals Journalled.
type EventSummary struct {
	Journalled   int64 `json:"journalled"`    // written by the charging points
	Applied      int64 `json:"applied"`       // in Central's database
	Duplicates   int64 `json:"duplicates"`    // deliveries of applied records: harmless
	DeadLetters  int64 `json:"dead_letters"`  // messages that no part could use
	Lost         int64 `json:"lost"`          // journalled − applied
	AppliedTwice int64 `json:"applied_twice"` // must be 0
}

// EnergySummary compares the boards' meters with Central's books.
//
// Invariant of a healthy network at rest: Metered = Billed + Unaccounted.
type EnergySummary struct {
	Metered     charge.WattHours `json:"metered"`     // by the boards' registers
	Billed      charge.WattHours `json:"billed"`      // on tickets
	Unaccounted charge.WattHours `json:"unaccounted"` // as Central shows it
}

// ReservationsSummary counts reservations.
type ReservationsSummary struct {
	Made    int64 `json:"made"`
	Used    int64 `json:"used"`
	Ended   int64 `json:"ended"`
	Overdue int64 `json:"overdue"` // still shown after their end: must be 0
}

// Healthy reports whether nothing was lost, applied twice, left over or not
// billed.
func (s *Summary) Healthy() bool {
	// One ticket per session, and the energy balance, hold only at rest: a demo
	// that was interrupted may be healthy although this returns false.
	return s.Events.Lost == 0 && s.Events.AppliedTwice == 0 && s.Reservations.Overdue == 0 && s.Tickets == s.Sessions &&
		s.Energy.Metered == s.Energy.Billed+s.Energy.Unaccounted
}

// Print writes the summary for people.
func (s *Summary) Print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "  sessions      %d, tickets %d\n", s.Sessions, s.Tickets)
	_, _ = fmt.Fprintf(w, "  events        %d journalled, %d applied, %d delivered again, %d dead letters: lost %d, twice %d\n",
		s.Events.Journalled, s.Events.Applied, s.Events.Duplicates, s.Events.DeadLetters, s.Events.Lost, s.Events.AppliedTwice)
	_, _ = fmt.Fprintf(w, "  energy        %s kWh metered = %s billed + %s unaccounted\n",
		s.Energy.Metered.KWh(), s.Energy.Billed.KWh(), s.Energy.Unaccounted.KWh())
	_, _ = fmt.Fprintf(w, "  reservations  %d made, %d used, %d ended, overdue %d\n",
		s.Reservations.Made, s.Reservations.Used, s.Reservations.Ended, s.Reservations.Overdue)
}
