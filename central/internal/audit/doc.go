// Package audit checks that a Central's database says what its records say:
// that the file is sound, that records are chained and none is missing but what
// a hole names, that every Wh is on one ticket or shown, that tickets are what
// their sessions cost, and that the records, folded again, make the same
// ledger. It changes nothing and belongs to whoever calls Run; it keeps one
// charging point in memory at a time.
//
// Records that were pruned because they are old cannot be folded again. What is
// left is: positions, the chain from the oldest record held, and each session
// whose grant is still held. All else of that charging point is checked by its
// rows alone.
package audit
