package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// backupPages is how much is copied between two looks at the context: 16 MiB.
const backupPages = 4096

// Backup copies the database at path to a new file, while a Central runs on it
// or not. The copy is one commit, page by page the same, and on disk when
// Backup returns; until it is whole it has another name beside the target, so
// the target is never half a backup. A file that exists is not overwritten.
// The running Central is not held up. It answers the size of the copy in bytes.
func Backup(ctx context.Context, path, to string) (size int64, err error) {
	size, err = backup(ctx, path, to)
	if err != nil {
		return 0, fmt.Errorf("back up %s: %w", path, err)
	}
	return size, nil
}

func backup(ctx context.Context, path, to string) (int64, error) {
	if !notExist(to) {
		return 0, fmt.Errorf("%s: %w; choose a new name", to, fs.ErrExist)
	}
	src, err := openReadOnly(ctx, path)
	if err != nil {
		return 0, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*.tmp")
	if err != nil {
		return 0, errors.Join(err, src.Close())
	}
	err = errors.Join(tmp.Close(), os.Chmod(tmp.Name(), 0o640)) //nolint:gosec // as the database itself: whoever may read one may read the other
	if err == nil {
		err = copyPages(ctx, src, tmp.Name())
	}
	err = errors.Join(err, src.Close())
	if err == nil {
		err = verifyCopy(ctx, tmp.Name())
	}
	var size int64
	if err == nil {
		size, err = publishCopy(tmp.Name(), to)
	}
	return size, errors.Join(err, removeCopy(tmp.Name()))
}

// removeCopy removes a copy and what SQLite puts beside it.
func removeCopy(tmp string) error {
	var errs []error
	for _, name := range []string{tmp, tmp + "-journal", tmp + "-wal", tmp + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// copyPages copies one commit of src: the reading transaction that surrounds it
// lets a Central write on without the copy beginning anew.
func copyPages(ctx context.Context, src *sql.DB, to string) (err error) {
	dst, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: to}).EscapedPath()+"?_synchronous=EXTRA&_journal_mode=DELETE")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	from, err := src.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	into, err := dst.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	if _, err := from.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var n int // the first read decides which commit is copied
	if err := from.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		return err
	}
	return into.Raw(func(to any) error {
		return from.Raw(func(from any) error { return copySteps(ctx, to, from) })
	})
}

func copySteps(ctx context.Context, to, from any) (err error) {
	dst, ok1 := to.(*sqlite3.SQLiteConn)
	src, ok2 := from.(*sqlite3.SQLiteConn)
	if !ok1 || !ok2 {
		return fmt.Errorf("the driver's connection is a %T: %w", to, driver.ErrBadConn)
	}
	b, err := dst.Backup("main", src, "main")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Finish()) }()
	for {
		done, err := b.Step(backupPages)
		if done || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// verifyCopy reads the copy once: better no backup than one that cannot be used.
func verifyCopy(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_query_only=on")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check").Scan(&result); err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	if result != "ok" {
		return fmt.Errorf("the copy is damaged: %s", result)
	}
	return nil
}

// publishCopy puts the copy on disk and gives it its name.
func publishCopy(tmp, to string) (size int64, err error) {
	size, err = syncFile(tmp)
	if err != nil {
		return 0, err
	}
	// A link fails where the name exists; a rename would overwrite it.
	if err := os.Link(tmp, to); err != nil {
		return 0, err
	}
	_, err = syncFile(filepath.Dir(to))
	return size, err
}

func syncFile(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Sync()
}
