// Package environment tests the environment of the programs as processes:
// streams, signals, variables, files, folders and addresses. Each row of the
// table in docs/OPERATIONS.md ("The environment of a process") has a test here
// for every program that it concerns.
//
// The programs are built once and run alone, without brokers, each in a folder
// of its own. A test starts a program in one kind of environment, waits until
// it works, and stops it; most run with every program that keeps running
// (eachServer) or also with the driver, which ends by itself (each).
package environment
