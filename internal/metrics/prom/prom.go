// Package prom serves metric families with Prometheus' client library, together
// with the library's own metrics of the Go runtime and the process. Bridge and
// Central use it. The agent must stay small and serves metrics.AppendText.
//
// There is no global registry: each handler has its own, so that several
// programs can run in one process.
package prom

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/carga-ev/carga/internal/metrics"
)

// Handler serves the families that read returns, and the runtime's own metrics.
// read is called once per request, concurrently if there are several.
func Handler(read func() []metrics.Family) http.Handler {
	r := prometheus.NewRegistry()
	// Package collectors has newer names for both, and brings database/sql into
	// the bridge.
	runtime := prometheus.NewGoCollector()                                       //nolint:staticcheck // see above
	process := prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}) //nolint:staticcheck // see above
	r.MustRegister(collector(read), runtime, process)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// collector is a prometheus.Collector that reads all families for each scrape.
type collector func() []metrics.Family

// Describe implements prometheus.Collector. It sends nothing, which makes the
// collector an unchecked one: the families are known only when they are read.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, f := range c() {
		for _, s := range f.Samples {
			out <- metric(&f, &s)
		}
	}
}

func metric(f *metrics.Family, s *metrics.Sample) prometheus.Metric {
	names, values := make([]string, 0, len(s.Labels)), make([]string, 0, len(s.Labels))
	for _, l := range s.Labels {
		names, values = append(names, l.Name), append(values, l.Value)
	}
	desc := prometheus.NewDesc(f.Name, f.Help, names, nil)
	var m prometheus.Metric
	var err error
	switch {
	case s.Distribution != nil:
		buckets := make(map[float64]uint64, len(s.Distribution.Buckets))
		for _, b := range s.Distribution.Buckets {
			buckets[b.Bound] = b.Count
		}
		m, err = prometheus.NewConstHistogram(desc, s.Distribution.Count, s.Distribution.Sum, buckets, values...)
	case f.Kind == metrics.Counter:
		m, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.Value, values...)
	default:
		m, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Value, values...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}
