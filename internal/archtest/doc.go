// Package archtest holds the tests of the repository's structure: which package may
// import which, what each program may link, that every package has a comment, and
// that code and documents use the words of docs/GLOSSARY.md. ADR 0001 gives the
// reasons. The linter's depguard rules check the imports a second time, file by
// file, and the compiler a third time through internal folders.
//
// The tests run the go command, whose output go test does not track: run them with
// -count=1, or a cached pass hides a broken rule.
package archtest
