package prom_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/metrics/prom"
)

// Prometheus' client serves the same values as AppendText.
func TestHandlerServesFamiliesAndTheRuntime(t *testing.T) {
	d := metrics.NewDurations(time.Millisecond, time.Second)
	d.Observe(20 * time.Millisecond)
	families := []metrics.Family{
		metrics.One("carga_x_things_total", metrics.Counter, "Things.", 7),
		metrics.By("carga_x_state", metrics.Gauge, "State.", "state", metrics.At("a", 1), metrics.At("b", 2)),
		metrics.Timed("carga_x_seconds", "Distribution.", d),
	}
	h := prom.Handler(func() []metrics.Family { return families })
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	p := expfmt.NewTextParser(model.UTF8Validation)
	got, err := p.TextToMetricFamilies(rec.Body)
	if err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%d %v", rec.Code, err)
	}
	for _, f := range families {
		m := got[f.Name]
		if m == nil || m.GetHelp() != f.Help || len(m.GetMetric()) != len(f.Samples) {
			t.Errorf("%s: got %v", f.Name, m)
		}
	}
	if h := got["carga_x_seconds"].GetMetric()[0].GetHistogram(); h.GetSampleCount() != 1 || len(h.GetBucket()) != 3 {
		t.Errorf("histogram: got %v", h)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if got[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}
