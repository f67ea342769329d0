package forward

import (
	"maps"
	"slices"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
)

// Downlink decides what is published of one partition of cp-commands, and in which
// order. The zero value has read nothing. One caller at a time may use it.
type Downlink struct {
	// end is the end of the backlog: records before it were in the log when the reader
	// located its position.
	end int64
	// acks are the last acknowledgements of the backlog, which are published at its end:
	// each replaces all before.
	acks map[charge.CPID]route.Publish
}

// Opened is called with the end of the log whenever the reader has located its position:
// at the start, and again after Kafka was away. Offsets of a log that took the place of
// another one begin again, so an end may be lower than the one before.
func (d *Downlink) Opened(end int64) { d.end = end }

// Read returns what is to be published of a batch, in this order, and the dead letters of
// the records that cannot be used, which State receives. next is the offset behind the
// batch, which may hold less than the log does.
func (d *Downlink) Read(r route.Router, batch []route.CommandRecord, next int64) (publish []route.Publish, dead []*Message) {
	for _, record := range batch {
		p, letter := r.Down(record)
		switch {
		case letter != nil:
			dead = append(dead, &Message{Decision: *letter, ReceivedAt: record.At.Std()})
		case p.Retained: // of acknowledgements the last one of a batch is enough, too
			if d.acks == nil {
				d.acks = map[charge.CPID]route.Publish{}
			}
			d.acks[p.CP] = p
		default:
			p.Backlog = record.Offset < d.end
			publish = append(publish, p)
		}
	}
	if next >= d.end {
		for _, cp := range slices.Sorted(maps.Keys(d.acks)) {
			publish = append(publish, d.acks[cp])
		}
		clear(d.acks)
	}
	return publish, dead
}
