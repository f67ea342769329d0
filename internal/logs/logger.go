package logs

import (
	"io"
	"log/slog"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
)

// New returns a logger that writes to w: text if w is a terminal, JSON lines
// otherwise. Characters that do not print are escaped in both. Pass a *slog.LevelVar to change the level while the program runs.
// Warnings and errors that repeat fast are limited: see limit.go.
func New(w io.Writer, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if process.IsTerminal(w) {
		return slog.New(limited(slog.NewTextHandler(w, o), w))
	}
	return slog.New(limited(slog.NewJSONHandler(escaper{w}, o), w))
}

// LostLines returns how many lines could not be written by a logger of New and
// by all loggers derived from it. A log that cannot be written never stops a
// program, so that this number is all that remains. It is 0 for other loggers.
func LostLines(log *slog.Logger) int64 {
	l, ok := log.Handler().(*limiter)
	if !ok {
		return 0
	}
	n := l.shared.failed.Load()
	if w, ok := l.shared.out.(lineCounter); ok {
		n += w.Lost()
	}
	return n
}

// lineCounter is a writer that writes later, in the background, and counts the
// lines that it could not write.
type lineCounter interface{ Lost() int64 }

var _ lineCounter = (*process.Output)(nil)

// CP is the attribute of a charging point.
func CP(id charge.CPID) slog.Attr { return slog.String("cp_id", string(id)) }

// Connector is the attribute of a connector.
func Connector(id charge.ConnectorID) slog.Attr { return slog.Int("connector", int(id)) }

// Session is the attribute of a session.
func Session(id charge.SessionID) slog.Attr { return slog.String("session_id", string(id)) }

// Journal is the attribute of a journal.
func Journal(id charge.JournalID) slog.Attr { return slog.String("journal", string(id)) }

// Seq is the attribute of a record's number in its journal.
func Seq(n charge.Seq) slog.Attr { return slog.Uint64("seq", uint64(n)) }

// Command is the attribute of a command.
func Command(id charge.CommandID) slog.Attr { return slog.String("command_id", string(id)) }

// Reservation is the attribute of a reservation.
func Reservation(id charge.ReservationID) slog.Attr { return slog.String("reservation_id", string(id)) }

// Topic is the attribute of an MQTT or Kafka topic.
func Topic(name string) slog.Attr { return slog.String("topic", name) }

// Partition is the attribute of a Kafka partition.
func Partition(n int) slog.Attr { return slog.Int("partition", n) }

// Offset is the attribute of an offset in a Kafka partition.
func Offset(n int64) slog.Attr { return slog.Int64("offset", n) }

// Err is the attribute of an error; a nil error is the empty attribute, which
// handlers leave out.
func Err(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.String("err", err.Error())
}
