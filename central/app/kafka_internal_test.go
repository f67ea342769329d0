package app

import (
	"log/slog"
	"testing"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/observe"
)

// Progress that waits for Kafka is replaced by newer progress of the same
// session, but not by that of another session of the same driver.
func TestProgressOfTwoSessions(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	watch := observe.NewServer(metricPrefix, func(*health.Registry) {}, func() []metrics.Family { return nil }, log)
	l, err := newKafkaIO(DefaultConfig(), nil, nil, ingest.NewLive(ledger.Tariff{}), watch, log)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		l.Progress("ana", "s-1", []byte("{}"))
		l.Progress("ana", "s-2", []byte("{}"))
	}
	if s := l.lossy.Stats(); s.Records != 2 || s.Conflated != 8 {
		t.Errorf("%d wait and %d were replaced, want 2 and 8", s.Records, s.Conflated)
	}
}
