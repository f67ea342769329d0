package world

import (
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/central/ledger"
)

// Stats count what happened.
type Stats struct {
	Faults map[Kind]int `json:"faults"` // injected, by kind

	Boots, Kills, PowerCuts, AgentFailures int // of processes
	Lost, Duplicated, Reordered            int // messages on lines
	Unanswered                             int // calls that were done and not answered
	BrokerDropped                          int // messages over the broker's quota

	Records, Deleted                int // written durably, deleted
	Sent, ReadErrors                int // records handed to connections
	PositionsLost, BadMessages      int
	RolledBackSeen                  int // storage that was set back, noticed by the agent
	Applied, Duplicates, OutOfOrder int // verdicts of the ledger
	Forked, Mismatched, Gaps        int
	NonsenseRecords                 int // well-formed records that make no sense
	ForgedRecords                   int // records that do not fit, sent by somebody else
	Retries, DeadLetters            int // of the bridge
	TooFarAhead                     int // records that Kafka refused, for the clock of their writer was ahead
	StaleCommands, CommandsSent     int
	Commands                        [delivery.Expired + 1]int // as agents judged them

	Commits, CommitsRefused, CommitsUnseen int
	Reread, Fenced                         int

	Visits, Answers, Granted, Plugs int
	Operators, OperatorsServed      int
	Sessions, Tickets               int
	BilledWh, UnaccountedWh         int64
	OrphansSettled                  int // orphaned sessions that an operator settled
	SilentSettled                   int // open sessions of silent charging points that an operator settled
	Released                        int // charging points whose quarantine he ended
}

func (s *Stats) fault(k Kind) { s.Faults[k]++ }

func (s *Stats) verdict(k delivery.VerdictKind) { s.Commands[k]++ }

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

// Add adds the counts of another run.
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
	for _, p := range s.pairs(o) {
		*p.to += *p.from
	}
	s.BilledWh += o.BilledWh
	s.UnaccountedWh += o.UnaccountedWh
}

type pair struct{ to, from *int }

func (s *Stats) pairs(o *Stats) []pair {
	a, b := s.ints(), o.ints()
	out := make([]pair, len(a))
	for i := range a {
		out[i] = pair{a[i], b[i]}
	}
	return out
}

func (s *Stats) ints() []*int {
	return []*int{
		&s.Boots, &s.Kills, &s.PowerCuts, &s.AgentFailures, &s.Lost, &s.Duplicated, &s.Reordered, &s.Unanswered, &s.BrokerDropped,
		&s.Records, &s.Deleted, &s.Sent, &s.ReadErrors, &s.PositionsLost, &s.BadMessages, &s.RolledBackSeen,
		&s.Applied, &s.Duplicates, &s.OutOfOrder, &s.Forked, &s.Mismatched, &s.ForgedRecords, &s.NonsenseRecords, &s.Gaps, &s.TooFarAhead, &s.Retries, &s.DeadLetters, &s.StaleCommands, &s.CommandsSent,
		&s.Commits, &s.CommitsRefused, &s.CommitsUnseen, &s.Reread, &s.Fenced, &s.Visits, &s.Answers, &s.Granted, &s.Plugs,
		&s.Operators, &s.OperatorsServed, &s.Sessions, &s.Tickets, &s.OrphansSettled, &s.SilentSettled, &s.Released,
	}
}
