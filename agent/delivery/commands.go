package delivery

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Bounds of what one boot remembers of commands. An id that fell out is still
// refused, by its n.
const (
	maxKnownIDs = 4096
	maxEndedIDs = 2048
)

// clockSkew is how far a synced wall clock must be past a command's end to refuse
// it: the clocks of Central and of the charging point differ.
const clockSkew = 30 * time.Second

// VerdictKind is what is to be done with a command.
type VerdictKind int

// The verdicts on a command.
const (
	// Malformed: it cannot be decoded. Without an id in Verdict.Command it cannot
	// be answered; with one, it is for this boot and is finished as rejected.
	Malformed VerdictKind = iota
	// Run: it came in order, in time and for the first time; the connector
	// accepts or rejects it by its content.
	Run
	// Known: a duplicate, whose id was decided before. No record, no effect.
	Known
	// OtherBoot: it is for another boot, or another charging point. No record.
	OtherBoot
	// Superseded: finished as rejected. A later command came before it, or its
	// session or reservation has ended in this boot.
	Superseded
	// Expired: finished as expired.
	Expired
)

// String is the verdict as a word for logs and counters.
func (k VerdictKind) String() string {
	words := [...]string{"malformed", "run", "known", "other_boot", "superseded", "expired"}
	if k < 0 || int(k) >= len(words) {
		return "unknown"
	}
	return words[k]
}

// Verdict is the decision about one command.
type Verdict struct {
	Kind    VerdictKind
	Command wire.Command // zero if even its envelope is malformed
	// Order is the command's data; nil unless Kind is Run, and nil then for a
	// type this build does not know, which is rejected as unsupported.
	Order wire.Order
	// Reason is the word for command_finished: "superseded", "ended",
	// "expired", "malformed".
	Reason string
	// Deadline is when the command must have had its effect, since the boot by the
	// monotonic clock.
	Deadline time.Duration
	// Err is why a malformed command cannot be decoded.
	Err error
}

// Receipt is a received command and the clocks at that time.
type Receipt struct {
	Raw      []byte
	Received time.Duration // since the boot, when it was received
	At       time.Duration // since the boot, now: it may have waited in the inbox
	Wall     charge.Time   // now, by the wall clock
	Clock    charge.ClockQuality
}

// Commands remembers the commands that one boot has received, within bounds.
// Make it with NewCommands.
type Commands struct {
	cp      charge.CPID
	journal charge.JournalID
	// central is the highest epoch a command named.
	central charge.Epoch
	// lastN is the greatest n received from that epoch, per connector.
	lastN             map[charge.ConnectorID]uint64
	knownIDs          boundedSet[charge.CommandID]
	endedSessions     boundedSet[charge.SessionID]
	endedReservations boundedSet[charge.ReservationID]
	Counts            CommandCounts
}

// CommandCounts are the commands of this boot.
type CommandCounts struct {
	Received uint64
	By       [Expired + 1]uint64 // per VerdictKind
}

// Refused counts the commands without an effect, duplicates excluded.
func (c CommandCounts) Refused() uint64 { return c.Received - c.By[Run] - c.By[Known] }

// NewCommands is the memory of a boot that has received no command.
func NewCommands(cp charge.CPID, journal charge.JournalID) *Commands {
	return &Commands{
		cp: cp, journal: journal,
		lastN:             map[charge.ConnectorID]uint64{},
		knownIDs:          newBoundedSet[charge.CommandID](maxKnownIDs),
		endedSessions:     newBoundedSet[charge.SessionID](maxEndedIDs),
		endedReservations: newBoundedSet[charge.ReservationID](maxEndedIDs),
	}
}

// Decide decides one command and remembers it. It does not look at the content:
// Run means that the connector decides.
func (c *Commands) Decide(r Receipt) Verdict {
	v := c.decide(r)
	c.Counts.Received++
	c.Counts.By[v.Kind]++
	return v
}

