// Package metrics gives the families of metrics that a program reads from its
// states (obs.Family) to Prometheus' client, beside what the client knows of
// the Go runtime and the process. Bridge and Central use it; the agent, which
// must stay small, writes the same families as text by itself.
//
// There is no global registry: each handler has its own, so that several
// programs can run in one process.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/carga-ev/carga/internal/obs"
)

// Handler serves what read returns, and the runtime's own metrics. read is
// called once for each request, concurrently if there are several.
func Handler(read func() []obs.Family) http.Handler {
	r := prometheus.NewRegistry()
	// Package collectors has newer names for both, and brings database/sql into
	// the bridge.
	runtime := prometheus.NewGoCollector()                                       //nolint:staticcheck // see above
	process := prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}) //nolint:staticcheck // see above
	r.MustRegister(collector(read), runtime, process)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// collector reads everything at the moment of asking.
type collector func() []obs.Family

// Describe implements prometheus.Collector. It says nothing: which checks there
// are is known when they are made.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, f := range c() {
		for _, s := range f.Samples {
			out <- metric(&f, &s)
		}
	}
}

func metric(f *obs.Family, s *obs.Sample) prometheus.Metric {
	names, values := make([]string, 0, len(s.Labels)), make([]string, 0, len(s.Labels))
	for _, l := range s.Labels {
		names, values = append(names, l.Name), append(values, l.Value)
	}
	desc := prometheus.NewDesc(f.Name, f.Help, names, nil)
	var m prometheus.Metric
	var err error
	switch {
	case s.Spread != nil:
		buckets := make(map[float64]uint64, len(s.Spread.Buckets))
		for _, b := range s.Spread.Buckets {
			buckets[b.Bound] = b.Count
		}
		m, err = prometheus.NewConstHistogram(desc, s.Spread.Count, s.Spread.Sum, buckets, values...)
	case f.Kind == obs.Counter:
		m, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.Value, values...)
	default:
		m, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Value, values...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}
