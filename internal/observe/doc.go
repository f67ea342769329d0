// Package observe serves what operators and Prometheus ask of a running
// program: GET /livez, /readyz and /metrics. It reports the same health to the
// service manager that started the program.
//
// A Server joins three sources: the loops of the program and the status of its
// dependencies (package health), and its metrics (package metrics). The program
// passes functions that read its own state; nothing is collected in the
// background except the status of the dependencies, once a second, so that it is
// known since when each is down.
//
// The agent links this package, so it is small; Prometheus' client library is in
// metrics/prom. Goroutines: those of Server.Run, Server.Serve and Server.Report,
// which their callers own, and those of a StartupWait, which end with it.
package observe
