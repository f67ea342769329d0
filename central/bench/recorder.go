package bench

import (
	"context"
	"errors"
	"sync"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// recorder is a database that keeps the rows of each transaction, so that they
// can be written again with nothing around them.
type recorder struct {
	*store.Store
	want int64
	// all is closed when want records are committed.
	all chan struct{}

	mu sync.Mutex
	// mu guards everything that follows.
	units []*unit
	count int64
}

var _ ingest.Store = (*recorder)(nil)

// unit is the rows of one transaction, in the order of writing.
type unit struct {
	steps   []func(ingest.Tx) error
	records int64
}

// write writes the rows again.
func (u *unit) write(tx *store.Tx) error {
	var errs []error
	for _, step := range u.steps {
		errs = append(errs, step(tx))
	}
	return errors.Join(errs...)
}

// Write implements ingest.Store. A transaction is kept only once it is
// committed, so commitBare writes exactly what the first database has.
func (r *recorder) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	u := &unit{}
	if err := r.Store.Write(ctx, func(tx *store.Tx) error { return fn(recordingTx{tx, u}) }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.units = append(r.units, u)
	before := r.count
	r.count += u.records
	if before < r.want && r.count >= r.want {
		close(r.all)
	}
	return nil
}

// Trouble implements ingest.Store.
func (*recorder) Trouble(err error) (why reason.Reason, r ingest.Remedy) {
	why, remedy := store.Diagnose(err)
	return why, ingest.Remedy(remedy)
}

// applied returns how many records are committed.
func (r *recorder) applied() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// recordingTx keeps each row it writes. The methods that it does not override
// are not called for records of charging points.
type recordingTx struct {
	ingest.Tx
	u *unit
}

// do writes a row and keeps it.
func (t recordingTx) do(step func(ingest.Tx) error) error {
	t.u.steps = append(t.u.steps, step)
	return step(t.Tx)
}

func (t recordingTx) Ledger(c []ledger.Change) error {
	return t.do(func(tx ingest.Tx) error { return tx.Ledger(c) })
}

func (t recordingTx) Orders(e []orders.Effect) error {
	return t.do(func(tx ingest.Tx) error { return tx.Orders(e) })
}

func (t recordingTx) Record(in ledger.Input, hash string, at charge.Time) error {
	t.u.records++
	return t.do(func(tx ingest.Tx) error { return tx.Record(in, hash, at) })
}

func (t recordingTx) Outbox(topic, key string, h map[string]string, value []byte, at charge.Time) error {
	return t.do(func(tx ingest.Tx) error { return tx.Outbox(topic, key, h, value, at) })
}

func (t recordingTx) Offset(topic string, p int, next int64, crc uint32) error {
	return t.do(func(tx ingest.Tx) error { return tx.Offset(topic, p, next, crc) })
}

func (t recordingTx) Count(name string, n int64) error {
	return t.do(func(tx ingest.Tx) error { return tx.Count(name, n) })
}
