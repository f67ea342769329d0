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
	maxForged   = 6
	forgedPause = 80 * time.Second
	seriesPause = 10 * time.Minute
)

// forgeRecords publishes records in a charging point's name as somebody does who may
// publish there and does not hold its chain.
func (w *World) forgeRecords(a *agent, rng random) {
	if w.now < a.forgedUntil {
		return
	}
	at := time.Duration(0)
	for range 1 + rng.IntN(maxForged) {
		w.afterUnlessHealed(at, "stray", func() { w.forgeRecord(a, rng) })
		at += rng.between(span{0, forgedPause})
	}
	a.forgedUntil = w.now + at + seriesPause
}

// forgeRecord publishes one record that does not fit.
func (w *World) forgeRecord(a *agent, rng random) {
	n := len(a.truth.order)
	if n == 0 || !w.mqtt.up {
		return
	}
	rec := a.truth.records[a.truth.order[n-1]].rec
	switch rng.IntN(4) {
	case 0: // as if it were the next one
		rec.Seq++
		rec.Type, rec.Connector, rec.SessionID, rec.Data = wire.TypePluggedIn, 1, "", []byte("{}")
	case 1: // far ahead
		rec.Seq += charge.Seq(2 + rng.IntN(100))
	case 2: // one that is known, with other bytes
		rec = a.truth.records[a.truth.order[rng.IntN(n)]].rec
		rec.UptimeMS++
	default: // another boot
		next, err := wire.NewRecord(&wire.Registered{
			Agent: "stray", Simulated: true, After: &wire.Position{Journal: rec.Journal, Seq: rec.Seq},
			Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable, Available: true}},
		})
		if err != nil {
			w.violated("shell", "stray cannot be written: %v", err)
			return
		}
		next.CPID, next.Journal, next.Seq, next.At, next.Clock = a.id, charge.JournalID(rng.newID(w.wall())), 1, rec.At, rec.Clock
		rec = next
	}
	rec.Prev = wire.Hash([]byte(strings.Repeat("x", 1+rng.IntN(1000))))
	raw, err := rec.Encode()
	if err != nil {
		w.violated("shell", "stray cannot be written: %v", err)
		return
	}
	w.stats.ForgedRecords++
	w.mqtt.route(mqttMessage{topic: w.mqtt.topics.Of(a.id, wire.KindEvent), raw: raw, qos: 1})
}
