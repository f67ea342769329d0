package store

import (
	"errors"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// Remedy is what the caller of a transaction that failed has to do.
type Remedy string

// The remedies. An error that does not come from SQLite has none: only its own
// source can classify it.
const (
	RemedyRow  Remedy = "row"  // SQLite refuses a row: repeat the transaction without it
	RemedyWait Remedy = "wait" // the cause can end without a restart: retry later
	RemedyStop Remedy = "stop" // the file is damaged, or of another schema: write nothing more
)

// diagnosis is what one primary result code of SQLite means for Central.
type diagnosis struct {
	remedy Remedy
	text   string // for operators: what is wrong, and what to do
}

// diagnosisOf maps every primary result code of an error
// (https://sqlite.org/rescode.html). A code that is not listed means RemedyStop:
// after an error that is not understood no offset may be moved, or the records of
// the failed transaction would be lost.
func diagnosisOf(code sqlite3.ErrNo) diagnosis {
	switch code {
	case sqlite3.ErrConstraint, sqlite3.ErrMismatch, sqlite3.ErrTooBig, sqlite3.ErrRange:
		return diagnosis{RemedyRow, "the database refused a row"}
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return diagnosis{RemedyWait, "another program holds the database locked"}
	case sqlite3.ErrFull:
		return diagnosis{RemedyWait, "the disk of the database is full: free some space"}
	case sqlite3.ErrIoErr:
		return diagnosis{RemedyWait, "the disk of the database reports errors"}
	case sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return diagnosis{RemedyWait, "the file of the database cannot be written: check that it exists, its owner and its mode"}
	case sqlite3.ErrNomem:
		return diagnosis{RemedyWait, "out of memory"}
	case sqlite3.ErrAbort, sqlite3.ErrInterrupt:
		return diagnosis{RemedyWait, "a statement of the database was interrupted"}
	case sqlite3.ErrCorrupt, sqlite3.ErrFormat:
		return diagnosis{RemedyStop, "the database is damaged: stop Central, keep a copy of the file, then restore a backup or rebuild it"}
	case sqlite3.ErrNotADB:
		return diagnosis{RemedyStop, "the file is not a database: stop Central, check database.path, then restore a backup or rebuild it"}
	case sqlite3.ErrSchema:
		return diagnosis{RemedyStop, "another program changed the tables of the database: stop Central and check which version wrote the file"}
	case sqlite3.ErrNoLFS:
		return diagnosis{RemedyStop, "this system cannot hold a file as large as the database: move it to another one"}
	case sqlite3.ErrError, sqlite3.ErrInternal, sqlite3.ErrNotFound, sqlite3.ErrEmpty, sqlite3.ErrMisuse, sqlite3.ErrAuth,
		sqlite3.ErrNotice, sqlite3.ErrWarning:
	}
	return diagnosis{RemedyStop, "the database does not do what this program asks of it: stop Central and check which version wrote the file"}
}

// Diagnose returns why a transaction failed, as a text for operators, and the
// remedy. Both are empty for an error that does not come from SQLite.
func Diagnose(err error) (text string, r Remedy) {
	var se sqlite3.Error
	if !errors.As(err, &se) {
		return "", ""
	}
	t := diagnosisOf(se.Code)
	return t.text, t.remedy
}

// explain puts the diagnosis in front of an error of SQLite. It is for errors
// that reach an operator without passing through code that calls Diagnose.
func explain(err error) error {
	if text, _ := Diagnose(err); text != "" {
		return wrap(text, err)
	}
	return err
}
