package store

import (
	"errors"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// Remedy says what is to be done about a transaction that failed.
type Remedy string

// The remedies. An error that does not come from SQLite has none: whoever
// caused it knows.
const (
	RemedyRow  Remedy = "row"  // SQLite refuses a row: leave that row out
	RemedyWait Remedy = "wait" // it can heal without a restart: retry
	RemedyStop Remedy = "stop" // the file is damaged, or does not do what was asked of it: write nothing more
)

// diagnosis is one primary result code of SQLite.
type diagnosis struct {
	remedy Remedy
	text   string
}

// diagnosisOf knows every primary result code of an error
// (https://sqlite.org/rescode.html). One that is not here stops: an error that
// nobody understands must not move an offset.
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
		return diagnosis{RemedyWait, "the file of the database cannot be written: check that it exists and who owns it"}
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

// Diagnose says in words why a transaction failed, and what is to be done about
// it; both are empty for an error that does not come from SQLite.
func Diagnose(err error) (words string, r Remedy) {
	var se sqlite3.Error
	if !errors.As(err, &se) {
		return "", ""
	}
	t := diagnosisOf(se.Code)
	return t.text, t.remedy
}

// explain puts words in front of an error of SQLite, for those who read it
// where nothing else explains it.
func explain(err error) error {
	if words, _ := Diagnose(err); words != "" {
		return wrap(words, err)
	}
	return err
}
