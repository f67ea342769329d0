// Package ledgertest helps to test what folds the records of charging points:
// Box writes the journals of an honest charging point and keeps the truth about
// its energy; Book applies them, keeps the rows as a database would, and can
// load the state again from them.
//
// A Box never shares state with a Book: they meet in records, as in real life.
package ledgertest
