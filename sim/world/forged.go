package world

import (
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Limits of forged records. A series lasts for less than the ten minutes in which
// records that do not fit prove a second device with the same id, and the next
// series begins so much later that it is counted separately. So forged records
// alone must never quarantine a charging point: S13.
const (
	maxForged   = 6 // records of a series
	forgedPause = 80 * time.Second
	seriesPause = 10 * time.Minute
)

// forgeRecords publishes a series of records in the name of a charging point, as a
// client does that may publish there and does not know the hash chain.
func (w *World) forgeRecords(a *agent, rng random) {
	if w.now < a.forgedUntil {
		return
	}
	at := time.Duration(0)
	for range 1 + rng.IntN(maxForged) {
		w.afterUnlessHealed(at, "forged record", func() { w.forgeRecord(a, rng) })
		at += rng.between(span{0, forgedPause})
	}
	a.forgedUntil = w.now + at + seriesPause
}

// forgeRecord publishes one record that does not fit the chain.
func (w *World) forgeRecord(a *agent, rng random) {
	n := len(a.truth.order)
	if n == 0 || !w.mqtt.up {
		return
	}
	rec := a.truth.records[a.truth.order[n-1]].rec
	switch rng.IntN(4) {
	case 0: // with the next sequence number
		rec.Seq++
		rec.Type, rec.Connector, rec.SessionID, rec.Data = wire.TypePluggedIn, 1, "", []byte("{}")
	case 1: // far ahead
		rec.Seq += charge.Seq(2 + rng.IntN(100))
	case 2: // a known one with other bytes
		rec = a.truth.records[a.truth.order[rng.IntN(n)]].rec
		rec.UptimeMS++
	default: // another boot
		next, err := wire.NewRecord(&wire.Registered{
			Agent: "forged", Simulated: true, After: &wire.Position{Journal: rec.Journal, Seq: rec.Seq},
			Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable, Available: true}},
		})
		if err != nil {
			w.violated("shell", "forged record cannot be encoded: %v", err)
			return
		}
		next.CPID, next.Journal, next.Seq, next.At, next.Clock = a.id, charge.JournalID(rng.newID(w.wall())), 1, rec.At, rec.Clock
		rec = next
	}
	rec.Prev = wire.Hash([]byte(strings.Repeat("x", 1+rng.IntN(1000))))
	raw, err := rec.Encode()
	if err != nil {
		w.violated("shell", "forged record cannot be encoded: %v", err)
		return
	}
	w.stats.ForgedRecords++
	w.mqtt.route(mqttMessage{topic: w.mqtt.topics.Of(a.id, wire.KindEvent), raw: raw, qos: 1})
}
