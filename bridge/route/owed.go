package route

import (
	"bytes"

	"github.com/carga-ev/carga/internal/charge"
)

// Said names what a charging point says: until Central answers, it says the same
// again and again.
type Said struct {
	CP      charge.CPID
	Journal charge.JournalID
	Seq     charge.Seq
}

// Owed are the events that wait for Kafka. One that is said again while it waits
// is held once, so that what waits does not grow however long Kafka is away. The
// zero value is ready; it is not safe for concurrent use.
type Owed struct{ waits map[Said]*Debt }

// Debt is one event that waits.
type Debt struct {
	said  Said
	value []byte
	done  func()
}

// Take takes in an event that came, and what is to be called when Kafka has it.
// If the very same waits already, debt is nil: the new message stands for it from
// now on, since the broker may have delivered again what an older connection left
// open, and earlier is the older one's done, to be called now.
func (o *Owed) Take(d *Decision, done func()) (debt *Debt, earlier func()) {
	was := o.waits[d.Said]
	switch {
	case was == nil:
	case bytes.Equal(was.value, d.Record.Value):
		earlier, was.done = was.done, done
		return nil, earlier
	default: // other bytes under one name: Central judges
		return &Debt{done: done}, nil
	}
	if o.waits == nil {
		o.waits = map[Said]*Debt{}
	}
	debt = &Debt{said: d.Said, value: d.Record.Value, done: done}
	o.waits[d.Said] = debt
	return debt, nil
}

// End forgets a debt and returns what is to be called if Kafka has the event.
func (o *Owed) End(debt *Debt) (done func()) {
	if o.waits[debt.said] == debt {
		delete(o.waits, debt.said)
	}
	return debt.done
}
