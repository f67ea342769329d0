package observe

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/logs"
)

// Manager is the service manager that started the program and may restart it, such
// as systemd.Notifier.
type Manager interface {
	// Ready reports that the program does its work, Stopping that it has begun to
	// end. Without a manager they do nothing.
	Ready(ctx context.Context) error
	Stopping(ctx context.Context) error
	// Watchdog reports progress. A manager restarts a program that has not called it
	// for two intervals; an interval of 0 means that it is not expected.
	Watchdog(ctx context.Context) error
	WatchdogInterval() time.Duration
}

// Report reports to the service manager: ready at once, progress as long as no loop
// hangs, and stopping when ctx ends, where it returns. While a loop hangs it looks again
// each second, so that one that continues in time does not cost a restart. A report that
// cannot be sent is only logged: the program does its work without a manager.
//
// That no loop hangs is the only condition, the same as of /livez.
func (s *Server) Report(ctx context.Context, m Manager) {
	send := func(word string, report func(context.Context) error) {
		if err := report(context.WithoutCancel(ctx)); err != nil {
			s.log.Warn("service manager not notified", slog.String("word", word), logs.Err(err))
		}
	}
	send("ready", m.Ready)
	every := m.WatchdogInterval()
	due := time.NewTimer(every)
	defer due.Stop()
	if every <= 0 {
		due.Stop() // no progress is expected
	}
	logged := false // that a loop hangs
	for {
		select {
		case <-ctx.Done():
			send("stopping", m.Stopping)
			return
		case <-due.C:
		}
		hung := s.loops.Hung()
		if len(hung) == 0 {
			send("watchdog", m.Watchdog)
			due.Reset(every)
		} else {
			if !logged {
				s.log.Error("no progress is reported to the service manager, which will restart this program",
					slog.String("reason", "these hang: "+strings.Join(hung, ", ")))
			}
			due.Reset(min(every, health.BeatEvery))
		}
		logged = len(hung) > 0
	}
}
