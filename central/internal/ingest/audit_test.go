package ingest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// by is an operator of the tests.
func by(operation, target string) ingest.Audited {
	return ingest.Audited{Actor: access.Actor{
		Principal: access.Principal{Name: "root", Role: access.Operator}, Operation: operation, From: "192.0.2.1",
	}, Target: target}
}

// TestOrdersAreAudited: an order has one entry, with its commands; a refused one has
// one with the reason; a repeat and what Central orders by itself have none.
func TestOrdersAreAudited(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := simulated(t, dir)
		defer l.end()
		ask := func(by ingest.Audited, key ingest.IdempotencyKey, op ingest.Op) ingest.Reply {
			t.Helper()
			r, err := l.w.ExecuteAs(t.Context(), by, key, op)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := ask(by("simulate", "CP_1/1 plug"), once("k", "plug"), simulate)
		ask(by("simulate", "CP_1/1 plug"), once("k", "plug"), simulate)
		ask(by("cancel-reservation", "none"), ingest.IdempotencyKey{}, cancelUnknown)
		ask(ingest.Audited{}, ingest.IdempotencyKey{}, simulate)
		all, err := l.store.Entries(t.Context(), view.Query{})
		if err != nil || len(all) != 2 {
			t.Fatalf("got %+v %v, want two entries", all, err)
		}
		slices.Reverse(all)
		if e := all[0]; e.By != "root" || e.Role != access.Operator || e.Operation != "simulate" || e.Target != "CP_1/1 plug" || e.From != "192.0.2.1" || e.Result != access.Done ||
			e.At == 0 || len(r.Commands) != 1 || !slices.Equal(e.Commands, r.Commands) {
			t.Errorf("the order: %+v, with %v", e, r.Commands)
		}
		if e := all[1]; e.Operation != "cancel-reservation" || e.Result != "unknown_reservation" || len(e.Commands) != 0 {
			t.Errorf("the refused one: %+v", e)
		}
	})
}

// withoutLog is a database that cannot write the audit log.
type withoutLog struct{ db }

type txWithoutLog struct{ ingest.Tx }

var errLog = errors.New("the audit log cannot be written")

func (txWithoutLog) Entry(access.Entry) error { return errLog }

func (d withoutLog) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	return d.db.Write(ctx, func(tx ingest.Tx) error { return fn(txWithoutLog{tx}) })
}

func (d withoutLog) Trouble(err error) (reason.Reason, ingest.Remedy) {
	if errors.Is(err, errLog) {
		return reason.Reason{Code: reason.DatabaseRow}, ingest.RemedyRow
	}
	return d.db.Trouble(err)
}

// TestWithoutItsEntryAnOrderHasNoEffect: both are in one transaction.
func TestWithoutItsEntryAnOrderHasNoEffect(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		l := runInstance(t, s, withoutLog{db{s}}, config())
		defer l.end()
		l.w.Join(charge.Epoch{})
		synctest.Wait()
		op := ingest.Order{Request: orders.OperatorAvailability{Available: false}}
		if _, err := l.w.ExecuteAs(t.Context(), by("set-availability", "all"), ingest.IdempotencyKey{}, op); !errors.Is(err, ingest.ErrStorage) {
			t.Errorf("got %v", err)
		}
		if all, err := s.AvailabilityWanted(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("it had an effect: %+v %v", all, err)
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, op); err != nil {
			t.Errorf("an order without an entry: %v", err)
		}
	})
}
