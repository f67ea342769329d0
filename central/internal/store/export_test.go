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

// Older makes a database as a program wrote it that knew the schema up to a
// version, with rows of its own.
func Older(ctx context.Context, path string, version int64, rows ...string) error {
	db, err := sql.Open("sqlite3", dsn(Options{Path: path}, false))
	if err != nil {
		return err
	}
	p, err := provider(db)
	if err == nil {
		_, err = p.UpTo(ctx, version)
	}
	for _, row := range rows {
		if err == nil {
			_, err = db.ExecContext(ctx, row)
		}
	}
	return errors.Join(err, db.Close())
}

// Exec runs a statement in a transaction of the writer.
func Exec(ctx context.Context, s *Store, statement string) error {
	return s.Write(ctx, func(tx *Tx) error { return tx.exec(statement) })
}
