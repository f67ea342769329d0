package chaos_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // reads Central's database beside Central
	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/operator"
)

// lossyNetwork is a running network on real engines whose data will be lost.
type lossyNetwork struct {
	*testing.T
	*chaos.Network
	bin string
}

// running starts such a network. The test runs in parallel from then on.
func running(t *testing.T, points int) *lossyNetwork {
	t.Helper()
	l, engines := &lossyNetwork{T: t, bin: programs(t)}, apache(t)
	t.Parallel()
	var err error
	l.Network, err = chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: l.bin, Dir: folder(t), Engines: engines, Points: points, Connectors: 1, Seed: 1, Power: 50_000,
		Partitions: 1, KeepAlive: 5 * time.Second, Reservation: 10 * time.Second,
	})
	l.must(err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	l.must(l.Start(t.Context()))
	await(t, "the network starts", l.AtRest())
	return l
}

func (l *lossyNetwork) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// listed returns a look function for await: Central lists an item for which is
// holds.
func listed[T any](list func(context.Context) ([]T, error), want string, is func(T) bool) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := list(ctx)
		if err == nil && !slices.ContainsFunc(all, is) {
			err = fmt.Errorf("no %s in %+v", want, all)
		}
		return err
	}
}

func (l *lossyNetwork) sessions(ctx context.Context) ([]operator.Session, error) {
	return l.API.Sessions(ctx, "")
}

// startSession plugs a vehicle in, starts a session, and waits until energy
// flows.
func (l *lossyNetwork) startSession(p *chaos.Point, username charge.Username) (id charge.SessionID) {
	l.Helper()
	l.must(p.Controls().Plug(1))
	await(l.T, "a session is asked for", func(ctx context.Context) (err error) {
		id, err = l.API.StartSession(ctx, p.ID, 1, username)
		return err
	})
	await(l.T, "energy flows", listed(l.sessions, "session with energy: "+string(id), func(s operator.Session) bool {
		return s.ID == id && s.State == "open" && s.Last > s.Start
	}))
	return id
}

// sessionContinues waits until Central has energy of the session that was
// counted after this call. A full vehicle draws none: then the session must
// only be open.
func (l *lossyNetwork) sessionContinues(p *chaos.Point, id charge.SessionID) {
	l.Helper()
	board, err := p.Inspect(l.Context())
	l.must(err)
	before := board.Connectors[0].Register
	await(l.T, "a session goes on", func(ctx context.Context) error {
		board, err := p.Inspect(ctx)
		if err != nil {
			return err
		}
		rests := board.Connectors[0].Power == 0
		return listed(l.sessions, "session that goes on: "+string(id), func(s operator.Session) bool {
			return s.ID == id && s.State == "open" && (rests || s.Last > before)
		})(ctx)
	})
}

// stopSession stops a session, waits for its ticket, and unplugs the vehicle.
func (l *lossyNetwork) stopSession(p *chaos.Point, id charge.SessionID) (ticket operator.Ticket) {
	l.Helper()
	await(l.T, "the session is stopped", func(ctx context.Context) error { return l.API.StopSession(ctx, id) })
	ticket = l.ticket(id)
	l.must(p.Controls().Unplug(1))
	return ticket
}

// ticket waits for the ticket of a session.
func (l *lossyNetwork) ticket(id charge.SessionID) (ticket operator.Ticket) {
	l.Helper()
	await(l.T, "a ticket", listed(l.API.Tickets, "ticket of "+string(id), func(t operator.Ticket) bool {
		if t.SessionID == id {
			ticket = t
		}
		return t.SessionID == id
	}))
	return ticket
}

// central runs a command of the central program beside the running Central.
func (l *lossyNetwork) central(args ...string) string {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(l.bin, "central"), args...)
	cmd.Env = append(os.Environ(), l.Central.Env...)
	var stderr []byte
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		stderr = exit.Stderr
	}
	if err != nil {
		l.Fatalf("central %v: %v\n%s%s", args, err, out, stderr)
	}
	return string(out)
}

var hashLine = regexp.MustCompile(`ledger hash ([0-9a-f]{64})`)

// hash runs a command that verifies a database, and returns the hash of its
// ledger.
func (l *lossyNetwork) hash(args ...string) string {
	l.Helper()
	out := l.central(args...)
	m := hashLine.FindStringSubmatch(out)
	if m == nil {
		l.Fatalf("central %v printed no hash:\n%s", args, out)
	}
	return m[1]
}

// inDatabase opens a database that a running Central uses.
func (l *lossyNetwork) inDatabase(path, mode string, do func(*sql.DB) error) {
	l.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?mode="+mode+"&_busy_timeout=5000")
	l.must(err)
	l.must(errors.Join(do(db), db.Close()))
}

// column returns the first column of a query's result.
func (l *lossyNetwork) column(ctx context.Context, path, query string, args ...any) (all []string) {
	l.Helper()
	l.inDatabase(path, "ro", func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	return all
}

// readTopic reads all messages of a topic with one partition.
func (l *lossyNetwork) readTopic(topic string) (all []kafka.Message) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), limit)
	defer cancel()
	conn, err := kafka.DialLeader(ctx, "tcp", l.KafkaAddr(), topic, 0)
	l.must(err)
	end, err := conn.ReadLastOffset()
	l.must(errors.Join(err, conn.Close()))
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{l.KafkaAddr()}, Topic: topic, MaxWait: 200 * time.Millisecond})
	for next := int64(0); next < end; {
		m, err := reader.ReadMessage(ctx)
		l.must(err)
		all, next = append(all, m), m.Offset+1
	}
	l.must(reader.Close())
	return all
}
