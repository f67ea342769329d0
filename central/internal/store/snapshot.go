package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"
)

var errReadOnly = errors.New("the database was opened for reading only")

// OpenSnapshot opens a database for reading only, as it is at this moment: all
// later reads are of the same commit, even if a Central has the file open and
// goes on writing. Close it soon: SQLite cannot reuse the write-ahead log while a
// snapshot is open, so the log grows. Methods must not be called concurrently,
// and Write returns an error. A file whose schema is not that of this program is
// refused: it cannot be migrated without writing.
func OpenSnapshot(ctx context.Context, path string) (*Store, error) {
	s := &Store{path: path}
	if err := s.snapshot(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read database %s: %w", path, explain(err)), s.Close())
	}
	return s, nil
}

func (s *Store) snapshot(ctx context.Context) error {
	db, err := openReadOnly(ctx, s.path)
	if err != nil {
		return err
	}
	s.end = append(s.end, db.Close)
	if err := sameSchema(ctx, db); err != nil {
		return err
	}
	tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	s.ro, s.end = tx, append([]func() error{tx.Rollback}, s.end...)
	var n int // the first read decides which commit is seen
	return s.ro.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
}

// openReadOnly opens a file that must exist, without changing it: it does not
// even check the write-ahead log of a killed Central into the file.
func openReadOnly(ctx context.Context, path string) (*sql.DB, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, errors.New("it is a folder")
	}
	open := func(mode string) (*sql.DB, error) {
		q := url.Values{"mode": {"ro"}, "_query_only": {"on"}, "_busy_timeout": {"5000"}}
		if mode != "" {
			q.Set(mode, "1")
		}
		db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return db, nil
	}
	db, err := open("")
	var se sqlite3.Error
	if errors.As(err, &se) && se.Code == sqlite3.ErrCantOpen && notExist(path+"-wal") {
		// On a read-only medium SQLite cannot create its index of the log. Without a
		// log no other program can be writing to the file, so SQLite may assume that
		// the file does not change.
		return open("immutable")
	}
	return db, err
}

func notExist(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// sameSchema returns an error if the file does not have the schema of this
// program.
func sameSchema(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	want := int64(0)
	for _, m := range p.ListSources() {
		want = max(want, m.Version)
	}
	var got int64
	if err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+goose.TableName()).Scan(&got); err != nil {
		return fmt.Errorf("it is no database of a Central: %w", err)
	}
	if got != want {
		return fmt.Errorf("the file has schema version %d, this program knows %d; read it with the program that wrote it, or start this Central on a copy of it", got, want)
	}
	return nil
}
