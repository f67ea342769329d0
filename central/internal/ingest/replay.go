package ingest

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/wire"
)

// Replay publishes the message of a dead letter again: its bytes, with its key, on
// its topic. If it still cannot be used, it becomes another dead letter.
type Replay struct{ DeadLetter int64 }

func (Replay) op() {}

const refusedDeadLetter = "unknown_dead_letter"

// replayed is a dead letter to be published again.
type replayed struct {
	letter view.DeadLetter
	value  []byte
}

// replay adds the message of a dead letter to the outbox of the unit.
func (u *unit) replay(id int64) *refusal {
	r, ok := lookUp(u, func() (r replayed, ok bool, err error) {
		r.letter, r.value, ok, err = u.w.store.DeadLetter(u.ctx, id)
		return r, ok, err
	})
	t := &u.w.cfg.Topics
	switch {
	case !ok:
		return &refusal{refusedDeadLetter, fmt.Sprintf("no dead letter %d", id)}
	case !r.letter.Kept:
		return &refusal{refusedState, "its bytes are not kept here; they are on the topic of dead letters"}
	case !slices.Contains([]string{t.Events, t.Monitor, t.Drivers, t.Central}, r.letter.Topic):
		return &refusal{refusedState, "its topic is not one that this Central reads"}
	}
	u.replays = append(u.replays, r)
	u.counts[countReplayed]++
	from := fmt.Sprintf("%s/%d/%d", r.letter.Topic, r.letter.Partition, r.letter.Offset)
	u.fact(view.Fact{Kind: view.FactDeadLetter, What: view.WhatReplayed, Subject: from}, "dead letter %d of %s is published again", id, from)
	return nil
}

// writeReplays adds the rows of replays to a transaction.
func (u *unit) writeReplays(tx Tx) (errs []error) {
	for _, r := range u.replays {
		headers := map[string]string{wire.HeaderReceivedAt: r.letter.ReceivedAt.String()}
		if r.letter.Kind != "" {
			headers[wire.HeaderKind] = r.letter.Kind
		}
		errs = append(errs, tx.Replayed(r.letter.ID, u.now), tx.Outbox(r.letter.Topic, r.letter.Key, headers, r.value, u.now))
	}
	return errs
}
