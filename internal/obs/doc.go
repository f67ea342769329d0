// Package obs is what all four programs share to be watched: the logger and
// its fixed keys, the health of their dependencies, the word to the service
// manager, and the version of the build.
//
// It starts no goroutine and keeps no global state: main makes the logger and
// the registry, and app.Run passes them on.
package obs
