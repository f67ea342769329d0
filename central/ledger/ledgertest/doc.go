// Package ledgertest helps to test code that folds the records of charging
// points. A ChargingPoint writes the journals of a correct charging point and
// keeps the true energy of its connectors. A Book applies the records, keeps the
// rows as a database would, and can load the state again from them.
//
// A ChargingPoint never shares state with a Book: only records and presences pass
// between them, as in production.
package ledgertest
