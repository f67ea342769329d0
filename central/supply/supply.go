// Package supply distributes the current of a shared supply among connectors.
//
// A group of charging points is behind one fuse. Central grants each connector of
// the group a limit with an end (SET_LIMIT). A connector without a grant has its
// safe current, and so has one whose grant is over.
//
// # Guarantees
//
// A property test checks each of them, with messages lost, delayed and answered late,
// and a clock of Central that is set:
//
//   - What all connectors may draw is at no moment above the fuse. A grant counts from
//     before it is sent until it cannot be in force any more; a connector that cannot
//     be reached counts with its grant, then with its safe current.
//   - A connector that charges has at least 6 A or waits for its turn.
//   - Without a change of sessions and connections the shares do not change, but for
//     the turns.
//
// The package does no I/O and reads no clock. Its state has one owner, package orders.
package supply

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// MinCurrent is the lowest current that a vehicle can be offered (IEC 61851-1).
const MinCurrent charge.MilliAmps = 6000

const (
	// early and late bound how long before and after its end, by Central's clock, a
	// grant ends at the charging point, as PROTOCOL 6 states.
	early = 30 * time.Second
	late  = 2 * time.Minute
	// reaction is how long a vehicle may take to follow a lower limit (IEC 61851-1).
	reaction = 5 * time.Second
)

// Grant is a limit per phase until a moment. The zero value is none.
type Grant struct {
	Limit charge.MilliAmps `json:"limit_ma"`
	Until charge.Time      `json:"until"`
}

// possible reports whether the grant may be in force at a moment.
func (g Grant) possible(at charge.Time) bool { return at < g.Until.Add(late) }

// Holding is what one connector was granted. The zero value is nothing: it has its
// safe current.
type Holding struct {
	// Confirmed is the last grant whose result is known. Sent are later ones, any of
	// which may be in force.
	Confirmed Grant   `json:"confirmed,omitzero"`
	Sent      []Grant `json:"sent,omitempty"`
	// Old are grants by a clock that may have shown another time, or of a run whose rows
	// are lost. Each may be in force, and no result confirms one of them.
	Old []Grant `json:"old,omitempty"`
	// Leaving is what the connector had before Confirmed, while its vehicle may not have
	// followed yet.
	Leaving Grant `json:"leaving,omitzero"`
}

// Equal reports whether two holdings are the same.
func (h *Holding) Equal(o *Holding) bool {
	return h.Confirmed == o.Confirmed && h.Leaving == o.Leaving && slices.Equal(h.Sent, o.Sent) && slices.Equal(h.Old, o.Old)
}

// Empty reports whether no grant can be in force.
func (h *Holding) Empty() bool {
	return h.Confirmed == Grant{} && h.Leaving == Grant{} && len(h.Sent)+len(h.Old) == 0
}

// Add adds a grant that is about to be sent.
func (h *Holding) Add(g Grant) { h.Sent = append(slices.Clone(h.Sent), g) }

// Confirm notes that a grant is in force since now. One that is not known was given by
// another clock, or by a run whose rows are lost: it counts, and for how long it is in
// force is not known.
func (h *Holding) Confirm(g Grant, safe charge.MilliAmps, now charge.Time) {
	i := slices.Index(h.Sent, g)
	if i < 0 {
		h.Doubt()
		h.Old = append(slices.Clone(h.Old), g.within(now))
		return
	}
	if before := h.Bound(now, safe); before > g.Limit {
		h.Leaving = Grant{before, now.Add(reaction - late)} // it counts for reaction
	}
	h.Confirmed, h.Sent, h.Old = g, slices.Clone(h.Sent[i+1:]), nil // those before it were superseded
}

// Refuse notes that a grant had no effect.
func (h *Holding) Refuse(g Grant) {
	if i := slices.Index(h.Sent, g); i >= 0 {
		h.Sent = slices.Delete(slices.Clone(h.Sent), i, i+1)
	}
}

// Doubt notes that the charging point started again: it may have lost its grant.
func (h *Holding) Doubt() {
	if h.Confirmed != (Grant{}) {
		h.Sent = append([]Grant{h.Confirmed}, h.Sent...)
		h.Confirmed = Grant{}
	}
}

