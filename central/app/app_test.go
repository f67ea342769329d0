package app_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// answer is what the page's API answered.
type answer struct {
	status         int
	location, body string
}

// ask sends one request to the page's API, with an Idempotency-Key unless key is
// empty.
func (r *runningCentral) ask(w *world, method, path, body, key string) answer {
	r.t.Helper()
	if key == "" {
		return r.askWith(w, method, path, body, nil)
	}
	return r.askWith(w, method, path, body, http.Header{"Idempotency-Key": {key}})
}

func (r *runningCentral) askWith(w *world, method, path, body string, header http.Header) answer {
	r.t.Helper()
	c := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, n, _ string) (net.Conn, error) {
			return w.net.DialContext(ctx, n, r.page.Addr().String())
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, header)
	res, err := c.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		r.t.Errorf("%s %s: %v", method, path, err)
	}
	return answer{res.StatusCode, res.Header.Get("Location"), string(raw)}
}

// get reads from the page's API.
func (r *runningCentral) get(w *world, path string) string {
	r.t.Helper()
	a := r.ask(w, http.MethodGet, path, "", "")
	if a.status != http.StatusOK {
		r.t.Errorf("GET %s: %d", path, a.status)
	}
	return a.body
}

func TestFromRecordToTicketOverKafka(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		began := time.Now()
		c := w.central(cfg)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		o.publish(wire.TopicEvents, journaltest.Message{Key: "CP_1", Value: []byte("poison")})
		o.publish(wire.TopicEvents, p.All...)
		o.publish(wire.TopicMonitor, p.Presence(1, charge.Epoch{}))
		for range 200 {
			if seq, _ := o.acked(p.Journal); seq == p.Seq {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the first acknowledgement took %s from the start of Central", took)
		}
		time.Sleep(2 * time.Second)
		if got := o.tickets(); len(got) != 1 || len(got["CP_1-1"]) != 1 {
			t.Errorf("tickets published: got %v, want one of CP_1-1", got)
		}
		if o.heartbeatCount() < 1 || o.dead != 1 {
			t.Errorf("heartbeats %d, dead letters %d; want some and 1", o.heartbeatCount(), o.dead)
		}
		sums, err := c.central.Totals(t.Context())
		if err != nil || sums.Applied != int64(p.Seq) || sums.Tickets != 1 || sums.Billed != 2100 || sums.Metered != 2100 || sums.DeadLetters != 1 {
			t.Errorf("totals: got %+v %v", sums, err)
		}
		if page := c.get(w, "/api/v1/tickets"); !strings.Contains(page, `"CP_1-1"`) {
			t.Errorf("tickets on the page: got %s", page)
		}
		o.stop()
		c.stop()
	})
}

func TestKafkaAbsentForLong(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := settings(path)
		c := w.central(cfg)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(10 * time.Minute)
		if page := c.get(w, "/api/v1/network"); !strings.Contains(page, "waits for Kafka") {
			t.Errorf("the page does not show what is missing: %s", page)
		}
		w.kafka()
		defer w.kafkaGone()
		time.Sleep(2 * time.Second)
		if seq, _ := o.acked(p.Journal); seq != p.Seq {
			t.Errorf("2 s after Kafka came: acknowledged %d, want %d", seq, p.Seq)
		}
		w.kafkaGone() // and goes again
		p.Charge(1)
		o.publish(wire.TopicEvents, p.All[1:]...)
		time.Sleep(10 * time.Minute)
		if page := c.get(w, "/api/v1/network"); !strings.Contains(page, `"waiting for Kafka: network is cut","why":[{"code":"kafka_down"`) {
			t.Errorf("the page does not show what is missing: %s", page)
		}
		w.kafka()
		time.Sleep(2 * time.Second)
		if seq, _ := o.acked(p.Journal); seq != p.Seq {
			t.Errorf("2 s after Kafka came back: acknowledged %d, want %d", seq, p.Seq)
		}
		o.stop()
		c.stop()
	})
}

func TestKilledAndStartedAgainMidStream(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		for n := range 12 {
			p.Charge(n)
		}
		for i, m := range p.All { // each life sees the middle of something
			if i%20 == 0 {
				c := w.central(cfg)
				o.publish(wire.TopicEvents, p.All[:i]...) // what was not acknowledged comes again
				time.Sleep(2400*time.Millisecond + time.Duration(i)*3*time.Millisecond)
				c.stop()
			}
			o.publish(wire.TopicEvents, m)
		}
		c := w.central(cfg)
		time.Sleep(10 * time.Second)
		if seq, _ := o.acked(p.Journal); seq != p.Seq {
			t.Errorf("acknowledged: got %d, want %d", seq, p.Seq)
		}
		sums, err := c.central.Totals(t.Context())
		if err != nil || sums.Applied != int64(p.Seq) || sums.Tickets != 12 || sums.Billed != 12*2100 || sums.Unaccounted != 0 {
			t.Errorf("totals: got %+v %v", sums, err)
		}
		o.eachTicketOnce()
		if n := len(o.tickets()); n != 12 {
			t.Errorf("tickets published of %d sessions, want 12", n)
		}
		o.stop()
		c.stop()
	})
}

