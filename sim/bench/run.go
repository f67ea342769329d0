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
	"time"
)

// measurement is one thing that can be measured by itself.
type measurement struct {
	name  string
	share int // of the time, out of the sum of all
	run   func(ctx context.Context, r *run, budget time.Duration) ([]Row, error)
}

func measurements() []measurement {
	return []measurement{
		{"bridge", 24, measureBridge},
		{"bridge-mosquitto", 24, measureMosquitto},
		{"central", 20, measureCentral},
		{"latency", 24, measureLatency},
		{"request", 16, measureRequest},
		{"agent", 10, measureAgent},
		{"kafka-back", 16, measureKafkaBack},
	}
}

// slack is how long a measurement may take beyond its share, to start and stop
// what it needs.
const slack = 30 * time.Second

// run is one Run.
type run struct {
	cfg Config
	log *slog.Logger
	dir string // of one measurement, deleted at its end
	// journals is such a folder too.
	journals string
}

// Run measures and tells each row as it is known. It returns what it has when
// ctx ends. A measurement that fails is a row that says so; the error names
// all of them.
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
	chosen, shares := choose(cfg.Only)
	var errs []error
	for _, m := range chosen {
		if ctx.Err() != nil {
			break
		}
		rows, err := m.runWithin(ctx, &run{
			cfg: cfg, log: cfg.Log, dir: filepath.Join(dir, m.name), journals: filepath.Join(journals, m.name),
		}, cfg.For*time.Duration(m.share)/time.Duration(shares))
		if err != nil && ctx.Err() == nil {
			rows = append(rows, missing(Row{Name: m.name, What: m.name}, err.Error()))
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		for _, row := range rows {
			report.Rows = append(report.Rows, row)
			progress(row)
		}
	}
	report.TookS = time.Since(begin).Seconds()
	return report, errors.Join(errs...)
}

// choose returns the measurements asked for and the sum of all shares: one
// alone takes no longer than among the others.
func choose(only []string) (chosen []measurement, shares int) {
	for _, m := range measurements() {
		shares += m.share
		if len(only) == 0 || slices.Contains(only, m.name) {
			chosen = append(chosen, m)
		}
	}
	return chosen, shares
}

func (m *measurement) runWithin(ctx context.Context, r *run, budget time.Duration) ([]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, budget+slack)
	defer cancel()
	if err := os.MkdirAll(r.dir, 0o750); err != nil {
		return nil, err
	}
	rows, err := m.run(ctx, r, budget)
	return rows, errors.Join(err, os.RemoveAll(r.dir), os.RemoveAll(r.journals))
}

// prefix begins the names of the folders.
const prefix = "carga-bench-"

// inMemory is a folder in memory on Linux.
const inMemory = "/dev/shm"

func journalsFolder(cfg *Config) (string, error) {
	if cfg.Journals == "" {
		if dir, err := os.MkdirTemp(inMemory, prefix); err == nil {
			return dir, nil
		}
		return os.MkdirTemp(cfg.Dir, prefix)
	}
	return os.MkdirTemp(cfg.Journals, prefix)
}
