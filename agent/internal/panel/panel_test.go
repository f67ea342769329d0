package panel_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/agent/internal/panel"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// page is a panel with two connectors whose simulated hardware notes its actions.
func page(acted *[]panel.Action, failure error) http.Handler {
	p := panel.Panel{State: func() panel.State { return panel.State{CP: "CP_001", Connectors: make([]panel.Connector, 2)} }}
	if acted != nil {
		p.Simulate = func(a panel.Action) error { *acted = append(*acted, a); return failure }
	}
	mux := http.NewServeMux()
	p.Register(mux)
	return mux
}

func request(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:9464", "127.0.0.1:50000"
	for i := 0; i < len(header); i += 2 {
		switch key, value := header[i], header[i+1]; key {
		case "Host":
			r.Host = value
		case "From":
			r.RemoteAddr = value
		default:
			r.Header.Set(key, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFilesLoadNothingElse(t *testing.T) {
	h := page(nil, nil)
	for path, kind := range map[string]string{"/": "text/html", "/panel.js": "text/javascript", "/panel.css": "text/css"} {
		w := request(t, h, http.MethodGet, path, "")
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind+"; charset=utf-8" || w.Body.Len() == 0 ||
			!strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	for path, status := range map[string]int{"/other": http.StatusNotFound, "/page/panel.js": http.StatusNotFound} {
		if w := request(t, h, http.MethodGet, path, ""); w.Code != status {
			t.Errorf("%s: got %d, want %d", path, w.Code, status)
		}
	}
	if w := request(t, h, http.MethodGet, "/simulate", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET /simulate: got %d", w.Code)
	}
}

func TestState(t *testing.T) {
	w := request(t, page(nil, nil), http.MethodGet, "/status.json", "")
	var s panel.State
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || s.CP != "CP_001" || len(s.Connectors) != 2 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %s, error %v", w.Code, w.Header(), w.Body, err)
	}
}

func TestSimulate(t *testing.T) {
	for body, want := range map[string]panel.Action{
		`{"action":"plug","connector":2}`:                         {Action: wire.SimulatePlug, Connector: 2},
		`{"action":"unplug","connector":1}`:                       {Action: wire.SimulateUnplug, Connector: 1},
		`{"action":"repair","connector":1}`:                       {Action: wire.SimulateRepair, Connector: 1},
		`{"action":"fault","connector":1,"fault":"ground_fault"}`: {Action: wire.SimulateFault, Connector: 1, Fault: charge.FaultGroundFault},
		`{"action":"tap","uid":"04A1B2C3"}`:                       {Action: wire.SimulateTap, UID: "04A1B2C3"},
	} {
		var acted []panel.Action
		// A browser on this machine, through a tunnel, and a program.
		for _, header := range [][]string{{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:9464"}, {"Host", "localhost:8000", "From", "[::1]:50000", "Origin", "http://localhost:8000"}, nil} {
			if w := request(t, page(&acted, nil), http.MethodPost, "/simulate", body, header...); w.Code != http.StatusNoContent {
				t.Errorf("%s %v: got %d %s", body, header, w.Code, w.Body)
			}
		}
		if !slices.Equal(acted, []panel.Action{want, want, want}) {
			t.Errorf("%s: acted %+v", body, acted)
		}
	}
}

func TestRefusals(t *testing.T) {
	const plug = `{"action":"plug","connector":1}`
	for name, c := range map[string]struct {
		body   string
		header []string
		status int
		detail string
	}{
		"another site, by fetch metadata": {plug, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "another page"},
		"another port of this machine":    {plug, []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden, "another page"},
		"another site, by origin":         {plug, []string{"Origin", "http://evil.example"}, http.StatusForbidden, "another page"},
		"another host":                    {plug, []string{"Host", "cp.evil.example:9464"}, http.StatusMisdirectedRequest, "ssh -L"},
		"the network":                     {plug, []string{"Host", "192.168.1.20:9464", "Origin", "http://192.168.1.20:9464"}, http.StatusMisdirectedRequest, "ssh -L"},
		"another machine":                 {plug, []string{"From", "192.168.1.5:50000"}, http.StatusMisdirectedRequest, "ssh -L"},
		"no JSON":                         {"plug", nil, http.StatusBadRequest, "no action"},
		"an unknown field":                {`{"action":"plug","connector":1,"force":true}`, nil, http.StatusBadRequest, "force"},
		"an unknown action":               {`{"action":"open","connector":1}`, nil, http.StatusBadRequest, "plug, unplug"},
		"no connector":                    {`{"action":"plug"}`, nil, http.StatusBadRequest, "connector: there is no 0; use 1 to 2"},
		"a connector too high":            {`{"action":"repair","connector":3}`, nil, http.StatusBadRequest, "use 1 to 2"},
		"no fault":                        {`{"action":"fault","connector":1}`, nil, http.StatusBadRequest, "emergency_stop"},
	} {
		var acted []panel.Action
		refused(t, name, request(t, page(&acted, nil), http.MethodPost, "/simulate", c.body, c.header...), c.status, c.detail)
		if len(acted) != 0 {
			t.Errorf("%s: acted %+v", name, acted)
		}
	}
	refused(t, "real hardware", request(t, page(nil, nil), http.MethodPost, "/simulate", plug), http.StatusConflict, "hardware is real")
	var acted []panel.Action
	refused(t, "refused by the hardware", request(t, page(&acted, errors.New("no vehicle is plugged in")), http.MethodPost, "/simulate", plug),
		http.StatusConflict, "no vehicle is plugged in")
}

// refused checks that an answer is a problem with a status and words of its detail.
func refused(t *testing.T, name string, w *httptest.ResponseRecorder, status int, detail string) {
	t.Helper()
	var p struct {
		Title, Detail string
		Status        int
	}
	err := json.Unmarshal(w.Body.Bytes(), &p)
	if err != nil || w.Code != status || p.Status != status || p.Title == "" || !strings.Contains(p.Detail, detail) || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: got %d %s %s, want %d %q", name, w.Code, w.Header().Get("Content-Type"), w.Body, status, detail)
	}
}

// TestEveryWordHasATextInBothLanguages: what the agent reports is explained, and a
// fault and a step also have a remedy.
func TestEveryWordHasATextInBothLanguages(t *testing.T) {
	raw, err := os.ReadFile("page/panel.js")
	if err != nil {
		t.Fatal(err)
	}
	// table is the texts of one table of the page, by key.
	table := func(name string) map[string][]string {
		_, after, _ := strings.Cut(string(raw), "const "+name+" = {")
		body, _, ok := strings.Cut(after, "}\n")
		if !ok {
			t.Fatalf("no table %s", name)
		}
		all := map[string][]string{}
		for _, row := range regexp.MustCompile(`(\w+): \[(.*?)\]`).FindAllStringSubmatch(body, -1) {
			for _, text := range regexp.MustCompile(`'([^']*)'`).FindAllStringSubmatch(row[2], -1) {
				if text[1] != "" {
					all[row[1]] = append(all[row[1]], text[1])
				}
			}
		}
		return all
	}
	complete := func(name string, texts int, keys ...string) {
		all := table(name)
		for _, k := range keys {
			if len(all[k]) != texts {
				t.Errorf("%s: %s has the texts %q, want %d", name, k, all[k], texts)
			}
		}
	}
	complete("faults", 4, words(charge.Faults())...)
	complete("states", 2, words(charge.Statuses())...)
	complete("steps", 4, words([]panel.Step{panel.StepMessage, panel.StepAdmitted, panel.StepPlug, panel.StepContactor, panel.StepMeter, panel.StepTicket})...)
	complete("reasons", 2, safety.ReasonLate, safety.ReasonInput, safety.ReasonSettling, safety.ReasonStart, safety.ReasonMeter, safety.ReasonHot, safety.ReasonLimited)
	complete("owners", 2, words(charge.LimitOwners())...)
	complete("pilots", 2, "A", "B", "C")
	complete("clocks", 2, words([]charge.ClockQuality{charge.ClockUnset, charge.ClockSet, charge.ClockSynced})...)
	for _, key := range regexp.MustCompile(`\bt\('(\w+)'\)`).FindAllStringSubmatch(string(raw), -1) {
		complete("texts", 2, key[1])
	}
}

func words[S ~string](all []S) (texts []string) {
	for _, s := range all {
		texts = append(texts, string(s))
	}
	return texts
}

// TestThePageIsSmall: the agent has a budget.
func TestThePageIsSmall(t *testing.T) {
	total := int64(0)
	err := fs.WalkDir(os.DirFS("page"), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil || total > 15<<10 {
		t.Errorf("the page has %d bytes, want at most 15 KiB: %v", total, err)
	}
}
