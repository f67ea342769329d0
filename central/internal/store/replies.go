package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/carga-ev/carga/internal/charge"
)

// Reply keeps what an order with a key was answered, as JSON; request is a
// fingerprint of the order. A key that is kept already is refused.
func (tx *Tx) Reply(key string, request, reply []byte, at charge.Time) error {
	return wrap("write reply", tx.exec(tx.w.tables.replies.one, key, request, string(reply), int64(at)))
}

// ForgetReplies deletes replies that were given before a moment, at most limit of
// them; more says that there may be others. Those that were given later than now,
// by a clock that was ahead, count as given now: their clients may still repeat.
func (tx *Tx) ForgetReplies(before, now charge.Time, limit int) (more bool, err error) {
	more, err1 := tx.deleteUpTo(limit, "DELETE FROM replies WHERE n IN (SELECT n FROM replies WHERE at<? ORDER BY n LIMIT ?)", int64(before), limit)
	err2 := tx.exec("UPDATE replies SET at=? WHERE n IN (SELECT n FROM replies WHERE at>? ORDER BY n LIMIT ?)", int64(now), int64(now), limit)
	return more, wrap("forget replies", errors.Join(err1, err2))
}

// Reply finds by its key the fingerprint of an order, and what it was answered.
func (s *Store) Reply(ctx context.Context, key string) (request, reply []byte, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT request,reply FROM replies WHERE key=?", key).Scan(&request, &reply)
	_, ok, err = rowOrNone("read reply", struct{}{}, err)
	return request, reply, ok, err
}

// Replies is how many replies are kept, counting those that were forgotten
// between them: it need not read them all.
func (s *Store) Replies(ctx context.Context) (int64, error) {
	var first, last sql.NullInt64
	err := s.ro.QueryRowContext(ctx, "SELECT (SELECT min(n) FROM replies),(SELECT max(n) FROM replies)").Scan(&first, &last)
	if err != nil || !last.Valid {
		return 0, wrap("count replies", err)
	}
	return last.Int64 - first.Int64 + 1, nil
}
