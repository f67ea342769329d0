package ingest

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// IdempotencyKey lets an operator repeat a request whose answer he did not get: all
// requests with one Key have one effect and one answer. The answer is a row of
// the transaction of the effect, so neither is ever there alone.
type IdempotencyKey struct {
	Key     string            // chosen by who asks; "": asked only once
	Request [sha256.Size]byte // fingerprint of what is asked
}

// How long, and how many answers are kept. The bound is one a second; beyond it
// a key is refused, for one that is forgotten early could have two effects.
const (
	keepReplies = 24 * time.Hour
	maxReplies  = 100_000
)

// Why a request with a key is refused.
const (
	RefusedOtherRequest = "idempotency_key_reused" // the key came with another request
	RefusedManyKeys     = "too_many_keys"          // there is no room for another answer
)

// savedReply is an answer that was given, to be kept or found again. The database
// holds the Reply by the names of its fields.
type savedReply struct {
	request [sha256.Size]byte
	reply   Reply
}

// replyByKey finds what is to be said to a request without looking at what it
// asks: the answer that it had before, or why its key is refused.
func (u *unit) replyByKey(once IdempotencyKey) (Reply, bool) {
	if once.Key == "" {
		return Reply{}, false
	}
	before, ok := u.savedReplies[once.Key]
	if !ok {
		before, ok = lookUp(u, func() (savedReply, bool, error) { return u.w.readReply(u, once.Key) })
	}
	switch {
	case ok && before.request == once.Request:
		return before.reply, true
	case ok:
		return Reply{Reply: orders.Reply{Refused: RefusedOtherRequest}}, true
	case u.repliesFull():
		return Reply{Reply: orders.Reply{Refused: RefusedManyKeys}}, true
	}
	return Reply{}, false
}

// saveReply has an answer written with the effect. That this Central is fenced is no
// answer to keep: it judged nothing, and may be asked again once it may.
func (u *unit) saveReply(once IdempotencyKey, r Reply) {
	if once.Key == "" || r.Refused == orders.RefusedFenced {
		return
	}
	if u.savedReplies == nil {
		u.savedReplies = map[string]savedReply{}
	}
	u.savedReplies[once.Key] = savedReply{once.Request, r}
}

func (u *unit) repliesFull() bool {
	n, _ := lookUp(u, func() (int64, bool, error) {
		n, err := u.w.store.Replies(u.ctx)
		return n, true, err
	})
	return n+int64(len(u.savedReplies)) >= maxReplies
}

func (w *Writer) readReply(u *unit, key string) (g savedReply, ok bool, err error) {
	request, raw, ok, err := w.store.Reply(u.ctx, key)
	if !ok || err != nil {
		return savedReply{}, false, err
	}
	copy(g.request[:], request)
	return g, true, json.Unmarshal(raw, &g.reply)
}

func writeReply(tx Tx, key string, g *savedReply, at charge.Time) error {
	raw, err := json.Marshal(&g.reply)
	if err != nil {
		return err
	}
	return tx.Reply(key, g.request[:], raw, at)
}
