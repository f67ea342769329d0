package panel

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/loopback"
	"github.com/carga-ev/carga/internal/wire"
)

// The files of the page, as they are served.
var (
	//go:embed page/index.html
	indexHTML []byte
	//go:embed page/panel.css
	panelCSS []byte
	//go:embed page/panel.js
	panelJS []byte
)

// policy lets the page load its own files and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// Action is the body of POST /simulate. A tap has the identifier of the card, which
// SIMULATE has not: it goes through the reader.
type Action struct {
	Action    wire.SimulateAction `json:"action"`
	Connector charge.ConnectorID  `json:"connector,omitzero"` // not with tap
	Fault     charge.Fault        `json:"fault,omitempty"`    // with fault
	UID       string              `json:"uid,omitempty"`      // with tap: a secret, never logged
}

// validate returns what is wrong with an action at a charging point with n connectors.
func (a *Action) validate(n int) error {
	switch a.Action {
	case wire.SimulateTap:
		return nil // the reader checks the identifier
	case wire.SimulatePlug, wire.SimulateUnplug, wire.SimulateRepair:
	case wire.SimulateFault:
		if !a.Fault.Valid() {
			return fmt.Errorf("fault: %.40q is none; use one of %v", a.Fault, charge.Faults())
		}
	default:
		return fmt.Errorf("action: %.40q is none; use plug, unplug, fault, repair or tap", a.Action)
	}
	if a.Connector < 1 || int(a.Connector) > n {
		return fmt.Errorf("connector: there is no %d; use 1 to %d", a.Connector, n)
	}
	return nil
}

// Panel is the page of one boot.
type Panel struct {
	// State returns the present state. It is called for each request, by several
	// goroutines.
	State func() State
	// Simulate operates simulated hardware; nil: the hardware is real. It is called
	// with valid actions, by several goroutines.
	Simulate func(Action) error
}

// Register adds the page and what it reads to mux.
func (p *Panel) Register(mux *http.ServeMux) {
	mux.Handle("GET /{$}", file("text/html", indexHTML))
	mux.Handle("GET /panel.css", file("text/css", panelCSS))
	mux.Handle("GET /panel.js", file("text/javascript", panelJS))
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "application/json", p.State())
	})
	mux.HandleFunc("POST /simulate", p.simulate)
}

// simulate serves POST /simulate. Whatever the configuration permits to read, this
// machine alone may act: there are no accounts.
func (p *Panel) simulate(w http.ResponseWriter, r *http.Request) {
	if !local(r) {
		refuse(w, http.StatusMisdirectedRequest, "actions are accepted on loopback alone; open a tunnel with ssh -L and use 127.0.0.1")
		return
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		refuse(w, http.StatusForbidden, "another page sent this request: "+err.Error())
		return
	}
	if p.Simulate == nil {
		refuse(w, http.StatusConflict, "this hardware is real: plug the vehicle, hold the card to the reader, repair the fault")
		return
	}
	var a Action
	body := json.NewDecoder(r.Body) // limited by package observe
	body.DisallowUnknownFields()
	if err := body.Decode(&a); err != nil {
		refuse(w, http.StatusBadRequest, "the body is no action: "+err.Error())
		return
	}
	if err := a.validate(len(p.State().Connectors)); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := p.Simulate(a); err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// local reports whether a request comes from this machine and names it. The end of a
// tunnel does both. A connection in memory has no address.
func local(r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	return loopback.Asked(r.Host) && (err != nil || loopback.Host(from))
}

// file serves one file of the page. Browsers ask again each time: an agent that was
// replaced has another page.
func file(kind string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind+"; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(content) // fails only if the client has gone
	})
}

// problem is an error in the form of RFC 9457.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, status int, detail string) {
	write(w, status, "application/problem+json", problem{http.StatusText(status), status, detail})
}

// write answers with a value as JSON.
func write(w http.ResponseWriter, status int, kind string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // cannot happen: the types always encode
		status, body = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only if the client has gone
}
