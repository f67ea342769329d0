package world

import (
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A series of strays lasts for less than the ten minutes in which records that
// do not fit prove a second device, and the next one begins so much later that
// it is another series.
const (
	straysMost  = 6
	strayPause  = 80 * time.Second
	betweenThem = 10 * time.Minute
)

// strays publishes records in a charging point's name as somebody does who may
// publish there and does not hold its chain.
func (w *World) strays(a *agent, c chance) {
	if w.now < a.strayed {
		return
	}
	at := time.Duration(0)
	for range 1 + c.IntN(straysMost) {
		w.later(at, "stray", func() { w.stray(a, c) })
		at += c.in(span{0, strayPause})
	}
	a.strayed = w.now + at + betweenThem
}

// stray publishes one record that does not fit.
func (w *World) stray(a *agent, c chance) {
	n := len(a.known.order)
	if n == 0 || !w.mqtt.up {
		return
	}
	rec := a.known.records[a.known.order[n-1]].rec
	switch c.IntN(4) {
	case 0: // as if it were the next one
		rec.Seq++
		rec.Type, rec.Connector, rec.SessionID, rec.Data = wire.TypePluggedIn, 1, "", []byte("{}")
	case 1: // far ahead
		rec.Seq += charge.Seq(2 + c.IntN(100))
	case 2: // one that is known, with other bytes
		rec = a.known.records[a.known.order[c.IntN(n)]].rec
		rec.UptimeMS++
	default: // another boot
		next, err := wire.NewRecord(&wire.Registered{
			Agent: "stray", Simulated: true, After: &wire.Position{Journal: rec.Journal, Seq: rec.Seq},
			Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable, Available: true}},
		})
		if err != nil {
			w.object("shell", "stray cannot be written: %v", err)
			return
		}
		next.CPID, next.Journal, next.Seq, next.At, next.Clock = a.id, charge.JournalID(c.id(w.wall())), 1, rec.At, rec.Clock
		rec = next
	}
	rec.Prev = wire.Hash([]byte(strings.Repeat("x", 1+c.IntN(1000))))
	raw, err := rec.Encode()
	if err != nil {
		w.object("shell", "stray cannot be written: %v", err)
		return
	}
	w.stats.Strays++
	w.mqtt.accept(note{topic: w.mqtt.topics.Of(a.id, wire.KindEvent), raw: raw, qos: 1})
}
