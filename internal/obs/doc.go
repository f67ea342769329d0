// Package obs is what all four programs share to be watched: the logger and
// its fixed keys, the health of their dependencies and of their own loops, the
// shape of their metrics, the small server of both, the word to the service
// manager, and the version of the build.
//
// It is linked into the agent, so it is small; Prometheus' client is in
// internal/metrics. It keeps no global state: main makes the logger, app.Run
// the watch. Goroutines: those of Watch.Run and Observe.Serve, which their
// callers own.
package obs
