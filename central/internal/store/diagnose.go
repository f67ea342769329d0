package store

import (
	"errors"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/carga-ev/carga/internal/reason"
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
	code   reason.Code // what is wrong, and what to do
}

// diagnosisOf maps every primary result code of an error
// (https://sqlite.org/rescode.html). A code that is not listed means RemedyStop:
// after an error that is not understood no offset may be moved, or the records of
// the failed transaction would be lost.
func diagnosisOf(code sqlite3.ErrNo) diagnosis {
	switch code {
	case sqlite3.ErrConstraint, sqlite3.ErrMismatch, sqlite3.ErrTooBig, sqlite3.ErrRange:
		return diagnosis{RemedyRow, reason.DatabaseRow}
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return diagnosis{RemedyWait, reason.DatabaseLocked}
	case sqlite3.ErrFull:
		return diagnosis{RemedyWait, reason.DatabaseFull}
	case sqlite3.ErrIoErr:
		return diagnosis{RemedyWait, reason.DatabaseDisk}
	case sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return diagnosis{RemedyWait, reason.DatabaseFile}
	case sqlite3.ErrNomem:
		return diagnosis{RemedyWait, reason.DatabaseMemory}
	case sqlite3.ErrAbort, sqlite3.ErrInterrupt:
		return diagnosis{RemedyWait, reason.DatabaseInterrupted}
	case sqlite3.ErrCorrupt, sqlite3.ErrFormat:
		return diagnosis{RemedyStop, reason.DatabaseDamaged}
	case sqlite3.ErrNotADB:
		return diagnosis{RemedyStop, reason.DatabaseNone}
	case sqlite3.ErrSchema:
		return diagnosis{RemedyStop, reason.DatabaseSchema}
	case sqlite3.ErrNoLFS:
		return diagnosis{RemedyStop, reason.DatabaseTooLarge}
	case sqlite3.ErrError, sqlite3.ErrInternal, sqlite3.ErrNotFound, sqlite3.ErrEmpty, sqlite3.ErrMisuse, sqlite3.ErrAuth,
		sqlite3.ErrNotice, sqlite3.ErrWarning:
	}
	return diagnosis{RemedyStop, reason.DatabaseOther}
}

// Diagnose returns why a transaction failed, and the remedy. Both are zero for an
// error that does not come from SQLite.
func Diagnose(err error) (why reason.Reason, r Remedy) {
	var se sqlite3.Error
	if !errors.As(err, &se) {
		return reason.Reason{}, ""
	}
	t := diagnosisOf(se.Code)
	return reason.Reason{Code: t.code}, t.remedy
}

// explain puts the diagnosis in front of an error of SQLite. It is for errors
// that reach an operator without passing through code that calls Diagnose.
func explain(err error) error {
	if why, _ := Diagnose(err); !why.IsZero() {
		return wrap(why.String(), err)
	}
	return err
}
