// Package fleet runs many charging points in this process. Each is the real
// agent on a simulated board, with a data folder of its own, connected to any
// MQTT broker. The demo and `sim fleet` are built on it.
//
// The boards' registers are kept in one file: a fleet that is started again on
// its folder continues at the registers where it was, also after a kill, as
// real meters do.
//
// A Fleet owns the goroutines of its agents from Run to its return. Points and
// Totals may be read from any goroutine meanwhile.
package fleet
