package app_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/wire"
)

const simulatePath = "/api/v1/cps/CP_1/connectors/1/simulate"

// plugs counts the commands to plug in: each repeat that is executed adds one.
func (r *runningCentral) plugs(w *world) int {
	r.t.Helper()
	return strings.Count(r.get(w, "/api/v1/commands?limit=500"), `"type":"SIMULATE"`)
}

// An operator sends the same order fifty times at once with one key, and again
// after a restart of Central: one effect, and always the same reply. Another
// order needs another key.
func TestAnOrderIsRepeated(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		w, c, o := network(t, cfg)
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)

		const plug = `{"action":"plug"}`
		answers := make([]answer, 50)
		var asking sync.WaitGroup
		for i := range answers {
			asking.Go(func() { answers[i] = c.ask(w, http.MethodPost, simulatePath, plug, "k-1") })
		}
		asking.Wait()
		first := answers[0]
		if first.status != http.StatusAccepted || !strings.HasPrefix(first.location, "/api/v1/commands/") {
			t.Fatalf("got %+v, want it accepted", first)
		}
		refused := c.ask(w, http.MethodPost, "/api/v1/sessions/none/stop", "", "k-2")
		if refused.status != http.StatusNotFound {
			t.Errorf("got %+v, want a refusal", refused)
		}
		repeat := func(when string) {
			t.Helper()
			for i, a := range answers {
				if a != first {
					t.Errorf("%s, answer %d: got %+v, want %+v", when, i, a, first)
				}
			}
			if a := c.ask(w, http.MethodPost, "/api/v1/sessions/none/stop", "", "k-2"); a != refused {
				t.Errorf("%s, the refusal: got %+v, want %+v", when, a, refused)
			}
			for path, body := range map[string]string{simulatePath: `{"action":"unplug"}`, "/api/v1/cps/CP_1/admit": ""} {
				a := c.ask(w, http.MethodPost, path, body, "k-1")
				if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "#idempotency_key_reused") || !strings.Contains(a.body, "Idempotency-Key: this key came with another request") {
					t.Errorf("%s, %s with the key of another order: got %+v", when, path, a)
				}
			}
			if n := c.plugs(w); n != 1 {
				t.Errorf("%s: %d orders, want one", when, n)
			}
		}
		repeat("at once")
		c.stop()
		c = w.central(cfg)
		answers = []answer{c.ask(w, http.MethodPost, simulatePath, plug, "k-1")} // at once, before it is active
		time.Sleep(3 * time.Second)
		repeat("in another life")
		if a := c.ask(w, http.MethodPost, simulatePath, plug, ""); a.status != http.StatusAccepted || a == first || c.plugs(w) != 2 {
			t.Errorf("without a key: got %+v and %d orders, want a new one", a, c.plugs(w))
		}
		o.stop()
		c.stop()
		verifiedHash(t, path)
	})
}

// A backup has the keys of its time. What was ordered after it is a new order
// to the Central that runs on it, as without a key. The fenced Central repeats
// its earlier replies and accepts nothing new.
func TestKeysOfARestoredBackup(t *testing.T) {
	path, dir := db(t), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		old := w.central(cfg)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		plug := func(c *runningCentral, key string) answer {
			return c.ask(w, http.MethodPost, simulatePath, `{"action":"plug"}`, key)
		}
		before := plug(old, "before")
		copied := settings(filepath.Join(dir, "restored.db"))
		if _, err := app.Backup(t.Context(), cfg, copied.Database.Path); err != nil {
			t.Fatal(err)
		}
		after := plug(old, "after")
		copied.Takeover = true
		restored := w.central(copied)
		time.Sleep(10 * time.Second)

		if a := plug(restored, "before"); a != before {
			t.Errorf("a key of before the backup: got %+v, want %+v", a, before)
		}
		if a := plug(restored, "after"); a.status != http.StatusAccepted || a == after {
			t.Errorf("a key of after the backup: got %+v, want a new order", a)
		}
		if n := restored.plugs(w); n != 2 {
			t.Errorf("%d orders, want one of before and one of now", n)
		}
		for key, want := range map[string]answer{"before": before, "after": after} {
			if a := plug(old, key); a != want {
				t.Errorf("the fenced one, key %q: got %+v, want %+v", key, a, want)
			}
		}
		for range 2 {
			if a := plug(old, "new"); a.status != http.StatusConflict || !strings.Contains(a.body, "#fenced") {
				t.Errorf("the fenced one took a new order: %+v", a)
			}
		}
		restored.stop()
		old.stop()
		o.stop()
	})
}
