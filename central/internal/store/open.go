package store

import (
	"cmp"
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

// readers is the number of connections of the read pool. It serves the API and
// the look-ups of the goroutine that writes.
const readers = 4

// minSQLite is 3.51.3, as sqlite3_libversion_number writes it: the first version
// without a race that could reset a write-ahead log in use and so lose commits.
const minSQLite = 3051003

// walLimit is the size in bytes to which the write-ahead log is truncated once a
// long reader has ended. The log holds all that was written while the slowest
// reader read; without a limit the file would keep the largest size it ever had.
const walLimit = 8 << 20

// ErrInUse is the error of Open while another process has the database open.
var ErrInUse = errors.New("the database is in use by another Central")

// Options are the settings of a database. The zero value of each means its
// default.
type Options struct {
	// Path is the file. Its directory is created if it does not exist.
	Path string
	// BusyTimeout is how long a transaction waits for a lock of another program
	// (a backup, a database browser) before it fails with SQLITE_BUSY. The default
	// is 2 s.
	BusyTimeout time.Duration
	// MaxPages limits the file to so many pages of 4 KiB, for tests of a full disk.
	// 0 means no limit.
	MaxPages int
}

// Store is an open database. Close it when all its users have ended.
type Store struct {
	path string
	lock *os.File       // held exclusively as long as the Store is open; nil for a snapshot
	rw   *sql.DB        // of exactly one connection, which w owns
	ro   querier        // of the readers: a pool, or the transaction of a snapshot
	w    *writer        // nil for a snapshot
	end  []func() error // closes what ro reads from, in this order
}

// querier is what readers read from: a pool of connections, or one transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Open opens or creates the database, migrates its schema to the version of this
// program and checks that commits will be durable. It returns an error that names
// the reason when another process has the database open (ErrInUse), when SQLite
// ignored a pragma, or when a newer program wrote the file.
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
	// SQLite gives its other files (-wal, -shm) the mode of this one. Names of
	// drivers are in it, so other users of the machine must not read it.
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

// OpenBeside opens a database that another process has open, for short transactions
// on rows of which that process keeps nothing in memory: accounts, log-ins, tokens
// and the audit log. It does not migrate, and refuses another schema.
func OpenBeside(ctx context.Context, o Options) (*Store, error) {
	o.BusyTimeout = cmp.Or(o.BusyTimeout, 10*time.Second)
	s := &Store{path: o.Path}
	db, err := openReadOnly(ctx, o.Path)
	if err == nil {
		err = errors.Join(sameSchema(ctx, db), db.Close())
	}
	if err == nil {
		err = s.open(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", o.Path, explain(err)), s.Close())
	}
	return s, nil
}

// open opens the connections and migrates. What it opened before an error, Close
// closes.
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

// Close closes the database and releases its lock. It must not run at the same
// time as another method.
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

// Path returns the path of the database's file.
func (s *Store) Path() string { return s.path }

// dsn returns the data source name. The driver ignores parameters that it does
// not know, without an error, so assertPragmas reads the pragmas back.
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

// provider returns the migrations that are embedded in this program.
func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
}

// migrate applies the migrations that the file has not had. Each is a transaction
// of its own: a process killed in between goes on with the next one.
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

// assertPragmas returns an error if the connection would not keep what the
// package guarantees: durable commits, readers that do not block the writer, and
// foreign keys.
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

// lockFile takes an exclusive lock on a file, or returns ErrInUse. SQLite alone
// would let a second Central write between the transactions of the first. The
// kernel releases the lock when the process ends, however it ends.
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

// Check runs SQLite's integrity check and foreign key check. It reads the whole
// file and returns the first finding as an error.
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
	defer func() { _ = rows.Close() }() // Err below returns the error
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
