package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measurement is a measurement that can be run by itself.
type measurement struct {
	name  string
	share int // of the duration, relative to the sum of all shares
	run   func(ctx context.Context, r *run, budget time.Duration) ([]Row, error)
	on    string // what it runs on, where there are two of it
}

// What a measurement runs on.
const (
	onReal     = "real engines"
	onEmbedded = "embedded engines"
)

// measurements returns all measurements, in the order of the table.
func measurements() []measurement {
	return []measurement{
		{"bridge-real", 24, measureBridgeReal, onReal},
		{"latency-real", 24, measureLatency, onReal},
		{"request-real", 16, measureRequest, onReal},
		{"bridge", 24, measureBridge, onEmbedded},
		{"latency", 24, measureLatency, onEmbedded},
		{"request", 16, measureRequest, onEmbedded},
		{"central", 20, measureCentral, ""},
		{"agent", 10, measureAgent, ""},
		{"kafka-back", 16, measureKafkaBack, ""},
	}
}

// slack is how long a measurement may exceed its share, to start and stop its
// parts.
const slack = time.Minute

// run is the environment of one measurement.
type run struct {
	cfg Config       // of the whole run
	log *slog.Logger // never nil
	dir string       // for data; deleted at the end of the measurement
	// journalDir is a folder of the same kind, for the agents' journals.
	journalDir string
	real       bool // bridge, Central and engines are processes
}

// Run runs the measurements one after the other, and passes each row to
// progress as soon as it is known. When ctx ends it returns the rows it has. A
// failed measurement is a row that is not measured; the error names all failed
// ones.
func Run(ctx context.Context, cfg Config, progress func(Row)) (report Report, err error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp(cfg.Dir, prefix)
	if err != nil {
		return Report{}, fmt.Errorf("data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	journals, err := journalsFolder(&cfg)
	if err != nil {
		return Report{}, fmt.Errorf("folder of the journals: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(journals)) }()
	begin := time.Now()
	report.Machine = Machine{CPUs: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), Load: loadAverage()}
	// A measurement that fails does not prevent the others.
	chosen, shares := choose(cfg.Only)
	if without := slices.DeleteFunc(slices.Clone(chosen), func(m measurement) bool { return m.on == onReal }); cfg.NoEngines != "" && len(without) < len(chosen) {
		chosen = without
		report.Rows = append(report.Rows, missing(Row{Name: "real", What: "bridge, latency and request on Mosquitto and Apache Kafka"}, cfg.NoEngines))
		progress(report.Rows[0])
	}
	var errs []error
	for _, m := range chosen {
		if ctx.Err() != nil {
			break
		}
		rows, err := m.runWithin(ctx, &run{
			cfg: cfg, log: cfg.Log, dir: filepath.Join(dir, m.name), journalDir: filepath.Join(journals, m.name), real: m.on == onReal,
		}, cfg.For*time.Duration(m.share)/time.Duration(shares))
		if err != nil && ctx.Err() == nil {
			rows = append(rows, missing(Row{Name: m.name, What: m.name}, err.Error()))
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		// Rows of a failed measurement are kept: those it had measured before
		// it failed.
		for _, row := range rows {
			report.Rows = append(report.Rows, row)
			progress(row)
		}
	}
	report.DurationS = time.Since(begin).Seconds()
	return report, errors.Join(errs...)
}

// choose returns the selected measurements and the sum of all shares: one alone
// takes as long as among the others, not the whole time.
func choose(only []string) (chosen []measurement, shares int) {
	for _, m := range measurements() {
		shares += m.share
		if len(only) == 0 || slices.Contains(only, m.name) {
			chosen = append(chosen, m)
		}
	}
	return chosen, shares
}

// runWithin runs a measurement in folders of its own, which it removes.
func (m *measurement) runWithin(ctx context.Context, r *run, budget time.Duration) ([]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, budget+slack)
	defer cancel()
	if err := os.MkdirAll(r.dir, 0o750); err != nil {
		return nil, err
	}
	rows, err := m.run(ctx, r, budget)
	for i := range rows {
		if row := &rows[i]; m.on != "" {
			row.Name = m.name + strings.TrimPrefix(row.Name, strings.TrimSuffix(m.name, "-real"))
			row.What += ", " + m.on
		}
	}
	return rows, errors.Join(err, os.RemoveAll(r.dir), os.RemoveAll(r.journalDir))
}

// prefix is the prefix of the folders' names.
const prefix = "carga-bench-"

// inMemory is a file system in memory on Linux.
const inMemory = "/dev/shm"

// journalsFolder creates the folder for the agents' journals.
func journalsFolder(cfg *Config) (string, error) {
	// Outside of Linux, or without such a file system, the journals are on the
	// disk.
	if cfg.Journals == "" {
		if dir, err := os.MkdirTemp(inMemory, prefix); err == nil {
			return dir, nil
		}
		return os.MkdirTemp(cfg.Dir, prefix)
	}
	return os.MkdirTemp(cfg.Journals, prefix)
}
