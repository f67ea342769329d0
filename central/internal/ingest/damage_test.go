package ingest_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// If any table is damaged, no offset moves, nothing becomes a dead letter, and
// page, health and alarms show the damage. On a sound database all records are
// applied.
func TestADamagedDatabaseStopsAndLosesNothing(t *testing.T) {
	for _, table := range []string{"journals", "connectors", "meters", "sessions", "records", "offsets", "outbox"} {
		dir := t.TempDir()
		t.Run(table, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whole := options(dir)
				l := newInstance(t, whole, config())
				l.w.Join(charge.Epoch{})
				p := journaltest.New(t, "CP_1")
				p.Charge(1)
				l.deliver(wire.TopicEvents, p.All...)
				synctest.Wait()
				if _, err := store.Backup(t.Context(), whole.Path, filepath.Join(dir, "copy.db")); err != nil {
					t.Fatal(err)
				}
				l.end()
				known, offset := len(p.All), l.next[wire.TopicEvents]
				storetest.OverwriteRootPages(t, whole.Path, table)
				p.Charge(2)

				damaged, err := store.Open(t.Context(), whole)
				if err != nil {
					t.Fatal(err)
				}
				broken := startInstance(t, damaged, config())
				broken.next[wire.TopicEvents] = offset
				broken.w.Join(charge.Epoch{})
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := broken.w.Submit(ctx, broken.batch(wire.TopicEvents, false, p.All[known:]...)); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err) // it is taken, or waits for as long as it may
				}
				<-ctx.Done()
				synctest.Wait()
				own := broken.live.State()
				if !strings.Contains(own.Database, "damaged") {
					t.Errorf("health: got %q, want the damage", own.Database)
				}
				if part := self(broken); part.State != view.PartDown || !strings.Contains(part.Reason, "damaged") {
					t.Errorf("page: got %+v, want Central down because of the damage", part)
				}
				if a, ok := broken.live.Alarm(); !ok || a.Kind != view.AlarmDatabase || broken.live.Network().Books.Alarms == 0 {
					t.Errorf("alarm: got %+v %v", a, ok)
				}
				if _, err := broken.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorCancel{ReservationID: "r"}}); !errors.Is(err, ingest.ErrStorage) {
					t.Errorf("an operator: got %v, want ErrStorage", err)
				}
				if got := broken.out.acked("CP_1"); got > p.Seq-8 {
					t.Errorf("acknowledged %d without a commit", got)
				}
				if got := broken.live.Network().Books; got.DeadLetters != 0 || got.OutOfOrder != 0 {
					t.Errorf("%d dead letters, %d out of order: want none", got.DeadLetters, got.OutOfOrder)
				}
				if table != "offsets" {
					if next, _, _, err := damaged.Offset(t.Context(), wire.TopicEvents, 0); err != nil || next != offset {
						t.Errorf("offset: got %d %v, want %d", next, err, offset)
					}
				}
				broken.stop()
				<-broken.done
				if err := damaged.Close(); err != nil {
					t.Log(err) // of a damaged file
				}

				sound := newInstance(t, store.Options{Path: filepath.Join(dir, "copy.db")}, config())
				defer sound.end()
				sound.w.Join(charge.Epoch{})
				sound.next[wire.TopicEvents] = offset
				sound.deliver(wire.TopicEvents, p.All[known:]...)
				time.Sleep(time.Second)
				synctest.Wait()
				if got := sound.out.acked("CP_1"); got != p.Seq {
					t.Errorf("on the backup: acknowledged %d, want %d", got, p.Seq)
				}
			})
		})
	}
}
