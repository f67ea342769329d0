package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/internal/panel"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/metrics/metricstest"
	"github.com/carga-ev/carga/internal/wire"
)

// simulate posts an action of the page and returns the answer.
func simulate(p *point, page metricstest.Page, body string) (status int, detail string) {
	p.t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: page.Dial}}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+page.Addr+"/simulate", strings.NewReader(body))
	p.do(err)
	req.Header.Set("Origin", "http://"+page.Addr)
	res, err := c.Do(req)
	p.do(err)
	raw, err := io.ReadAll(res.Body)
	p.do(err)
	p.do(res.Body.Close())
	return res.StatusCode, string(raw)
}

// shown is what the page shows now.
func shown(p *point, page metricstest.Page) (s panel.State, raw string) {
	p.t.Helper()
	status, raw := page.Get("/status.json")
	if err := json.Unmarshal([]byte(raw), &s); err != nil || status != http.StatusOK {
		p.t.Fatalf("status.json: %d %v %s", status, err, raw)
	}
	return s, raw
}

// TestPageOfTheChargingPoint: the page is served beside health, shows the state of the
// core without a driver's name, and operates simulated hardware.
func TestPageOfTheChargingPoint(t *testing.T) {
	play(t, func(c *app.Config, _ *sim.Config) { c.Name, c.Place = "Left", "Hall 2" }, func(p *point) {
		t := p.t
		page := p.observed(p.disk.open)
		p.ready()
		if status, body := page.Get("/"); status != http.StatusOK || !strings.Contains(body, "panel.js") {
			t.Errorf("page: got %d %s", status, body)
		}
		s, _ := shown(p, page)
		c := s.Connectors[0]
		if s.CP != theCP || s.Name != "Left" || s.Place != "Hall 2" || !s.Simulated || !s.Link.Up || s.Clock != charge.ClockSynced || s.Journal.AckedMS < 0 ||
			c.Status != charge.StatusAvailable || c.Pilot != "A" || c.Closed || c.MeterMS < 0 || c.MeterMS > 2000 || c.Limit == nil || c.LimitBy != charge.LimitConnector {
			t.Errorf("at rest: got %+v", s)
		}
		if status, body := simulate(p, page, `{"action":"plug","connector":1}`); status != http.StatusNoContent {
			t.Fatalf("plug: got %d %s", status, body)
		}
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		time.Sleep(5 * time.Second)
		s, raw := shown(p, page)
		if c = s.Connectors[0]; !c.Closed || c.Power <= 0 || c.Pilot != "C" || c.Register <= c.Start {
			t.Errorf("charging: got %+v", c)
		}
		if strings.Contains(raw, "driver1") || strings.Contains(raw, "s1") {
			t.Errorf("the page names the driver or the session: %s", raw)
		}
		if status, body := simulate(p, page, `{"action":"plug","connector":1}`); status != http.StatusConflict || !strings.Contains(body, "plugged in already") {
			t.Errorf("a second plug: got %d %s", status, body)
		}
		if status, body := simulate(p, page, `{"action":"unplug","connector":1}`); status != http.StatusNoContent {
			t.Errorf("unplug: got %d %s", status, body)
		}
		time.Sleep(5 * time.Second)
		s, raw = shown(p, page)
		c = s.Connectors[0]
		for _, step := range []bool{
			s.Steps[panel.StepMessage], s.Steps[panel.StepAdmitted],
			c.Steps[panel.StepPlug], c.Steps[panel.StepContactor], c.Steps[panel.StepMeter], c.Steps[panel.StepTicket],
		} {
			if !step {
				t.Errorf("all steps are done: got %s", raw)
			}
		}
		if status, body := simulate(p, page, `{"action":"tap","uid":"04A1B2C3"}`); status != http.StatusNoContent {
			t.Errorf("tap: got %d %s", status, body)
		}
		if status, body := simulate(p, page, `{"action":"tap","uid":"xyz"}`); status != http.StatusConflict {
			t.Errorf("a wrong card: got %d %s", status, body)
		}
		for _, f := range []charge.Fault{charge.FaultContactorWelded, charge.FaultOther} {
			if status, body := simulate(p, page, `{"action":"fault","connector":1,"fault":"`+string(f)+`"}`); status != http.StatusNoContent {
				t.Errorf("%s: got %d %s", f, status, body)
			}
		}
		p.status(5*time.Second, charge.StatusFaulted)
		if status, body := simulate(p, page, `{"action":"repair","connector":1}`); status != http.StatusNoContent {
			t.Errorf("repair: got %d %s", status, body)
		}
		p.status(10*time.Second, charge.StatusAvailable)
		if s, _ = shown(p, page); len(s.Connectors[0].Faults) != 0 {
			t.Errorf("repaired, a latched fault included: got %v", s.Connectors[0].Faults)
		}
		p.broker.Stop()
		time.Sleep(time.Minute)
		if s, _ = shown(p, page); s.Link.Up || s.Link.Error == "" || s.Journal.AckedMS < 50_000 {
			t.Errorf("without a broker: got %+v %+v", s.Link, s.Journal)
		}
	})
}

// wiredAsReal is simulated hardware that reports that it is real.
type wiredAsReal struct{ *sim.Board }

func (r wiredAsReal) Info() hal.Info {
	info := r.Board.Info()
	info.Simulated = false
	return info
}

func TestPageOperatesNoRealHardware(t *testing.T) {
	play(t, nil, func(p *point) {
		p.wired = wiredAsReal{p.board}
		page := p.observed(p.disk.open)
		p.ready()
		if s, raw := shown(p, page); s.Simulated {
			p.t.Errorf("got %s", raw)
		}
		status, body := simulate(p, page, `{"action":"plug","connector":1}`)
		if status != http.StatusConflict || !strings.Contains(body, "this hardware is real") {
			p.t.Errorf("got %d %s", status, body)
		}
		if p.outlet().Plugged {
			p.t.Error("a vehicle was plugged in")
		}
	})
}
