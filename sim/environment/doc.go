// Package environment holds the process tests of what surrounds a program: its
// streams, signals, variables, files, folders and addresses. Each row of the
// table in docs/OPERATIONS.md ("The environment of a process") has a test here
// for every program that it concerns.
//
// The programs are built once and run alone: without brokers, each on a folder
// of its own.
package environment
