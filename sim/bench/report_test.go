package bench_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/carga-ev/carga/sim/bench"
)

func TestVerdicts(t *testing.T) {
	beside := bench.Row{Name: "a", Unit: "msg/s", BesideWhat: "yardstick", Wanted: 0.9}
	limit := bench.Row{Name: "b", Unit: "ms", Wanted: 50}
	for name, c := range map[string]struct {
		row     bench.Row
		verdict bench.Verdict
		ratio   float64
	}{
		"as fast as wanted":         {bench.Compared(beside, []float64{90, 45}, []float64{100, 50}), bench.OK, 0.9},
		"slower than wanted":        {bench.Compared(beside, []float64{80}, []float64{100}), bench.Below, 0.8},
		"no round":                  {bench.Compared(beside, nil, nil), bench.Below, 0},
		"at the limit":              {bench.Limited(limit, 50, 1), bench.OK, 1},
		"above the limit":           {bench.Limited(limit, 75, 1), bench.Below, 1.5},
		"nothing wanted":            {bench.Limited(bench.Row{Unit: "MB"}, 3, 1), bench.Shown, 0},
		"nothing wanted of a ratio": {bench.Compared(bench.Row{BesideWhat: "y"}, []float64{1}, []float64{2}), bench.Shown, 0.5},
		"not there":                 {bench.Missing(limit, "no program"), bench.NotMeasured, 0},
	} {
		if c.row.Verdict != c.verdict || c.row.Ratio != c.ratio {
			t.Errorf("%s: %q with ratio %v, want %q and %v", name, c.row.Verdict, c.row.Ratio, c.verdict, c.ratio)
		}
	}
}

func sample() bench.Report {
	return bench.Report{
		Machine: bench.Machine{CPUs: 2, OS: "linux", Arch: "amd64", Go: "go1.26", Load: "0.31"}, DurationS: 12.4,
		Rows: []bench.Row{
			bench.Compared(bench.Row{Name: "bridge", What: "bridge", Unit: "msg/s", BesideWhat: "count-only", Wanted: 0.9}, []float64{18_000}, []float64{20_000}),
			bench.Limited(bench.Row{Name: "latency", What: "fsync → ack", Unit: "ms", Wanted: 50, Note: "p90 7 ms"}, 5.1234567, 100),
			bench.Missing(bench.Row{Name: "size", What: "size", Unit: "MiB", Wanted: 8}, "build it"),
		},
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	r := sample()
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"what figure beside ratio wanted",
		"bridge 18 000 msg/s 20 000 count-only 0.90 ratio ≥ 0.9 ok",
		"fsync → ack 5.12 ms 0.10 ≤ 50 ms ok",
		"size – ≤ 8 MiB not measured",
		"latency: p90 7 ms",
		"size: build it",
		"2 CPUs, linux/amd64, go1.26, load before 0.31; took 12 s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestJSON: the report is one object, with rounded figures.
func TestJSON(t *testing.T) {
	var b strings.Builder
	r := sample()
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back bench.Report
	d := json.NewDecoder(strings.NewReader(b.String()))
	if err := d.Decode(&back); err != nil || d.More() {
		t.Fatalf("not one object: %v", err)
	}
	if len(back.Rows) != 3 || back.Rows[1].Figure != 5.123 || back.Rows[0].Verdict != bench.OK {
		t.Errorf("read back %+v", back.Rows)
	}
	if r.Rows[1].Figure != 5.1234567 {
		t.Error("writing changed the report")
	}
}

func TestValidate(t *testing.T) {
	good := bench.DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for flag, spoil := range map[string]func(*bench.Config){
		"--for":        func(c *bench.Config) { c.For = 0 },
		"--only":       func(c *bench.Config) { c.Only = []string{"latency", "nothing"} },
		"--points":     func(c *bench.Config) { c.Points = 0 },
		"--rate":       func(c *bench.Config) { c.Rate = -1 },
		"--publishers": func(c *bench.Config) { c.Publishers = 0 },
	} {
		cfg := bench.DefaultConfig()
		spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not named: %v", flag, err)
		}
	}
}
