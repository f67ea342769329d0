// Package metricstest reads a program's /livez, /readyz and /metrics in tests,
// with Prometheus' own parser.
package metricstest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/carga-ev/carga/internal/health"
)

// Page is the address at which a program serves its health and its metrics. Its
// methods fail the test when the program does not answer.
type Page struct {
	T    testing.TB
	Addr string
	// Dial connects to it; nil means the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Get requests a path.
func (p Page) Get(path string) (status int, body string) {
	p.T.Helper()
	// A new connection each time: the program may have been restarted.
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: p.Dial}}
	req, err := http.NewRequestWithContext(p.T.Context(), http.MethodGet, "http://"+p.Addr+path, http.NoBody)
	if err != nil {
		p.T.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		p.T.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		p.T.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// Live requests /livez. It returns the answer, and the status of each loop by
// name.
func (p Page) Live() (ok bool, loops map[string]health.Status) {
	p.T.Helper()
	return p.checks("/livez")
}

// Ready requests /readyz. It returns the answer, and the status of each check by
// name.
func (p Page) Ready() (ok bool, checks map[string]health.Status) {
	p.T.Helper()
	return p.checks("/readyz")
}

// checks requests /livez or /readyz and compares the body with the status code.
func (p Page) checks(path string) (ok bool, all map[string]health.Status) {
	p.T.Helper()
	status, body := p.Get(path)
	var a struct {
		OK     bool
		Checks []health.Status
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.OK != (status == http.StatusOK) {
		p.T.Fatalf("%s: %d %v\n%s", path, status, err, body)
	}
	all = map[string]health.Status{}
	for _, h := range a.Checks {
		all[h.Name] = h
	}
	return a.OK, all
}

// Metrics are the values of a scrape by name and labels, as in
// a_total{result="x"}. A histogram has two: its count and its sum.
type Metrics map[string]float64

// Scrape requests /metrics. What Prometheus cannot parse fails the test.
func (p Page) Scrape() Metrics {
	p.T.Helper()
	status, body := p.Get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil || status != http.StatusOK {
		p.T.Fatalf("metrics: %d %v\n%s", status, err, body)
	}
	all := Metrics{}
	for name, f := range families {
		// Every metric of Carga explains itself.
		if f.GetHelp() == "" && strings.HasPrefix(name, "carga_") {
			p.T.Errorf("metric %s has no help text", name)
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			key := ""
			if len(labels) > 0 {
				key = "{" + strings.Join(labels, ",") + "}"
			}
			// The buckets of a histogram are left out.
			if h := m.GetHistogram(); h != nil {
				all[name+"_count"+key], all[name+"_sum"+key] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			// A family is a gauge or a counter; the other value is 0.
			all[name+key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

// Documented fails the test unless the metrics with prefix are exactly those
// that the file names in backquotes: a metric without documentation is of no use
// to an operator, and neither is one that does not exist.
func (m Metrics) Documented(t *testing.T, prefix, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, name := range regexp.MustCompile("`"+prefix+"[a-z_]+`").FindAllString(string(text), -1) {
		missing[strings.Trim(name, "`")] = true
	}
	for name := range m.Names(prefix) {
		// The count and the sum of a histogram are one metric.
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_count"), "_sum")
		if _, named := missing[name]; !named {
			t.Errorf("%s does not document the metric %s", file, name)
		}
		missing[name] = false
	}
	for name, is := range missing {
		if is {
			t.Errorf("%s documents %s, which does not exist", file, name)
		}
	}
}

// Names returns the names of the metrics whose name begins with prefix, without
// labels.
func (m Metrics) Names(prefix string) map[string]bool {
	names := map[string]bool{}
	for key := range m {
		name, _, _ := strings.Cut(key, "{")
		if strings.HasPrefix(name, prefix) {
			names[name] = true
		}
	}
	return names
}
