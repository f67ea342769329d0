package metrics_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/metrics"
)

func TestTextIsWhatPrometheusReads(t *testing.T) {
	d := metrics.NewDurations(10*time.Millisecond, time.Second)
	for _, v := range []time.Duration{-time.Second, 10 * time.Millisecond, 500 * time.Millisecond, time.Hour} {
		d.Observe(v)
	}
	text := metrics.AppendText(nil, []metrics.Family{
		metrics.One("a_total", metrics.Counter, "Help \\ with\nlines.", 1e9),
		metrics.By("b", metrics.Gauge, "By label.", "state", metrics.At("up", 1), metrics.At(`q"uo\te`+"\n", 0.25)),
		metrics.Timed("c_seconds", "Distribution.", d),
	})
	want := `# HELP a_total Help \\ with\nlines.
# TYPE a_total counter
a_total 1000000000
# HELP b By label.
# TYPE b gauge
b{state="up"} 1
b{state="q\"uo\\te\n"} 0.25
# HELP c_seconds Distribution.
# TYPE c_seconds histogram
c_seconds_bucket{le="0.01"} 2
c_seconds_bucket{le="1"} 3
c_seconds_bucket{le="+Inf"} 4
c_seconds_sum 3600.51
c_seconds_count 4
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	got, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if h := got["c_seconds"].GetMetric()[0].GetHistogram(); h.GetSampleCount() != 4 || len(h.GetBucket()) != 3 {
		t.Errorf("read back: got %v", h)
	}
	if v := got["b"].GetMetric()[1].GetLabel()[0].GetValue(); v != `q"uo\te`+"\n" {
		t.Errorf("label read back: got %q", v)
	}
}

// Prometheus' parser reads back any value and any label.
func TestTextSurvivesAnyValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label, value := rapid.String().Draw(t, "label"), rapid.Float64().Draw(t, "value")
		text := metrics.AppendText(nil, []metrics.Family{metrics.By("m", metrics.Gauge, rapid.String().Draw(t, "help"), "l", metrics.At(label, value))})
		p := expfmt.NewTextParser(model.UTF8Validation)
		got, err := p.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		m := got["m"].GetMetric()[0]
		if v := m.GetGauge().GetValue(); v != value && !(math.IsNaN(v) && math.IsNaN(value)) {
			t.Errorf("value: got %v, want %v", v, value)
		}
		if v := m.GetLabel()[0].GetValue(); v != strings.ToValidUTF8(label, "\uFFFD") {
			t.Errorf("label: got %q, want %q", v, label)
		}
	})
}

func TestDurationsCountEveryOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOf(rapid.Int64Range(-5, 100)).Draw(t, "durations")
		d := metrics.NewDurations(0, 10, 50)
		var sum float64
		for _, v := range all {
			d.Observe(time.Duration(v))
			sum += time.Duration(max(v, 0)).Seconds()
		}
		s := d.Distribution()
		if s.Count != uint64(len(all)) || math.Abs(s.Sum-sum) > 1e-12 {
			t.Fatalf("got %d in %v, want %d in %v", s.Count, s.Sum, len(all), sum)
		}
		for _, b := range s.Buckets {
			n := uint64(0)
			for _, v := range all {
				if time.Duration(max(v, 0)).Seconds() <= b.Bound {
					n++
				}
			}
			if b.Count != n {
				t.Errorf("at most %v: got %d, want %d", b.Bound, b.Count, n)
			}
		}
	})
	var none *metrics.Durations
	none.Observe(time.Second) // a nil Durations is valid
}
