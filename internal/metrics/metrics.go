// Package metrics describes a program's metrics as families of samples, and
// writes them as text for Prometheus.
//
// A program makes all families when it is asked, from the state that it has
// anyway: there is no registry, no global state and nothing that is counted only
// for metrics, except Durations. The agent links this package and serves
// AppendText; bridge and Central serve the same families with Prometheus'
// client library through metrics/prom, which would be too big for the agent.
// Package metricstest reads the result in tests.
package metrics

import (
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Kind is the type of a metric, in Prometheus' words.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"   // only grows while the program runs
	Gauge     Kind = "gauge"     // goes up and down
	Histogram Kind = "histogram" // counts in buckets of size
)

// Family is one metric with its values at the moment of a scrape.
type Family struct {
	Name    string // with the program's prefix and the unit, as in carga_agent_power_watts
	Help    string
	Kind    Kind
	Samples []Sample
}

// Sample is one value of a family.
type Sample struct {
	Labels []Label // in the order of the family, the same names in all samples
	Value  float64
	// Distribution is the value of a histogram.
	Distribution *Distribution
}

// Label distinguishes the samples of a family. Its values are of a small closed
// set, because each costs Prometheus a time series: never the ID of a charging
// point or a session, and never the text of an error.
type Label struct{ Name, Value string }

// One returns a family of one value without labels.
func One(name string, kind Kind, help string, value float64) Family {
	return Family{Name: name, Help: help, Kind: kind, Samples: []Sample{{Value: value}}}
}

// By returns a family with one label, which has a value for each of values.
func By(name string, kind Kind, help, label string, values ...Labelled) Family {
	f := Family{Name: name, Help: help, Kind: kind}
	for _, v := range values {
		f.Samples = append(f.Samples, Sample{Labels: []Label{{label, v.label}}, Value: v.value})
	}
	return f
}

// Labelled is one value of a family with one label.
type Labelled struct {
	label string
	value float64
}

// At returns the value for By whose label is label.
func At(label string, value float64) Labelled { return Labelled{label, value} }

// Timed returns a family of one histogram of durations in seconds.
func Timed(name, help string, d *Durations) Family {
	s := d.Distribution()
	return Family{Name: name, Help: help, Kind: Histogram, Samples: []Sample{{Distribution: &s}}}
}

// Bool returns 1 or 0, as Prometheus has no boolean values.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Durations counts durations in buckets. Observe costs a short search and two
// atomic additions, so that hot paths call it once per batch. Its methods may be
// called concurrently.
type Durations struct {
	bounds []time.Duration
	counts []atomic.Uint64 // one for each bound, and one for what is longer than all
	sum    atomic.Int64    // nanoseconds
}

// NewDurations returns buckets with these upper bounds, which must ascend.
func NewDurations(bounds ...time.Duration) *Durations {
	return &Durations{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts one duration. A negative one, from a clock that was set back,
// counts as zero. On nil it does nothing.
func (d *Durations) Observe(t time.Duration) {
	if d == nil {
		return
	}
	t = max(t, 0)
	i := 0
	for i < len(d.bounds) && t > d.bounds[i] {
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(int64(t))
}

// Distribution is the content of a histogram at one moment.
type Distribution struct {
	Buckets []Bucket // cumulative, without that of infinity
	Count   uint64
	Sum     float64 // seconds
}

// Bucket is the number of values that are at most Bound.
type Bucket struct {
	Bound float64 // seconds
	Count uint64
}

// Distribution returns the counts. It is not one atomic snapshot: a concurrent
// Observe may be in Count and not yet in Sum.
func (d *Durations) Distribution() Distribution {
	s := Distribution{Buckets: make([]Bucket, 0, len(d.bounds)), Sum: time.Duration(d.sum.Load()).Seconds()}
	for i, b := range d.bounds {
		s.Count += d.counts[i].Load()
		s.Buckets = append(s.Buckets, Bucket{Bound: b.Seconds(), Count: s.Count})
	}
	s.Count += d.counts[len(d.bounds)].Load()
	return s
}

// AppendText writes families in the text format of Prometheus, version 0.0.4.
func AppendText(b []byte, families []Family) []byte {
	for i := range families {
		f := &families[i]
		b = append(b, "# HELP "+f.Name+" "+escape(f.Help, false)+"\n# TYPE "+f.Name+" "+string(f.Kind)+"\n"...)
		for j := range f.Samples {
			s := &f.Samples[j]
			if s.Distribution == nil {
				b = appendLine(b, f.Name, s.Labels, s.Value)
				continue
			}
			for _, k := range s.Distribution.Buckets {
				b = appendLine(b, f.Name+"_bucket", withBound(s.Labels, number(k.Bound)), float64(k.Count))
			}
			b = appendLine(b, f.Name+"_bucket", withBound(s.Labels, "+Inf"), float64(s.Distribution.Count))
			b = appendLine(b, f.Name+"_sum", s.Labels, s.Distribution.Sum)
			b = appendLine(b, f.Name+"_count", s.Labels, float64(s.Distribution.Count))
		}
	}
	return b
}

func withBound(labels []Label, bound string) []Label {
	return append(labels[:len(labels):len(labels)], Label{"le", bound})
}

func appendLine(b []byte, name string, labels []Label, value float64) []byte {
	b = append(b, name...)
	for i, l := range labels {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		b = append(b, sep)
		b = append(b, l.Name+`="`+escape(l.Value, true)+`"`...)
	}
	if len(labels) > 0 {
		b = append(b, '}')
	}
	b = append(b, ' ')
	b = append(b, number(value)...)
	return append(b, '\n')
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	case v == math.Trunc(v) && math.Abs(v) < 1e15: // without an exponent, since people read it, too
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func escape(s string, quotes bool) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	s = strings.ReplaceAll(s, "\n", `\n`)
	if quotes {
		s = strings.ReplaceAll(s, `"`, `\"`)
	}
	return s
}
