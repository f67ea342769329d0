package ingest

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// IdempotencyKey lets an operator repeat a request after its reply was lost:
// all requests with one Key have one effect and one reply. The reply is a row
// of the transaction of the effect, so neither exists without the other.
type IdempotencyKey struct {
	Key     string            // chosen by the caller; "": the request is not repeated
	Request [sha256.Size]byte // fingerprint of the request, to notice another one with the same key
}

// keepReplies is how long replies are kept, maxReplies how many: about one a
// second. Beyond that a request with a new key is refused. Deleting replies
// early instead could give a repeated request a second effect.
const (
	keepReplies = 24 * time.Hour
	maxReplies  = 100_000
)

// Why a request with a key is refused.
const (
	// RefusedOtherRequest refuses a key that came with another request before.
	RefusedOtherRequest = "idempotency_key_reused"
	// RefusedManyKeys refuses a new key while maxReplies are kept.
	RefusedManyKeys = "too_many_keys"
)

// savedReply is a stored reply. The database has the Reply as JSON with the
// names of its fields, so those must not change within keepReplies.
type savedReply struct {
	request [sha256.Size]byte
	reply   Reply
}

// replyByKey returns the reply to a request that needs no execution: the reply
// that the request had before, or the refusal of its key.
func (u *unit) replyByKey(key IdempotencyKey) (Reply, bool) {
	if key.Key == "" {
		return Reply{}, false
	}
	before, ok := u.savedReplies[key.Key]
	if !ok {
		before, ok = lookUp(u, func() (savedReply, bool, error) { return u.w.readReply(u, key.Key) })
	}
	switch {
	case ok && before.request == key.Request:
		return before.reply, true
	case ok:
		return Reply{Reply: orders.Reply{Refused: RefusedOtherRequest}}, true
	case u.repliesFull():
		return Reply{Reply: orders.Reply{Refused: RefusedManyKeys}}, true
	}
	return Reply{}, false
}

// saveReply stores a reply in the transaction of its effect. A refusal by a
// fenced Central is not stored: it decided nothing, and the request may be
// repeated after the fence is lifted.
func (u *unit) saveReply(key IdempotencyKey, r Reply) {
	if key.Key == "" || r.Refused == orders.RefusedFenced {
		return
	}
	if u.savedReplies == nil {
		u.savedReplies = map[string]savedReply{}
	}
	u.savedReplies[key.Key] = savedReply{key.Request, r}
}

// repliesFull reports whether no reply can be added, those of this unit
// included.
func (u *unit) repliesFull() bool {
	n, _ := lookUp(u, func() (int64, bool, error) {
		n, err := u.w.store.Replies(u.ctx)
		return n, true, err
	})
	return n+int64(len(u.savedReplies)) >= maxReplies
}

// readReply reads a stored reply.
func (w *Writer) readReply(u *unit, key string) (g savedReply, ok bool, err error) {
	request, raw, ok, err := w.store.Reply(u.ctx, key)
	if !ok || err != nil {
		return savedReply{}, false, err
	}
	copy(g.request[:], request)
	return g, true, json.Unmarshal(raw, &g.reply)
}

// writeReply stores a reply.
func writeReply(tx Tx, key string, g *savedReply, at charge.Time) error {
	raw, err := json.Marshal(&g.reply)
	if err != nil {
		return err
	}
	return tx.Reply(key, g.request[:], raw, at)
}
