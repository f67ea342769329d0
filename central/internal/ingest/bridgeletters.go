package ingest

import (
	"cmp"
	"slices"

	"github.com/carga-ev/carga/central/view"
)

// MaxBridgeDeadLetters is how many dead letters of bridges are shown: the latest.
// All of them are on Kafka, which keeps them; Central shows them from memory.
const MaxBridgeDeadLetters = 200

// BridgeDeadLetter adds a dead letter of a bridge.
func (l *Live) BridgeDeadLetter(d view.BridgeDeadLetter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := func(o view.BridgeDeadLetter) bool { return o.Partition == d.Partition && o.Offset == d.Offset }
	if slices.ContainsFunc(l.bridgeLetters, same) {
		return // its partition is read again
	}
	at, _ := slices.BinarySearchFunc(l.bridgeLetters, d, func(a, b view.BridgeDeadLetter) int { return cmp.Compare(b.ReceivedAt, a.ReceivedAt) })
	l.bridgeLetters = slices.Insert(l.bridgeLetters, at, d)
	l.bridgeLetters = l.bridgeLetters[:min(len(l.bridgeLetters), MaxBridgeDeadLetters)]
}

// BridgeDeadLetters returns the latest dead letters of bridges, the latest first.
func (l *Live) BridgeDeadLetters() []view.BridgeDeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bridgeLetters)
}
