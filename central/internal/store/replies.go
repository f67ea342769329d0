package store

import (
	"context"
	"database/sql"

	"github.com/carga-ev/carga/internal/charge"
)

// Reply keeps what an order with a key was answered, as JSON; request is a
// fingerprint of the order. A key that is kept already is refused.
func (tx *Tx) Reply(key string, request, reply []byte, at charge.Time) error {
	return wrap("write reply", tx.exec(tx.w.tables.replies.one, key, request, string(reply), int64(at)))
}

// ForgetReplies deletes replies that were given outside of the time from … to,
// at most limit of them: those of the past, and those of a clock that was wrong.
// more says that there may be others.
func (tx *Tx) ForgetReplies(from, to charge.Time, limit int) (more bool, err error) {
	more, err = tx.deleteSome(limit, "DELETE FROM replies WHERE n IN (SELECT n FROM (SELECT n FROM replies WHERE at<? "+
		"UNION ALL SELECT n FROM replies WHERE at>?) ORDER BY n LIMIT ?)", int64(from), int64(to), limit)
	return more, wrap("forget replies", err)
}

// Reply finds by its key the fingerprint of an order, and what it was answered.
func (s *Store) Reply(ctx context.Context, key string) (request, reply []byte, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT request,reply FROM replies WHERE key=?", key).Scan(&request, &reply)
	_, ok, err = found("read reply", struct{}{}, err)
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
