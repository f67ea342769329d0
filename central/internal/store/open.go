package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is the size of the read pool: pages and the writer's look-ups.
const readers = 4

// minSQLite is the first version without the race that could reset a WAL in
// use: 3.51.3, as sqlite3_libversion_number writes it.
const minSQLite = 3051003

// walLimit is to what size, in bytes, the write-ahead log is cut once a reader
// that had made it grow has ended. A log is as large as what was written while
// the slowest reader read; without a limit it would keep the largest size ever.
const walLimit = 8 << 20

// ErrInUse says that another process has the database open.
var ErrInUse = errors.New("the database is in use by another Central")

// Options are the settings of a database. The zero value of each means its
// default.
type Options struct {
	// Path is the file; its directory is made when missing.
	Path string
	// BusyTimeout is how long a transaction waits for a lock held by another
	// program (a backup, an inspector) before it fails; 2 s.
	BusyTimeout time.Duration
	// MaxPages bounds the file, for tests of a full disk; 0 means no bound.
	MaxPages int
}

// Store is an open database. Close it when all its users have ended.
type Store struct {
	path string
	lock *os.File
	rw   *sql.DB
	ro   querier
	w    *writer
	end  []func() error // of the readers, in this order
}

// querier is what readers read from: a pool, or one transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Open opens or creates the database, brings its schema up to date and checks
// that it is as durable as promised. It refuses, naming what is wrong, when
// another process has it open, when a pragma did not take, or when the file is
// of a newer version.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, errors.New("open database: no path given")
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = 2 * time.Second
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o750); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	lock, err := lockFile(o.Path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Path, err)
	}
	s := &Store{path: o.Path, lock: lock}
	// SQLite gives its files the mode of the database: names of drivers are
	// nobody else's business.
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_RDWR, 0o640)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.Close())
	}
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", o.Path, explain(err)), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	var err error
	if s.rw, err = sql.Open("sqlite3", dsn(o, false)); err != nil {
		return err
	}
	s.rw.SetMaxOpenConns(1)
	if err := migrate(ctx, s.rw); err != nil {
		return err
	}
	conn, err := s.rw.Conn(ctx)
	if err != nil {
		return err
	}
	s.w = newWriter(conn)
	if err := assertPragmas(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA journal_size_limit=%d", walLimit)); err != nil {
		return err
	}
	if o.MaxPages > 0 {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count=%d", o.MaxPages)); err != nil {
			return err
		}
	}
	ro, err := sql.Open("sqlite3", dsn(o, true))
	if err != nil {
		return err
	}
	s.ro, s.end = ro, append(s.end, ro.Close)
	ro.SetMaxOpenConns(readers)
	ro.SetMaxIdleConns(readers)
	return ro.PingContext(ctx)
}

// Close closes the database and gives the file free. It must not run at the
// same time as another method.
func (s *Store) Close() error {
	var errs []error
	if s.w != nil {
		errs = append(errs, s.w.close())
	}
	for _, end := range s.end {
		errs = append(errs, end())
	}
	if s.rw != nil {
		errs = append(errs, s.rw.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // which unlocks it
	}
	return errors.Join(errs...)
}

// Path is the database's file.
func (s *Store) Path() string { return s.path }

// dsn writes the data source name. The driver ignores parameters it does not
// know, so assertPragmas reads them back.
func dsn(o Options, readOnly bool) string {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_txlock": {"immediate"}, "_foreign_keys": {"on"},
		"_busy_timeout": {strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10)},
	}
	if readOnly {
		q.Set("_query_only", "on")
	}
	return "file:" + (&url.URL{Path: o.Path}).EscapedPath() + "?" + q.Encode()
}

// provider knows the versions of the schema.
func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if current > target {
		return fmt.Errorf("the file has schema version %d, this program knows %d; run the program that wrote it", current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// assertPragmas refuses a connection on which a promise does not hold.
func assertPragmas(ctx context.Context, conn *sql.Conn) error {
	if _, n, _ := sqlite3.Version(); n < minSQLite {
		return fmt.Errorf("SQLite %d is linked, %d or newer is needed: before it a WAL in use could be reset", n, minSQLite)
	}
	for _, p := range []struct{ name, want, means string }{
		{"journal_mode", "wal", "readers would block the writer"},
		{"synchronous", "2", "a commit would not be on disk"},
		{"foreign_keys", "1", "rows could name what does not exist"},
	} {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return fmt.Errorf("read pragma %s: %w", p.name, err)
		}
		if !strings.EqualFold(got, p.want) {
			return fmt.Errorf("pragma %s is %q, want %q: %s", p.name, got, p.want, p.means)
		}
	}
	return nil
}

// lockFile keeps a second process away: SQLite itself would let it in.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Check runs SQLite's own integrity and foreign key checks; it reads the whole
// file.
func (s *Store) Check(ctx context.Context) error {
	var result string
	if err := s.ro.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&result); err != nil {
		return fmt.Errorf("integrity check: %w", err)
	}
	if result != "ok" {
		return fmt.Errorf("integrity check: %s", result)
	}
	rows, err := s.ro.QueryContext(ctx, "PRAGMA foreign_key_check")
	if err != nil {
		return fmt.Errorf("foreign key check: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells what went wrong
	if rows.Next() {
		var table, parent string
		var rowid, fk sql.NullInt64
		if err := rows.Scan(&table, &rowid, &parent, &fk); err != nil {
			return fmt.Errorf("foreign key check: %w", err)
		}
		return fmt.Errorf("foreign key check: row %d of %s names what is not in %s", rowid.Int64, table, parent)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("foreign key check: %w", err)
	}
	return nil
}
