package world

import (
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/central/ledger"
)

// Stats count what happened in a run. They show that the faults took effect: a run
// in which nothing was lost or retried proves little.
type Stats struct {
	Faults map[Kind]int `json:"faults"` // injected, by kind

	// Of processes; a failure is an exit by the agent itself.
	Boots, Kills, PowerCuts, AgentFailures int
	Lost, Duplicated, Reordered            int // messages on lines
	// Calls that were executed without a response.
	Unanswered int
	// Messages beyond the limit of the broker's queue.
	BrokerDropped int

	// Made durable in journals, and deleted from them.
	Records, Deleted int
	// Records published by agents, and those that could not be read for it.
	Sent, ReadErrors int
	// Positions not saved, messages not decoded by agents.
	PositionsLost, BadMessages int
	// Rollbacks of storage that the agent itself detected.
	RolledBackSeen                  int
	Applied, Duplicates, OutOfOrder int // verdicts of the ledger
	Forked, Mismatched, Gaps        int
	// Well-formed records without meaning, of Byzantine charging points.
	NonsenseRecords int
	// Records published in the name of another charging point.
	ForgedRecords        int
	Retries, DeadLetters int // of the bridge
	// Produce calls that Kafka refused because the writer's clock was ahead.
	TooFarAhead                 int
	StaleCommands, CommandsSent int
	Commands                    [delivery.Expired + 1]int // received by agents, by verdict

	// Unseen: durable, but the process died before it knew.
	Commits, CommitsRefused, CommitsUnseen int
	// Logs read again from the start; changes to fenced.
	Reread, Fenced int

	Visits, Answers, Granted, Plugs int
	// Requests of operators, and those that were accepted.
	Operators, OperatorsServed int
	Sessions, Tickets          int
	Taps, CardSessions         int // of cards
	FuseChecks                 int // of G1, while a connector may draw more than its safe current
	BilledWh, UnaccountedWh    int64
	// Orphaned sessions that an operator settled.
	OrphansSettled int
	// Open sessions of silent charging points that an operator settled.
	SilentSettled int
	// Charging points whose quarantine an operator ended.
	Released int
}

// fault counts an injected fault.
func (s *Stats) fault(k Kind) { s.Faults[k]++ }

// verdict counts a command that an agent received.
func (s *Stats) verdict(k delivery.VerdictKind) { s.Commands[k]++ }

// outcome counts a record that the ledger evaluated.
func (s *Stats) outcome(v ledger.Verdict) {
	switch v {
	case ledger.Applied:
		s.Applied++
	case ledger.Duplicate:
		s.Duplicates++
	case ledger.OutOfOrder:
		s.OutOfOrder++
	case ledger.Mismatched:
		s.Mismatched++
	case ledger.Forked:
		s.Forked++
	}
}

// Add adds the counts of another run to s.
func (s *Stats) Add(o *Stats) {
	if s.Faults == nil {
		s.Faults = map[Kind]int{}
	}
	for k, n := range o.Faults {
		s.Faults[k] += n
	}
	for i, n := range o.Commands {
		s.Commands[i] += n
	}
	// The counters of other types are added above and below.
	for _, p := range s.pairs(o) {
		*p.to += *p.from
	}
	s.BilledWh += o.BilledWh
	s.UnaccountedWh += o.UnaccountedWh
}

// pair is the same counter of two Stats.
type pair struct{ to, from *int }

// pairs returns all counters of type int.
func (s *Stats) pairs(o *Stats) []pair {
	a, b := s.ints(), o.ints()
	out := make([]pair, len(a))
	for i := range a {
		out[i] = pair{a[i], b[i]}
	}
	return out
}

// ints lists the counters. A new one has to be added here too, or Add loses it.
func (s *Stats) ints() []*int {
	return []*int{
		&s.Boots, &s.Kills, &s.PowerCuts, &s.AgentFailures, &s.Lost, &s.Duplicated, &s.Reordered, &s.Unanswered, &s.BrokerDropped,
		&s.Records, &s.Deleted, &s.Sent, &s.ReadErrors, &s.PositionsLost, &s.BadMessages, &s.RolledBackSeen,
		&s.Applied, &s.Duplicates, &s.OutOfOrder, &s.Forked, &s.Mismatched, &s.ForgedRecords, &s.NonsenseRecords, &s.Gaps, &s.TooFarAhead, &s.Retries, &s.DeadLetters, &s.StaleCommands, &s.CommandsSent,
		&s.Commits, &s.CommitsRefused, &s.CommitsUnseen, &s.Reread, &s.Fenced, &s.Visits, &s.Answers, &s.Granted, &s.Plugs,
		&s.Operators, &s.OperatorsServed, &s.Sessions, &s.Tickets, &s.Taps, &s.CardSessions, &s.FuseChecks, &s.OrphansSettled, &s.SilentSettled, &s.Released,
	}
}
