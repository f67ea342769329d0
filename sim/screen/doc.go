// Package screen is the terminal screen of a fleet of simulated charging points:
// a table to scroll and search, and keys by which a person does at one of them what
// is done on site.
//
// State decides and is pure: State.Step takes an Event, such as a key, and returns
// what is to be done; State.View is the text of the screen. Run is the shell around
// it: it reads the terminal, draws with bubbletea, and performs the effects on a
// Fleet. It owns the terminal from its call to its return.
//
// A fleet may be large, so only the rows in view are read, once a second and when
// others come into view.
package screen
