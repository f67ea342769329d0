package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/obs"
)

// Prometheus' client says of our families what our own text says.
func TestHandlerServesFamiliesAndTheRuntime(t *testing.T) {
	d := obs.NewDurations(time.Millisecond, time.Second)
	d.Observe(20 * time.Millisecond)
	families := []obs.Family{
		obs.One("carga_x_things_total", obs.Counter, "Things.", 7),
		obs.By("carga_x_state", obs.Gauge, "State.", "state", obs.At("a", 1), obs.At("b", 2)),
		obs.Timed("carga_x_seconds", "Spread.", d),
	}
	h := metrics.Handler(func() []obs.Family { return families })
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
