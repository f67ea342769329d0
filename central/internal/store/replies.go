package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/carga-ev/carga/internal/charge"
)

// Reply stores the answer to an order that had an Idempotency-Key. request is
// the SHA-256 of the order, reply is the answer as JSON. A key that is stored
// already is a constraint error.
func (tx *Tx) Reply(key string, request, reply []byte, at charge.Time) error {
	return wrap("write reply", tx.exec(tx.w.tables.replies.one, key, request, string(reply), int64(at)))
}

// ForgetReplies deletes replies that were given before a moment, at most limit of
// them; more is true when there may be others. A reply later than now was given
// while the clock was ahead. It is dated now, so that its client can still repeat
// the order and the reply is deleted in time.
func (tx *Tx) ForgetReplies(before, now charge.Time, limit int) (more bool, err error) {
	more, err1 := tx.deleteUpTo(limit, "DELETE FROM replies WHERE n IN (SELECT n FROM replies WHERE at<? ORDER BY n LIMIT ?)", int64(before), limit)
	err2 := tx.exec("UPDATE replies SET at=? WHERE n IN (SELECT n FROM replies WHERE at>? ORDER BY n LIMIT ?)", int64(now), int64(now), limit)
	return more, wrap("forget replies", errors.Join(err1, err2))
}

// Reply returns the fingerprint of the order with a key, and its answer; ok is
// false if there is none.
func (s *Store) Reply(ctx context.Context, key string) (request, reply []byte, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT request,reply FROM replies WHERE key=?", key).Scan(&request, &reply)
	_, ok, err = rowOrNone("read reply", struct{}{}, err)
	return request, reply, ok, err
}

// Replies returns how many replies are stored, or more: it counts from the oldest
// to the newest number, because counting the rows would read them all. Replies
// are deleted from the oldest on, so the difference is small.
func (s *Store) Replies(ctx context.Context) (int64, error) {
	var first, last sql.NullInt64
	err := s.ro.QueryRowContext(ctx, "SELECT (SELECT min(n) FROM replies),(SELECT max(n) FROM replies)").Scan(&first, &last)
	if err != nil || !last.Valid {
		return 0, wrap("count replies", err)
	}
	return last.Int64 - first.Int64 + 1, nil
}
