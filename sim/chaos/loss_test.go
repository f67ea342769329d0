package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/driver"
	"github.com/carga-ev/carga/sim/operator"
)

// TestCentralIsRestoredFromABackup: the backup holds a session, the desired
// state to stop it, an active reservation and one that is requested. It is
// restored when all of that has expired, while charging points charge and
// drivers send requests. The ledger becomes that of a Central that was never
// restored, no ticket is made or published with other contents, and no order of
// the backup is carried out.
func TestCentralIsRestoredFromABackup(t *testing.T) {
	l := running(t, 4)
	long, other, busy := l.Points[0], l.Points[1], l.Points[2:]
	dir := folder(t)
	backup, before := filepath.Join(dir, "backup.db"), filepath.Join(dir, "before.db")
	first := l.startSession(long, "ana")
	old := l.startSession(other, "ben")
	pending := l.backupWithPendingOrders(old, busy, backup)
	if got := l.ticket(old); got.Username != "ben" {
		t.Errorf("the ticket of the session that was to be stopped is %+v", got)
	}
	l.must(other.Controls().Unplug(1))
	drivers := l.startDrivers(busy)
	await(t, "all orders of the backup are past, and drivers were served", func(context.Context) error {
		if now := charge.At(time.Now()); now <= pending.lastExpiry || drivers.served.Load() < 4 {
			return fmt.Errorf("%d s are left, %d were served", (pending.lastExpiry-now)/1000, drivers.served.Load())
		}
		return nil
	})
	second := l.startSession(other, "eve")

	l.central("backup", "--to", before)
	l.must(l.Central.Stop(limit))
	for _, tail := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(l.Database() + tail); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(backup)
	l.must(errors.Join(err, os.WriteFile(l.Database(), raw, 0o600)))
	l.must(l.Central.Start(t.Context()))

	served := drivers.served.Load()
	l.sessionContinues(long, first)
	l.sessionContinues(other, second)
	await(t, "drivers are served by the restored Central", func(context.Context) error {
		if n := drivers.served.Load() - served; n < 4 {
			return fmt.Errorf("only %d", n)
		}
		return nil
	})
	l.sessionContinues(long, first)
	l.sessionContinues(other, second)
	drivers.stop()
	l.noOrderOfTheBackup(pending, first, second)
	l.stopSession(long, first)
	l.stopSession(other, second)
	await(t, "all comes to rest", l.AtRest())
	l.sameAsWithoutLoss(before)
	l.must(l.Settle(t.Context(), limit))
	a, err := l.Reconcile(t.Context())
	l.must(err)
	t.Logf("%+v", a)
	for _, v := range a.Violations {
		t.Error(v)
	}
	if a.Unaccounted != 0 || a.Lost() != 0 || a.Tickets < 3+8 {
		t.Errorf("got %+v; want all energy on tickets", a)
	}
}

// backupOrders are the orders in the backup that are not completed.
type backupOrders struct {
	lastExpiry   charge.Time // when the last of them expires
	reservations []charge.ReservationID
}

// backupWithPendingOrders makes a backup in which much is ordered and nothing
// carried out: the bridge is suspended until the backup is made.
func (l *lossyNetwork) backupWithPendingOrders(stop charge.SessionID, free []*chaos.Point, backup string) (o backupOrders) {
	l.Helper()
	l.must(l.API.Reserve(l.Context(), free[0].ID, 1, "carl"))
	await(l.T, "a reservation is confirmed", listed(func(ctx context.Context) ([]operator.Reservation, error) {
		return l.API.Reservations(ctx, "active")
	}, "active reservation", func(operator.Reservation) bool { return true }))
	_, err := l.Bridge.Freeze()
	l.must(err)
	l.must(l.API.Reserve(l.Context(), free[1].ID, 1, "dora"))
	l.must(l.API.StopSession(l.Context(), stop))
	l.central("backup", "--to", backup)
	l.must(l.Bridge.Thaw())
	ends := l.column(l.Context(), backup, `SELECT max(t) FROM (SELECT until AS t FROM reservations UNION ALL SELECT expires_at FROM commands)`)
	ms, err := strconv.ParseInt(ends[0], 10, 64)
	l.must(err)
	o.lastExpiry = charge.Time(ms)
	for _, id := range l.column(l.Context(), backup, "SELECT reservation_id FROM reservations WHERE ended_at = 0") {
		o.reservations = append(o.reservations, charge.ReservationID(id))
	}
	wanted := l.column(l.Context(), backup, "SELECT kind FROM desired_states WHERE ended_at = 0")
	under := l.column(l.Context(), backup, "SELECT type FROM commands WHERE state IN ('written', 'sent') ORDER BY type")
	if len(o.reservations) != 2 || !slices.Contains(wanted, "stop") || !reflect.DeepEqual(under, []string{"RESERVE", "STOP"}) {
		l.Fatalf("the backup holds the reservations %v, the desired states %v, the commands %v", o.reservations, wanted, under)
	}
	return o
}

