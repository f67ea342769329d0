package observe_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/observe"
)

// manager records its notifications, with the time since the start.
type manager struct {
	every time.Duration
	fails bool
	began time.Time
	got   []string
}

func (m *manager) add(word string) error {
	m.got = append(m.got, time.Since(m.began).String()+" "+word)
	if m.fails {
		return errors.New("connection refused")
	}
	return nil
}

func (m *manager) Ready(context.Context) error     { return m.add("ready") }
func (m *manager) Stopping(context.Context) error  { return m.add("stopping") }
func (m *manager) Watchdog(context.Context) error  { return m.add("watchdog") }
func (m *manager) WatchdogInterval() time.Duration { return m.every }

// report runs a Server with the loop "good", and "bad", which hangs after 3 s without
// progress, for 12.25 s. bad beats while its function permits. It returns the log.
func report(t *testing.T, m *manager, beats func(second int) bool) string {
	t.Helper()
	var log strings.Builder
	s := observe.NewServer("carga_x_", func(*health.Registry) {}, func() []metrics.Family { return nil }, slog.New(slog.NewTextHandler(&log, nil)))
	bad := s.LoopWithin("bad", 3*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	m.began = time.Now()
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	running.Go(func() { s.Report(ctx, m) })
	for n := range 12 {
		time.Sleep(time.Second)
		if beats(n + 1) {
			bad.Beat()
		}
	}
	time.Sleep(250 * time.Millisecond)
	cancel()
	running.Wait()
	return log.String()
}

func TestProgressIsReportedWhileNoLoopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{every: 2500 * time.Millisecond}
		log := report(t, m, func(second int) bool { return second < 4 || second > 8 })
		want := []string{"0s ready", "2.5s watchdog", "5s watchdog", "9.5s watchdog", "12s watchdog", "12.25s stopping"}
		if !slices.Equal(m.got, want) {
			t.Errorf("got %q, want %q: bad hangs from 6 s to 9 s, and is looked at each second", m.got, want)
		}
		if strings.Count(log, "these hang: bad") != 1 {
			t.Errorf("the log does not name the loop that hangs, once:\n%s", log)
		}
	})
}

func TestNoProgressIsReportedWithoutAWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{fails: true}
		log := report(t, m, func(int) bool { return true })
		if want := []string{"0s ready", "12.25s stopping"}; !slices.Equal(m.got, want) {
			t.Errorf("got %q, want %q", m.got, want)
		}
		if !strings.Contains(log, "word=ready") || !strings.Contains(log, "connection refused") {
			t.Errorf("the log does not name what was not sent:\n%s", log)
		}
	})
}
