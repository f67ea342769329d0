package ledger

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// NewCP returns the state of a charging point before its first message.
func NewCP(id charge.CPID) *CP {
	return &CP{
		Point:             Point{ID: id},
		Journals:          map[charge.JournalID]*Journal{},
		Connectors:        map[charge.ConnectorID]*Connector{},
		PendingConnectors: map[charge.ConnectorID]*Connector{},
		Meters:            map[charge.ConnectorID]*Meter{},
		Sessions:          map[charge.SessionID]*Session{},
		Gaps:              map[string]*Gap{},
	}
}

// AckFor returns the acknowledgement for a record or a presence that names
// journal: the position in that journal. Its Journal is nil when no record of the
// journal is known. The caller sets Central and At. AckFor changes nothing.
func AckFor(cp *CP, env *Env, journal charge.JournalID) wire.Ack {
	j := cp.Journals[journal]
	if j == nil && env.Journal != nil {
		if row, ok := env.Journal(journal); ok {
			j = &row
		}
	}
	if j == nil || j.Last == 0 {
		return wire.Ack{V: wire.Version}
	}
	id := j.ID
	return wire.Ack{V: wire.Version, Journal: &id, Seq: j.Last}
}

// Status returns the status of a connector of the current boot at the moment now.
// It is computed from facts and never stored, so that "reserved" ends at its
// moment even when the charging point cannot report it. A connector without a
// report is unavailable.
func (cp *CP) Status(id charge.ConnectorID, now charge.Time) charge.Status {
	c := cp.Connectors[id]
	switch {
	case c == nil:
		return charge.StatusUnavailable
	case len(cp.Faults) > 0 || len(c.Faults) > 0 || c.Reported == charge.StatusFaulted:
		return charge.StatusFaulted
	case !c.Available || c.Reported == charge.StatusUnavailable:
		return charge.StatusUnavailable
	case c.Session != "":
		return c.Phase
	case c.Held.ID != "" && now < c.Held.Until:
		return charge.StatusReserved
	case !c.Plugged:
		return charge.StatusAvailable
	case c.Finishing:
		return charge.StatusFinishing
	}
	return charge.StatusPreparing
}
