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

// backupPages is how many pages are copied before the context is looked at
// again: 16 MiB.
const backupPages = 4096

// Backup copies the database at path to a new file and returns the size of the
// copy in bytes. A Central may run on the database; it is not slowed down.
//
// The copy is one commit, the same page by page, and synced to disk when Backup
// returns. It is written under a temporary name in the directory of the target
// and gets its name last, so the target is never half a backup. An existing file
// is not overwritten.
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
	err = errors.Join(tmp.Close(), os.Chmod(tmp.Name(), 0o640)) //nolint:gosec // the mode of the database itself
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

// removeCopy removes the temporary file of a copy and the files that SQLite
// created beside it.
func removeCopy(tmp string) error {
	var errs []error
	for _, name := range []string{tmp, tmp + "-journal", tmp + "-wal", tmp + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// copyPages copies one commit of src. Without the read transaction around it,
// SQLite's backup would start again whenever a running Central commits.
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

// copySteps runs SQLite's online backup between two connections of the driver.
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

// verifyCopy reads the whole copy once. Backup fails if it is damaged, so that
// an operator does not rely on a backup that cannot be restored.
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

// publishCopy syncs the copy to disk, gives it its name and syncs the directory.
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

// syncFile syncs a file or a directory and returns its size.
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
