package obs

import (
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Kind is what a metric is to Prometheus.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"   // only grows while the program lives
	Gauge     Kind = "gauge"     // goes up and down
	Histogram Kind = "histogram" // counts by size
)

// Family is one metric with its values, as they are read at the moment of
// asking. A program makes all its families from the states it has anyway:
// nothing is counted for their sake alone.
type Family struct {
	Name    string // with the program's prefix and the unit
	Help    string
	Kind    Kind
	Samples []Sample
}

// Sample is one value of a family.
type Sample struct {
	Labels []Label // in the order of the family, the same names in all samples
	Value  float64
	// Spread is the value of a histogram.
	Spread *Spread
}

// Label tells the samples of a family apart. Its values are of a small closed
// set: never a charging point, a session or an error.
type Label struct{ Name, Value string }

// One is a family of one value without labels.
func One(name string, kind Kind, help string, value float64) Family {
	return Family{Name: name, Help: help, Kind: kind, Samples: []Sample{{Value: value}}}
}

// By is a family with one label.
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

// At is the value at which the label of By has the value label.
func At(label string, value float64) Labelled { return Labelled{label, value} }

// Timed is a family of one histogram of durations in seconds.
func Timed(name, help string, d *Durations) Family {
	s := d.Spread()
	return Family{Name: name, Help: help, Kind: Histogram, Samples: []Sample{{Spread: &s}}}
}

// Truth is 1 or 0.
func Truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Durations counts durations by size. Observe costs a short search and two
// additions; it is to be called once per batch where there are batches.
type Durations struct {
	bounds []time.Duration
	counts []atomic.Uint64 // of each bound, and of what is longer than all
	sum    atomic.Int64    // nanoseconds
}

// NewDurations takes the upper bounds, which must grow.
func NewDurations(bounds ...time.Duration) *Durations {
	return &Durations{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts one duration; below zero is zero. On nil it does nothing.
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

// Spread is a histogram at one moment.
type Spread struct {
	Buckets []Bucket // cumulative, without that of infinity
	Count   uint64
	Sum     float64 // seconds
}

// Bucket counts what is at most Bound.
type Bucket struct {
	Bound float64 // seconds
	Count uint64
}

// Spread reads the counts.
func (d *Durations) Spread() Spread {
	s := Spread{Buckets: make([]Bucket, 0, len(d.bounds)), Sum: time.Duration(d.sum.Load()).Seconds()}
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
			if s.Spread == nil {
				b = appendLine(b, f.Name, s.Labels, s.Value)
				continue
			}
			for _, k := range s.Spread.Buckets {
				b = appendLine(b, f.Name+"_bucket", withBound(s.Labels, number(k.Bound)), float64(k.Count))
			}
			b = appendLine(b, f.Name+"_bucket", withBound(s.Labels, "+Inf"), float64(s.Spread.Count))
			b = appendLine(b, f.Name+"_sum", s.Labels, s.Spread.Sum)
			b = appendLine(b, f.Name+"_count", s.Labels, float64(s.Spread.Count))
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
	case v == math.Trunc(v) && math.Abs(v) < 1e15: // no exponent: people read it, too
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
