package ingest_test

import (
	"testing"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// The latest dead letters of bridges are kept, each once, in whatever order their
// partitions are read.
func TestTheLatestDeadLettersOfBridgesAreShown(t *testing.T) {
	t.Parallel()
	l := ingest.NewLive(ledger.Tariff{})
	const all = ingest.MaxBridgeDeadLetters + 50
	for range 2 {
		for partition := range 2 {
			for n := partition; n < all; n += 2 {
				l.BridgeDeadLetter(view.BridgeDeadLetter{Partition: partition, Offset: int64(n), ReceivedAt: charge.Time(1000 + n)})
			}
		}
	}
	got := l.BridgeDeadLetters()
	if len(got) != ingest.MaxBridgeDeadLetters {
		t.Fatalf("%d are shown", len(got))
	}
	for i, d := range got {
		if want := charge.Time(1000 + all - 1 - i); d.ReceivedAt != want {
			t.Fatalf("number %d was received at %d, want %d", i, d.ReceivedAt, want)
		}
	}
}