func TestALogReplacedByAShorterOne(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		cfg := settings(path)
		c := w.central(cfg)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		for n := range 5 {
			p.Charge(n)
		}
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		known := p.Seq
		if seq, _ := o.acked(p.Journal); seq != known {
			t.Fatalf("acknowledged: got %d, want %d", seq, known)
		}
		w.kafkaGone()
		w.kafka() // with nothing in it
		defer w.kafkaGone()
		p.Charge(5)
		o.publish(wire.TopicEvents, p.All[known-3:]...)
		time.Sleep(20 * time.Second)
		if seq, _ := o.acked(p.Journal); seq != p.Seq {
			t.Errorf("acknowledged from the new log: got %d, want %d", seq, p.Seq)
		}
		sums, err := c.central.Totals(t.Context())
		if err != nil || sums.Applied != int64(p.Seq) || sums.Tickets != 6 || sums.Lost != 0 {
			t.Errorf("totals: got %+v %v", sums, err)
		}
		o.stop()
		c.stop()
	})
}

// The database is restored from an older copy, and Kafka's log is lost too. A
// higher epoch acknowledges to the charging points what the copy has, so they
// send again all that follows.
func TestRestoredFromAnOlderCopy(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		cfg := settings(path)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		life := func(known int, charges ...int) int {
			t.Helper()
			c := w.central(cfg)
			for _, n := range charges {
				p.Charge(n)
			}
			o.publish(wire.TopicEvents, p.All[known:]...)
			time.Sleep(5 * time.Second)
			if seq, _ := o.acked(p.Journal); seq != p.Seq {
				t.Errorf("acknowledged: got %d, want %d", seq, p.Seq)
			}
			c.stop()
			return len(p.All)
		}
		known := life(0, 1, 2)
		older, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, before := o.acked(p.Journal)
		later := life(known, 3, 4)
		w.kafkaGone()
		w.kafka()
		defer w.kafkaGone()
		if err := os.WriteFile(path, older, 0o600); err != nil {
			t.Fatal(err)
		}
		c := w.central(cfg)
		time.Sleep(20 * time.Second)
		seq, by := o.acked(p.Journal)
		if int(seq) != known || !before.Less(by) {
			t.Errorf("acknowledged: %d by %s, want %d by a greater epoch than %s", seq, by, known, before)
		}
		o.publish(wire.TopicEvents, p.All[known:later]...)
		time.Sleep(5 * time.Second)
		sums, err := c.central.Totals(t.Context())
		if err != nil || sums.Applied != int64(p.Seq) || sums.Tickets != 4 || sums.Billed != 4*2100 || sums.Lost != 0 {
			t.Errorf("totals: got %+v %v", sums, err)
		}
		o.eachTicketOnce()
		c.stop()
		o.stop()
	})
}

func TestOfTwoCentralsOneIsActive(t *testing.T) {
	first, second := db(t), db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(first)
		a := w.central(cfg)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		_, before := o.acked(p.Journal)

		cfg2 := settings(second)
		b := w.central(cfg2)
		time.Sleep(time.Minute)
		p.Charge(1)
		o.publish(wire.TopicEvents, p.All[1:]...)
		time.Sleep(3 * time.Second)
		if _, by := o.acked(p.Journal); by != before {
			t.Errorf("the second spoke although the first lives: %s", by)
		}
		if page := b.get(w, "/api/v1/network"); !strings.Contains(page, "another Central") {
			t.Errorf("the second does not show what it waits for: %s", page)
		}
		b.stop()

		cfg2.Takeover = true
		b = w.central(cfg2)
		time.Sleep(10 * time.Second)
		if page := a.get(w, "/api/v1/network"); !strings.Contains(page, "took over") {
			t.Errorf("the first does not show that it is fenced: %s", page)
		}
		p.Charge(2)
		o.publish(wire.TopicEvents, p.All[p.Seq-8:]...)
		time.Sleep(5 * time.Second)
		if seq, by := o.acked(p.Journal); seq != p.Seq || !before.Less(by) {
			t.Errorf("after the take-over: acknowledged %d by %s, want %d by a greater one than %s", seq, by, p.Seq, before)
		}
		a.stop()
		b.stop()

		// No other Central is alive: the first becomes active after it has listened.
		a = w.central(cfg)
		time.Sleep(6 * time.Second)
		if _, by := o.acked(p.Journal); !before.Less(by) {
			t.Errorf("the first did not come back: last acknowledgement by %s", by)
		}
		a.stop()
		o.stop()
	})
}

func TestWhatCannotRunIsRefusedInWords(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.central(settings(path))
		synctest.Wait() // its tariff is written down
		refused := func(what string, cfg app.Config, l net.Listener, words string) {
			t.Helper()
			if err := app.Run(t.Context(), cfg, app.Deps{Dial: w.dial, Listener: l}); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: got %v, want it refused: %s", what, err, words)
			}
		}
		refused("a database in use", settings(path), w.listen(), "in use")
		c.stop()
		cfg := settings(path)
		cfg.Tariff.PerKWh = "0.4501"
		refused("other prices under the same version", cfg, w.listen(), "never changes")
		cfg = settings(path)
		cfg.HTTP.Listen = "0.0.0.0:0"
		refused("open off loopback", cfg, nil, "web.access")
		cfg.Web.Access = app.AccessAccounts
		refused("plain HTTP off loopback", cfg, nil, "web.tls")
		cfg = settings(t.TempDir()) // a folder
		refused("a folder as database", cfg, w.listen(), "open database")
	})
}
