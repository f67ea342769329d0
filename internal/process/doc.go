// Package process is the interface between a program and its environment, the same
// for every program: signals and exit codes, output streams, files that a user
// supplies, and folders and addresses that may become available later. ADR 0014
// has the reasons.
//
// The agent links it, so it is small. It keeps no global state. Goroutines: that of
// Stopped ends with the process, that of an Output with its Close, and one of a
// ReadFile that gave up with its file.
package process
