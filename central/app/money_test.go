package app_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/wire"
)

// inCurrency is the configuration with a tariff as an orchestrator sets it.
func inCurrency(t *testing.T, path, version, currency, fee, perKWh string) app.Config {
	t.Helper()
	cfg := settings(path)
	if err := config.Load(&cfg, config.Options{EnvPrefix: app.EnvPrefix, Environ: []string{
		"CARGA_CENTRAL_TARIFF__VERSION=" + version, "CARGA_CENTRAL_TARIFF__CURRENCY=" + currency,
		"CARGA_CENTRAL_TARIFF__START_FEE_CENTS=" + fee, "CARGA_CENTRAL_TARIFF__PER_KWH_CENTS=" + perKWh,
	}}); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A network changes its currency. Tickets and sessions that began before stay
// in their own: on the API, in the stream and in the events for drivers.
func TestEachTicketAndSessionHasItsOwnCurrency(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		kuna, euro := inCurrency(t, path, "hrk-1", "HRK", "750", "350"), inCurrency(t, path, "eur-1", "EUR", "100", "46")
		c := w.central(kuna)
		o := w.others(kuna)
		p := journaltest.New(t, "CP_1")
		charges := func(session charge.SessionID, tariff charge.TariffVersion, end bool) {
			start := p.Register
			p.Write(1, session, &wire.Authorized{By: wire.GrantFreeVend, Username: "ann", Register: start, Tariff: tariff})
			p.Write(1, session, &wire.ChargingStarted{Register: start, Username: "ann"})
			p.Register += 1000
			p.Write(1, session, &wire.MeterRead{Register: p.Register, Power: 11_000})
			if end {
				p.Write(1, session, &wire.ChargingStopped{Reason: "local", Start: start, Register: p.Register, Username: "ann", Tariff: tariff})
			}
		}
		published := 0
		publish := func() {
			o.publish(wire.TopicMonitor, p.Presence(1, charge.Epoch{}))
			time.Sleep(time.Second)
			o.publish(wire.TopicEvents, p.All[published:]...)
			published = len(p.All)
			time.Sleep(3 * time.Second)
		}
		charges("s-1", "hrk-1", true)
		charges("s-2", "hrk-1", false)
		publish()
		c.stop()

		c = w.central(euro)
		time.Sleep(3 * time.Second)
		var n struct {
			CPs []struct {
				Connectors []struct {
					SessionID string `json:"session_id"`
					Cost      string `json:"cost"`
					Currency  string `json:"currency"`
				} `json:"connectors"`
			} `json:"cps"`
		}
		if err := json.Unmarshal([]byte(c.get(w, "/api/v1/network")), &n); err != nil || len(n.CPs) != 1 {
			t.Fatalf("network: %+v %v", n, err)
		}
		if k := n.CPs[0].Connectors[0]; k.SessionID != "s-2" || k.Cost != "11.00" || k.Currency != "HRK" {
			t.Errorf("the running session is shown as %+v, want 11.00 HRK", k)
		}
		start := p.Register - 1000
		p.Write(1, "s-2", &wire.ChargingStopped{Reason: "local", Start: start, Register: p.Register, Username: "ann", Tariff: "hrk-1"})
		charges("s-3", "eur-1", true)
		publish()
		var page struct {
			Items []struct {
				ID       string `json:"ticket_id"`
				Cost     string `json:"cost"`
				Currency string `json:"currency"`
			} `json:"items"`
		}
		body := c.get(w, "/api/v1/tickets")
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, k := range page.Items {
			got[k.ID] = k.Cost + " " + k.Currency
		}
		for id, want := range map[string]string{"t.s-1": "11.00 HRK", "t.s-2": "11.00 HRK", "t.s-3": "1.46 EUR"} {
			if got[id] != want {
				t.Errorf("ticket %s is shown as %q, want %s; %s", id, got[id], want, body)
			}
		}
		costs := map[string]string{}
		o.mu.Lock()
		for i := range o.events {
			if e := &o.events[i]; e.EventType == wire.CentralTicket {
				costs[e.EventID] = e.Cost.String() + " " + e.Currency
			}
		}
		o.mu.Unlock()
		if costs["t.s-1"] != "11.00 HRK" || costs["t.s-2"] != "11.00 HRK" || costs["t.s-3"] != "1.46 EUR" {
			t.Errorf("events for drivers: %v", costs)
		}
		c.stop()
		o.stop()
	})
}