// ClockJumped notes that Central's clock shows another time since the grants were given:
// none is certain, and each counts as if it had been given now.
func (h *Holding) ClockJumped(now charge.Time) {
	h.Distrust(now)
	for i := range h.Old {
		h.Old[i].Until = now.Add(lowLife)
	}
	if h.Leaving != (Grant{}) {
		h.Leaving.Until = now.Add(reaction - late)
	}
}

// Distrust notes that the grants may be by a clock that showed a later time: none is
// certain, and none counts for longer than one that is given now.
func (h *Holding) Distrust(now charge.Time) {
	h.Doubt()
	h.Old = append(slices.Clone(h.Old), h.Sent...)
	h.Sent = nil
	for i := range h.Old {
		h.Old[i] = h.Old[i].within(now)
	}
	h.Leaving.Until = min(h.Leaving.Until, now.Add(reaction-late))
}

// within limits a grant to the longest life from a moment on.
func (g Grant) within(now charge.Time) Grant { return Grant{g.Limit, min(g.Until, now.Add(lowLife))} }

// Trim removes what cannot be in force any more. If a grant without a result is among
// it, the one before it may have been replaced, and is in doubt.
func (h *Holding) Trim(now charge.Time) {
	over := func(g Grant) bool { return !g.possible(now) }
	if slices.ContainsFunc(h.Sent, over) {
		h.Doubt()
		h.Sent = slices.DeleteFunc(slices.Clone(h.Sent), over)
	}
	if slices.ContainsFunc(h.Old, over) {
		h.Old = slices.DeleteFunc(slices.Clone(h.Old), over)
	}
	if over(h.Confirmed) {
		h.Confirmed = Grant{}
	}
	if over(h.Leaving) {
		h.Leaving = Grant{}
	}
}

// Bound returns the greatest current that the connector may draw at a moment that is
// not past.
func (h *Holding) Bound(at charge.Time, safe charge.MilliAmps) charge.MilliAmps {
	most := charge.MilliAmps(0)
	if at >= h.certain() {
		most = safe
	}
	for _, g := range h.all() {
		if g.possible(at) {
			most = max(most, g.Limit)
		}
	}
	return most
}

// lowest returns the lowest current that the connector may have at a moment: what is
// not above it raises nothing.
func (h *Holding) lowest(at charge.Time, safe charge.MilliAmps) charge.MilliAmps {
	least := safe
	if at < h.certain() {
		least = h.Confirmed.Limit
	}
	for _, g := range slices.Concat([]Grant{h.Confirmed}, h.Sent, h.Old) {
		if g.possible(at) {
			least = min(least, g.Limit)
		}
	}
	return least
}

// certain returns until when the confirmed grant, or a later one, is in force for sure.
func (h *Holding) certain() charge.Time {
	if h.Confirmed == (Grant{}) {
		return 0
	}
	until := h.Confirmed.Until
	for _, g := range h.Sent {
		until = min(until, g.Until)
	}
	return until.Add(-early)
}

// all returns every grant that may be in force.
func (h *Holding) all() []Grant {
	return slices.Concat([]Grant{h.Confirmed, h.Leaving}, h.Sent, h.Old)
}

// changes returns the moments at which the bound may change.
func (h *Holding) changes() []charge.Time {
	at := []charge.Time{h.certain()}
	for _, g := range h.all() {
		at = append(at, g.Until.Add(late))
	}
	return at
}

// Distribute divides a current among demands: each gets the same, but not more than it
// demands, and what one does not need goes to the others. None gets less than 6 A: if
// there is not enough for all, as many as possible are served, by turns. turn counts
// the periods of the turns. A demand of 0 gets nothing.
//
// Invariant: the sum is at most the current.
func Distribute(current charge.MilliAmps, demands []charge.MilliAmps, turn int64) []charge.MilliAmps {
	shares := make([]charge.MilliAmps, len(demands))
	var served []int
	for i, d := range demands {
		if d > 0 {
			served = append(served, i)
		}
	}
	if n, can := int64(len(served)), int64(max(current, 0)/MinCurrent); can < n {
		turns := make([]int, 0, can)
		for k := range can {
			turns = append(turns, served[(turn%n*can+k)%n])
		}
		served = turns
	}
	// The smallest demands first: what they leave raises the share of the others.
	slices.SortFunc(served, func(a, b int) int { return int(demands[a] - demands[b]) })
	for k, i := range served {
		shares[i] = min(max(demands[i], MinCurrent), current/charge.MilliAmps(len(served)-k))
		current -= shares[i]
	}
	return shares
}
