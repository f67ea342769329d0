package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

// countingStore is the real database. It notes what is loaded, and can refuse
// to write.
type countingStore struct {
	realDB
	loaded [][]charge.CPID
	fail   error // of the next Write
}

func (s *countingStore) Recent(ctx context.Context, keep int, ids ...charge.CPID) (map[charge.CPID]*ledger.CP, error) {
	s.loaded = append(s.loaded, slices.Sorted(slices.Values(ids)))
	return s.realDB.Recent(ctx, keep, ids...)
}

func (s *countingStore) Write(ctx context.Context, fn func(Tx) error) error {
	if err := s.fail; err != nil {
		s.fail = nil
		return err
	}
	return s.realDB.Write(ctx, fn)
}

// newManualWriter returns a writer that the test drives itself.
func newManualWriter(t *testing.T) (*manualWriter, *countingStore) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(storetest.Dir(t), "c.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	seen := &countingStore{realDB: realDB{s}}
	tariff := ledger.Tariff{Version: "t1", StartFee: 100, PerKWh: 45, Currency: "EUR"}
	w := New(Config{
		Topics:  Topics{Events: wire.TopicEvents, Monitor: wire.TopicMonitor, Drivers: wire.TopicDriverEvents, Central: wire.TopicCentralEvents},
		Default: tariff, Admit: true, KeepAnswers: 7 * 24 * time.Hour, Keep: 90 * 24 * time.Hour,
		IDs: func() string { return ids.New(time.Now(), rand.Reader) },
		Run: "00000000000000ab",
	}, seen, allSent{}, NewLive(tariff), func() {}, slog.New(slog.DiscardHandler))
	if err := w.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.live.join()
	return &manualWriter{t: t, w: w, s: s, p: journaltest.New(t, "CP_1"), next: map[string]int64{}}, seen
}

// After a failed transaction only what it changed is loaded again.
func TestAFailedTransactionReadsBackWhatItTouched(t *testing.T) {
	d, seen := newManualWriter(t)
	for i := range 20 {
		d.commit(d.decode(wire.TopicEvents, journaltest.New(t, charge.CPID(fmt.Sprint("OTHER_", i))).All...)...)
	}
	d.commit(d.decode(wire.TopicEvents, d.p.All...)...)
	other := d.w.cps["OTHER_3"]
	fresh := journaltest.New(t, "CP_NEW")
	d.p.Charge(1)
	seen.loaded, seen.fail = nil, errors.New("the disk went away")
	inputs := append(d.decode(wire.TopicEvents, d.p.All[1:]...), d.decode(wire.TopicEvents, fresh.All...)...)
	if err := d.w.tryCommit(t.Context(), inputs); err == nil {
		t.Fatal("the transaction was to fail")
	}
	d.commit(inputs...)
	if want := [][]charge.CPID{{"CP_1", "CP_NEW"}}; !slices.EqualFunc(seen.loaded, want, slices.Equal) {
		t.Errorf("loaded: got %v, want %v", seen.loaded, want)
	}
	if d.w.cps["OTHER_3"] != other {
		t.Error("a charging point that was not touched was read back")
	}
	for id, want := range map[charge.CPID]int64{"CP_1": 9, "CP_NEW": 1} {
		if cp := d.w.cps[id]; cp == nil || cp.KnownRecords != want {
			t.Errorf("%s: got %+v, want %d records known", id, cp, want)
		}
	}
}

// One transaction has all inputs that wait.
func TestABatchHasAllThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newManualWriter(t)
		const waiting = 60
		for i := range waiting {
			to := d.w.records
			switch i % 3 {
			case 1:
				to = d.w.monitor
			case 2:
				go func() { d.w.requests <- &operatorIn{op: Order{orders.OperatorLiftFence{}}} }()
				continue
			}
			go func() { to <- []input{tickIn{}} }()
		}
		synctest.Wait()
		if got := len(d.w.nextBatch(t.Context(), nil, nil, nil)); got != waiting {
			t.Errorf("took %d of %d that waited", got, waiting)
		}
	})
}

// Old rows are deleted as fast as they were added, however many a day had.
func TestOldRequestsGoWithinAMinute(t *testing.T) {
	d, _ := newManualWriter(t)
	const old = 10_000
	if err := d.s.Write(t.Context(), func(tx *store.Tx) error {
		for i := range old {
			q := orders.Request{MessageID: fmt.Sprint("m", i), Username: "ann", ReadAt: 1, Ignored: true}
			if err := tx.Orders([]orders.Effect{orders.SaveRequest{Request: q}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	waited := time.Duration(0)
	for d.cleanup(); d.w.cleanupAfter == cleanupPause; d.cleanup() {
		waited += cleanupPause
	}
	if n := d.rows()["requests"]; n != 0 || waited > time.Minute {
		t.Errorf("%d requests are left after %v", n, waited)
	}
}

// A boot is deleted and comes back within one unit, which keeps each row once.
func TestABootThatComesBackInOneUnit(t *testing.T) {
	d, _ := newManualWriter(t)
	u := d.w.newUnit(t.Context())
	connector := func(register charge.WattHours) ledger.Change {
		return ledger.ConnectorChanged{CPID: "CP_1", Connector: ledger.Connector{Journal: "j", ID: 1, Register: register}}
	}
	u.addChanges([]ledger.Change{ledger.PointChanged{Point: ledger.Point{ID: "CP_1", CurrentJournal: "j"}}, connector(1)})
	u.addChanges([]ledger.Change{ledger.BootDeleted{CPID: "CP_1", Journal: "j"}, connector(7)})
	if err := d.s.Write(t.Context(), func(tx *store.Tx) error { return u.write(tx) }); err != nil {
		t.Fatal(err)
	}
	cps, err := d.s.CPs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := cps["CP_1"].Connectors[1]; c == nil || c.Register != 7 {
		t.Errorf("got %+v, want the connector as it came back", c)
	}
}
