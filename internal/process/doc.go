// Package process is what every program takes from its surroundings, so that
// all take it alike: signals, streams, files that a user supplies, and folders
// and addresses that may come later.
//
// It is linked into the agent, so it is small; it keeps no global state.
// Goroutines: that of Stopped ends with the process, that of an Output with
// its Close, and one of a ReadFile that gave up with what it reads.
package process
