package app_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// What operators set for a charging point takes the place of what it reports, is
// refused when it was changed meanwhile, and survives a restart and a rebuild. So does
// a group.
func TestSettingsOfAChargingPoint(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		w, c, o := network(t, cfg)
		p := journaltest.New(t, "CP_1")
		p.Most, p.Safe = 32_000, 8_000
		p.Boot()
		p.Charge(1)
		o.publish(wire.TopicMonitor, p.Presence(1, charge.Epoch{}))
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		set := func(version, body string, status int, want string) {
			t.Helper()
			if a := c.askWith(w, http.MethodPatch, "/api/v1/cps/CP_1/settings", body, http.Header{"If-Match": {version}}); a.status != status || !strings.Contains(a.body, want) {
				t.Errorf("%s %s: got %+v, want %d with %q", version, body, a, status, want)
			}
		}
		set(`"0"`, `{"name":"Bay 7","site":"North"}`, 200, `"name":"Bay 7","place":"","site":"North"`)
		set(`"0"`, `{"name":"Bay 8"}`, 412, "#settings_changed")
		set(`"1"`, `{"place":"Level 2","name":"Bay 9"}`, 200, `"name":"Bay 9","place":"Level 2","site":"North"`)
		if a := c.ask(w, http.MethodPost, "/api/v1/groups", `{"name":"hall","limit_ma":16000,"cps":["CP_1"]}`, ""); a.status != http.StatusCreated {
			t.Errorf("add a group: %+v", a)
		}
		shown := func(c *runningCentral) {
			t.Helper()
			if groups := c.get(w, "/api/v1/groups"); !strings.Contains(groups, `"name":"hall","version":1,"limit_ma":16000`) || !strings.Contains(groups, `"cps":["CP_1"]`) {
				t.Errorf("groups: %s", groups)
			}
			if page := c.get(w, "/api/v1/cps/CP_1"); !strings.Contains(page, `"name":"Bay 9","place":"Level 2","site":"North"`) {
				t.Errorf("shown: %s", page)
			}
		}
		shown(c)
		c.stop()
		c = w.central(cfg)
		time.Sleep(time.Second)
		shown(c)
		exported, err := app.ExportSettings(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		c.stop()
		rebuilt := settings(filepath.Join(filepath.Dir(path), "rebuilt.db"))
		if _, err := app.Rebuild(t.Context(), cfg, app.Deps{Dial: w.dial}, exported, rebuilt.Database.Path); err != nil {
			t.Fatal(err)
		}
		rebuilt.Takeover = true
		c = w.central(rebuilt)
		time.Sleep(5 * time.Second)
		shown(c)
		c.stop()
		o.stop()
	})
}
