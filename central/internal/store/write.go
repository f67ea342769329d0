package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// Tx is one transaction of the writer. Its methods add rows; the first error
// ends it and everything is rolled back. It must not be used after the function
// given to Write has returned, and only by one goroutine.
type Tx struct {
	ctx      context.Context //nolint:containedctx // lives only as long as the call that carries it
	w        *writer
	recorded int64 // how many records this transaction has added
	// err is the first error; every later statement returns it without running.
	// After some errors (a full disk) SQLite has already rolled back by itself:
	// the next statement would run outside of the transaction and be committed
	// alone.
	err error
}

// writer owns the one connection that writes, and the statements prepared on
// it.
type writer struct {
	mu sync.Mutex
	// mu makes Write calls run one after the other and guards what follows.
	conn         *sql.Conn
	statements   map[string]*sql.Stmt
	tables       tables      // the statements that write rows
	pruneAt      pruneCursor // where the next Prune goes on
	written      int64       // how many records were ever written; valid once writtenKnown
	writtenKnown bool        // written was read from the database
	records      []any       // values of the present transaction, gathered for one statement
}

func newWriter(conn *sql.Conn) *writer {
	return &writer{conn: conn, statements: map[string]*sql.Stmt{}, tables: newTables()}
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// Write runs fn in one transaction and commits it. When fn or the commit returns
// an error, the transaction is rolled back and nothing has changed; Diagnose
// states whether a retry can help. ctx is looked at before the transaction begins
// and not after: a commit that was interrupted would leave open whether it
// happened.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := s.w
	if w == nil {
		return errReadOnly
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	tx := &Tx{ctx: context.WithoutCancel(ctx), w: w}
	if err := tx.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	w.records = w.records[:0]
	err := fn(tx)
	if err == nil {
		err = tx.finish()
	}
	if err == nil {
		if err = tx.exec("COMMIT"); err == nil {
			w.written += tx.recorded
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	return errors.Join(err, tx.rollback())
}

// rollback ends the transaction. After some errors (a full disk, an I/O error)
// SQLite has already rolled back by itself; that is not a second failure.
func (tx *Tx) rollback() error {
	if _, err := tx.w.conn.ExecContext(tx.ctx, "ROLLBACK"); err != nil {
		var se sqlite3.Error
		if errors.As(err, &se) && se.Code == sqlite3.ErrError {
			return nil // no transaction is active
		}
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// exec runs a statement. Each text is prepared once and kept, so texts must be
// constants or be made of a bounded set of parts.
func (tx *Tx) exec(query string, args ...any) error {
	_, err := tx.run(query, args...)
	return err
}

// run is exec with the result of the statement.
func (tx *Tx) run(query string, args ...any) (res sql.Result, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	defer func() { tx.err = err }()
	stmt, ok := tx.w.statements[query]
	if !ok {
		if stmt, err = tx.w.conn.PrepareContext(tx.ctx, query); err != nil {
			return nil, err
		}
		tx.w.statements[query] = stmt
	}
	return stmt.ExecContext(tx.ctx, args...)
}
