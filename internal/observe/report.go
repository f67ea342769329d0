package observe

import (
	"context"
	"log/slog"
	"strings"
	"time"

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
// hangs, and stopping when ctx ends, where it returns. A report that cannot be sent is
// only logged: the program does its work without a manager.
func (s *Server) Report(ctx context.Context, m Manager) {
	send := func(word string, report func(context.Context) error) {
		if err := report(context.WithoutCancel(ctx)); err != nil {
			s.log.Warn("service manager not notified", slog.String("word", word), logs.Err(err))
		}
	}
	send("ready", m.Ready)
	var due <-chan time.Time // nil: no progress is expected
	if every := m.WatchdogInterval(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		due = t.C
	}
	for {
		select {
		case <-ctx.Done():
			send("stopping", m.Stopping)
			return
		case <-due:
			if hung := s.loops.Hung(); len(hung) > 0 {
				s.log.Error("no progress is reported to the service manager, which will restart this program",
					slog.String("reason", "these hang: "+strings.Join(hung, ", ")))
				continue
			}
			send("watchdog", m.Watchdog)
		}
	}
}
