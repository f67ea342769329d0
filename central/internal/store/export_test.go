package store

import (
	"context"
	"database/sql"
	"errors"
)

// DownTo makes a database look as the program of an older version left it: the
// migrations after that version are undone by their Down sections. A migration
// whose Up cannot run twice needs one.
func DownTo(ctx context.Context, path string, version int64) (err error) {
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := provider(db)
	if err != nil {
		return err
	}
	_, err = p.DownTo(ctx, version)
	return err
}