func (c *Commands) decide(r Receipt) Verdict {
	cmd, err := wire.DecodeCommand(r.Raw)
	if err != nil {
		return Verdict{Kind: Malformed, Err: err, Reason: "malformed"}
	}
	v := Verdict{Command: cmd}
	if cmd.CPID != c.cp || cmd.Journal != c.journal {
		v.Kind = OtherBoot
		return v
	}
	if c.knownIDs.has(cmd.ID) {
		v.Kind = Known
		return v
	}
	c.knownIDs.add(cmd.ID)
	if !c.inOrder(cmd) {
		v.Kind, v.Reason = Superseded, "superseded"
		return v
	}
	v.Deadline = r.Received + commandLife(&cmd)
	if r.At >= v.Deadline || r.Clock == charge.ClockSynced && r.Wall.Sub(cmd.ExpiresAt) > clockSkew {
		v.Kind, v.Reason = Expired, "expired"
		return v
	}
	order, err := cmd.Order()
	if err != nil {
		v.Kind, v.Err, v.Reason = Malformed, err, "malformed"
		return v
	}
	if c.concernsEnded(order) {
		v.Kind, v.Reason = Superseded, "ended"
		return v
	}
	v.Kind, v.Order = Run, order
	return v
}

// inOrder reports whether the command is the latest one for its connector. One
// that has expired counts too: the commands before it are superseded.
func (c *Commands) inOrder(cmd wire.Command) bool {
	switch {
	case cmd.Central.Less(c.central):
		return false
	case c.central.Less(cmd.Central):
		c.central = cmd.Central
		clear(c.lastN)
	}
	if cmd.N <= c.lastN[cmd.Connector] {
		return false
	}
	c.lastN[cmd.Connector] = cmd.N
	return true
}

// Central is the highest epoch of a received command; commands of a lower one
// are superseded.
func (c *Commands) Central() charge.Epoch { return c.central }

// commandLife is how long a command is valid after its receipt.
func commandLife(cmd *wire.Command) time.Duration {
	if cmd.Type == wire.CommandReserve {
		return min(cmd.Life(), wire.ReserveLife)
	}
	return cmd.Life()
}

// concernsEnded reports whether an order would begin a session or a reservation
// that has ended. An order that ends one is remembered, also when it comes before
// the order that begins it.
func (c *Commands) concernsEnded(o wire.Order) bool {
	switch o := o.(type) {
	case *wire.Reserve:
		return c.endedReservations.has(o.ReservationID)
	case *wire.Start:
		return c.endedSessions.has(o.SessionID) || o.ReservationID != "" && c.endedReservations.has(o.ReservationID)
	case *wire.CancelReservation:
		c.endedReservations.add(o.ReservationID)
	case *wire.Stop:
		c.endedSessions.add(o.SessionID)
	}
	return false
}

// EndSession reports the end of a session: no command begins it again in this
// boot.
func (c *Commands) EndSession(id charge.SessionID) { c.endedSessions.add(id) }

// EndReservation reports the end of a reservation: no command begins it again in
// this boot. One that a session used ends with that session.
func (c *Commands) EndReservation(id charge.ReservationID) { c.endedReservations.add(id) }

// boundedSet is a set that forgets its oldest members beyond its bound.
//
// Invariant: set holds exactly the members of ring; len(ring) ≤ most.
type boundedSet[T comparable] struct {
	set  map[T]struct{}
	ring []T
	next int // where the oldest member is once the ring is full
	most int
}

func newBoundedSet[T comparable](most int) boundedSet[T] {
	return boundedSet[T]{set: map[T]struct{}{}, most: most}
}

func (r *boundedSet[T]) has(v T) bool {
	_, ok := r.set[v]
	return ok
}

func (r *boundedSet[T]) add(v T) {
	if r.has(v) {
		return
	}
	r.set[v] = struct{}{}
	if len(r.ring) < r.most {
		r.ring = append(r.ring, v)
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = v
	r.next = (r.next + 1) % r.most
}
