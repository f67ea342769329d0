package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// previewBytes is how much of a value a list shows.
const previewBytes = 300

// DeadLetter stores a dead letter; fresh is false if it is stored already, as when
// a partition is read again. Its bytes are on the topic of dead letters too; value
// is nil if they are not kept here. crc distinguishes records of a topic that was
// deleted and created again, whose offsets start from 0.
func (tx *Tx) DeadLetter(d view.DeadLetter, crc uint32, value []byte) (fresh bool, err error) {
	res, err := tx.run("INSERT OR IGNORE INTO dead_letters (topic,partition,offset,crc,key,reason,why,at,kind,received_at,size,value) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
		d.Topic, d.Partition, d.Offset, int64(crc), d.Key, d.Reason, object(d.Why), int64(d.At), d.Kind, int64(d.ReceivedAt), d.Size, value)
	if err != nil {
		return false, fmt.Errorf("note dead letter: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Replayed notes that the message of a dead letter is published again.
func (tx *Tx) Replayed(id int64, at charge.Time) error {
	return wrap("note replay", tx.exec("UPDATE dead_letters SET replays=replays+1,replayed_at=? WHERE id=?", int64(at), id))
}

const deadLetterCols = "id,topic,partition,offset,key,kind,reason,why,at,received_at,size,value,replays,replayed_at"

func scanDeadLetter(r scanner) (d view.DeadLetter, value []byte, err error) {
	err = r.Scan(&d.ID, &d.Topic, &d.Partition, &d.Offset, &d.Key, &d.Kind, &d.Reason, jsonOf{&d.Why}, &d.At, &d.ReceivedAt, &d.Size, &value, &d.Replays, &d.ReplayedAt)
	d.Why = d.Why.Or(d.Reason)
	d.Kept, d.Body = value != nil, view.Preview(value, previewBytes)
	return d, value, err
}

// DeadLetter returns a dead letter by its number, and its bytes, which are nil if
// they are not kept; ok is false if there is none.
func (s *Store) DeadLetter(ctx context.Context, id int64) (d view.DeadLetter, value []byte, ok bool, err error) {
	d, value, err = scanDeadLetter(s.ro.QueryRowContext(ctx, "SELECT "+deadLetterCols+" FROM dead_letters WHERE id=?", id))
	d, ok, err = rowOrNone("read dead letter", d, err)
	return d, value, ok, err
}

// DeadLetters returns a page of dead letters; the key is the number.
func (a Archive) DeadLetters(ctx context.Context, q view.Query) ([]view.DeadLetter, error) {
	return readPage(ctx, a.s, &listing{
		cols: deadLetterCols, from: "dead_letters", key: "id", at: "at",
		states: map[string]string{view.DeadLetterOpen: "replays=0", view.DeadLetterReplayed: "replays>0"},
	}, &q, func(r *sql.Rows) (view.DeadLetter, error) {
		d, _, err := scanDeadLetter(r)
		return d, err
	})
}
