// Package panel is the charging point's own page: what an installer sees on site,
// also without a network. It is three static files, GET /status.json, which the page
// reads each second, and POST /simulate, which operates simulated hardware.
//
// The page shows no driver: it has no accounts, and is served where health and
// metrics are (package observe). The package starts no goroutine.
package panel
