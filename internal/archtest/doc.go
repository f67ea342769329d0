// Package archtest holds the tests of the repository's structure: who may
// import whom, what each program may link, that every package says what it is
// for. ADR 0001 tells why; the linter's depguard rules say much of it a second
// time, file by file, and the compiler a third time through internal folders.
//
// The tests ask the go command, whose answers go test does not see: run them
// with -count=1, or a cached pass hides a broken rule.
package archtest
