// Package fleet runs many charging points in this process: each is the real
// agent on a simulated board, with a data folder of its own, against whatever
// MQTT broker it is given. The demo and `sim fleet` are made of it.
//
// A Fleet owns the goroutines of its agents from Run to its return.
package fleet