// returningDrivers are drivers that charge again and again, one at each
// charging point.
type returningDrivers struct {
	served atomic.Int64
	stop   func()
}

func (l *lossyNetwork) startDrivers(points []*chaos.Point) *returningDrivers {
	l.Helper()
	line := startClient(l.T, l.Network)
	ctx, cancel := context.WithCancel(l.Context())
	c := &returningDrivers{}
	var all sync.WaitGroup
	for i, p := range points {
		all.Go(func() {
			cfg := driver.DefaultConfig()
			cfg.Username, cfg.CPID = charge.Username("driver"+strconv.Itoa(i+1)), &p.ID
			cfg.Deadline, cfg.SessionTimeout, cfg.Grace, cfg.StopAfter = 30*time.Second, 30*time.Second, 5*time.Second, 2*time.Second
			for ctx.Err() == nil {
				o, err := driver.Run(ctx, cfg, line, func(s driver.Step) {
					if s.Kind == driver.StepAuthorized {
						_ = p.Controls().Plug(1) // it may still be plugged in
					}
				})
				_ = p.Controls().Unplug(1)
				if err == nil && o.Result == driver.Ticket {
					c.served.Add(1)
					continue
				}
				select { // refused, or the previous vehicle has not left
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			}
		})
	}
	c.stop = func() {
		cancel()
		all.Wait()
	}
	l.Cleanup(c.stop)
	return c
}

// noOrderOfTheBackup checks the commands of the restored Central: none orders a
// reservation of the backup, or stops a running session.
func (l *lossyNetwork) noOrderOfTheBackup(pending backupOrders, running ...charge.SessionID) {
	l.Helper()
	epoch := l.column(l.Context(), l.Database(), "SELECT number||'-'||run FROM epoch")[0]
	for _, m := range l.readTopic("cp-commands") {
		c, err := wire.DecodeCommand(m.Value)
		if err != nil || c.Central.String() != epoch { // an acknowledgement, or of an earlier epoch
			continue
		}
		o, err := c.Order()
		l.must(err)
		switch o := o.(type) {
		case *wire.Reserve:
			if slices.Contains(pending.reservations, o.ReservationID) {
				l.Errorf("a reservation of the backup is ordered again: %s", m.Value)
			}
		case *wire.Stop:
			if slices.Contains(running, o.SessionID) {
				l.Errorf("a running session is stopped without a request: %s", m.Value)
			}
		}
	}
}

// sameAsWithoutLoss compares Central with one that is rebuilt from Kafka's log,
// and with the state before the restore.
func (l *lossyNetwork) sameAsWithoutLoss(before string) {
	l.Helper()
	settings, rebuilt := before+".settings", before+".rebuilt"
	l.must(os.WriteFile(settings, []byte(l.central("export-settings")), 0o600))
	got, want := l.hash("verify"), l.hash("rebuild", "--settings", settings, "--into", rebuilt)
	if got != want {
		l.Errorf("the ledger is %.12s, that of Kafka's whole log is %.12s", got, want)
	}
	const tickets = "SELECT ticket_id || json_array(session_id, energy_wh, cost_minor, duration_sec, username, ended_at, reason) FROM tickets"
	now := l.column(l.Context(), l.Database(), tickets)
	for _, t := range l.column(l.Context(), before, tickets) {
		if !slices.Contains(now, t) {
			l.Errorf("the ticket %s is not there after the restore, but %v", t, now)
		}
	}
	events := map[charge.SessionID]wire.CentralEvent{}
	for _, m := range l.readTopic("central-events") {
		e, err := wire.DecodeCentralEvent(m.Value)
		l.must(err)
		if e.EventType != wire.CentralTicket {
			continue
		}
		e.Timestamp = 0 // of the publication
		// What was in the outbox of the backup may be published again.
		if was, some := events[e.SessionID]; some && !reflect.DeepEqual(was, e) {
			l.Errorf("a ticket was published as\n%+v and as\n%+v", was, e)
		}
		events[e.SessionID] = e
	}
	if n := len(l.column(l.Context(), l.Database(), "SELECT 1 FROM sessions")); len(now) != n || len(events) != n {
		l.Errorf("%d sessions have %d tickets, of which %d were published; want one each", n, len(now), len(events))
	}
}
