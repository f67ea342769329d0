package app_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

type shownPart struct {
	Name, State, Reason string
	Since               time.Time
}

// parts returns the parts shown on the page.
func (r *runningCentral) parts(w *world) map[string]shownPart {
	r.t.Helper()
	var n struct{ Parts []shownPart }
	if err := json.Unmarshal([]byte(r.get(w, "/api/v1/network")), &n); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]shownPart{}
	for _, p := range n.Parts {
		all[p.Name] = p
	}
	return all
}

// openAlarms returns the open alarms on the page, each with its kind and text.
func (r *runningCentral) openAlarms(w *world) (all []string) {
	r.t.Helper()
	var n struct{ Items []struct{ Kind, Text string } }
	if err := json.Unmarshal([]byte(r.get(w, "/api/v1/alarms?state=open")), &n); err != nil {
		r.t.Fatal(err)
	}
	for _, a := range n.Items {
		all = append(all, a.Kind+" "+a.Text)
	}
	return all
}

// bridgeHeartbeat is a bridge's heartbeat.
func bridgeHeartbeat(t *testing.T, m wire.BridgeAlive) journaltest.Message {
	t.Helper()
	now := charge.At(time.Now())
	m.V, m.At, m.MQTT, m.Kafka = wire.Version, now, wire.Dependency{Up: true, Since: now}, wire.Dependency{Up: true, Since: now}
	if m.Bridge == "" {
		m.Bridge = "b"
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return journaltest.Message{Key: m.Bridge, Kind: wire.KindValueBridgeAlive, Value: raw}
}

// For each topic and each reason of Kafka's, the page, /readyz, a metric and an
// alarm show that Central cannot write, a few seconds after a record has waited
// 10 s. It ends when Central can write again.
func TestWhatCentralCannotWriteIsShown(t *testing.T) {
	for i, topic := range []string{wire.TopicMonitor, wire.TopicCommands, wire.TopicCentralEvents, wire.TopicDeadLetters} {
		fault := []*kerr.Error{kerr.InvalidTimestamp, kerr.TopicAuthorizationFailed, kerr.MessageTooLarge, kerr.LeaderNotAvailable}[i]
		words := "cannot write " + topic + ": " + []string{"this machine's clock is ahead of Kafka's", "Kafka denies access", "a record is larger", "the partition has no leader"}[i]
		t.Run(topic, func(t *testing.T) {
			path := db(t)
			synctest.Test(t, func(t *testing.T) {
				w, c, o := network(t, settings(path))
				page := c.observed(w)
				time.Sleep(10 * time.Second)
				f := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: fault, Count: -1})
				began := time.Now()
				p := journaltest.New(t, "CP_1")
				p.Charge(1)
				o.publish(wire.TopicEvents, journaltest.Message{Key: "CP_1", Value: []byte("poison")})
				o.publish(wire.TopicEvents, p.All...)
				time.Sleep(9 * time.Second)
				if ok, all := page.Ready(); !ok && topic != wire.TopicCommands { // what may be refused is not known yet
					t.Errorf("after 9 s: %+v", all)
				}
				time.Sleep(4 * time.Second)
				part := c.parts(w)["central"]
				if late := part.Since.Sub(began); part.State != "down" || !strings.Contains(part.Reason, words) || late < -time.Second || late > 2*time.Second {
					t.Errorf("the page shows %+v, want it down since %s because %s", part, began, words)
				}
				if k := c.parts(w)["kafka"]; k.State != "up" {
					t.Errorf("Kafka answers: the page shows %+v", k)
				}
				ok, all := page.Ready()
				if l := all["kafka_lanes"]; ok || l.Up || !strings.Contains(l.Reason, words) {
					t.Errorf("/readyz: got %v %+v", ok, l)
				}
				if m := page.Scrape(); m["carga_central_kafka_lanes_blocked"] < 1 || m["carga_central_kafka_oldest_seconds"] < 10 {
					t.Errorf("metrics: got %v lanes blocked, the oldest %v s", m["carga_central_kafka_lanes_blocked"], m["carga_central_kafka_oldest_seconds"])
				}
				has := func(all []string) bool {
					for _, a := range all {
						if strings.HasPrefix(a, "part_down central: ") && strings.Contains(a, words) {
							return true
						}
					}
					return false
				}
				if alarms := c.openAlarms(w); !has(alarms) {
					t.Errorf("alarms: got %q", alarms)
				}
				f.Remove()
				time.Sleep(15 * time.Second)
				if part := c.parts(w)["central"]; part.State != "up" {
					t.Errorf("it can be written again: the page shows %+v", part)
				}
				if ok, all := page.Ready(); !ok {
					t.Errorf("it can be written again: got %+v", all)
				}
				if alarms := c.openAlarms(w); has(alarms) {
					t.Errorf("it can be written again: got %q", alarms)
				}
				if got := o.tickets(); len(got) != 1 || len(got["CP_1-1"]) != 1 || o.dead != 1 {
					t.Errorf("nothing is lost: got tickets %v and %d dead letters, want one each", got, o.dead)
				}
				o.stop()
				c.stop()
			})
		})
	}
}

// The page and an alarm show what the bridge cannot do, and that it is silent.
// Both end when it works again.
func TestWhatTheBridgeCannotDoIsShown(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		w, c, o := network(t, cfg)
		page := c.observed(w)
		started := charge.At(time.Now())
		lives := func(seconds int, troubles ...wire.Trouble) {
			for range seconds {
				o.publish(wire.TopicMonitor, bridgeHeartbeat(t, wire.BridgeAlive{StartedAt: started, Troubles: troubles}))
				time.Sleep(time.Second)
			}
		}
		time.Sleep(30 * time.Second)
		if alarms := c.openAlarms(w); len(alarms) != 0 {
			t.Errorf("no heartbeat of a bridge yet: got %q", alarms)
		}
		lives(5)
		if p := c.parts(w)["bridge"]; p.State != "up" {
			t.Errorf("it is well: got %+v", p)
		}
		since := charge.At(time.Now()).Add(-10 * time.Second)
		lives(3, wire.Trouble{Since: since, Reason: "cannot write cp-events: x"}, wire.Trouble{Since: since + 1, Reason: "cannot read cp-commands: y"})
		if p := c.parts(w)["bridge"]; p.State != "down" || !p.Since.Equal(since.Std()) || p.Reason != "bridge b: cannot write cp-events: x (and 1 more)" {
			t.Errorf("it cannot write: got %+v", p)
		}
		if ok, all := page.Ready(); !ok || all["bridge"].Up || !all["bridge"].Informational || !strings.Contains(all["bridge"].Reason, "cannot write cp-events") {
			t.Errorf("it cannot write: got %v %+v", ok, all["bridge"])
		}
		if alarms := fmt.Sprint(c.openAlarms(w)); alarms != "[part_down bridge: bridge b: cannot write cp-events: x (and 1 more)]" {
			t.Errorf("it cannot write: got %s", alarms)
		}
		c.stop() // the alarm outlives Central, and ends when it is over
		c = w.central(cfg)
		time.Sleep(15 * time.Second)
		if alarms := c.openAlarms(w); len(alarms) != 1 {
			t.Errorf("another life: got %q", alarms)
		}
		lives(3)
		if p, alarms := c.parts(w)["bridge"], c.openAlarms(w); p.State != "up" || len(alarms) != 0 {
			t.Errorf("it is well again: got %+v, %q", p, alarms)
		}
		silent := time.Now()
		time.Sleep(20 * time.Second)
		p, alarms := c.parts(w)["bridge"], fmt.Sprint(c.openAlarms(w))
		if p.State != "down" || p.Since.Before(silent.Add(-2*time.Second)) || p.Since.After(silent) || alarms != "[part_down bridge: no heartbeats any more]" {
			t.Errorf("it is silent: got %+v, %s", p, alarms)
		}
		w.kafkaGone()
		time.Sleep(20 * time.Second)
		if p := c.parts(w); p["bridge"].State != "unknown" || p["kafka"].State != "down" || p["central"].State != "up" {
			t.Errorf("Kafka is away: got %+v", p)
		}
		w.kafka()
		lives(10)
		if p, alarms := c.parts(w), c.openAlarms(w); p["bridge"].State != "up" || p["central"].State != "up" || len(alarms) != 0 {
			t.Errorf("all is well: got %+v, %q", p, alarms)
		}
		o.stop()
		c.stop()
	})
}

// However often the number of dead letters is published, by any run of any
// bridge, over restarts of Central, the alarm is raised once.
func TestDeadLettersOfABridgeRaiseTheAlarmOnce(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		w, c, o := network(t, cfg)
		time.Sleep(5 * time.Second)
		first, second := charge.At(time.Now()), charge.At(time.Now().Add(-time.Hour)) // its clock was set back between
		heartbeat := func(started charge.Time, n int64, why string) {
			for range 3 {
				o.publish(wire.TopicMonitor, bridgeHeartbeat(t, wire.BridgeAlive{StartedAt: started, Accepted: n, DeadLetters: n, DeadLetter: why}))
				time.Sleep(time.Second)
			}
		}
		want := func(when string, dead int64, alarms ...string) {
			t.Helper()
			if got := c.openAlarms(w); fmt.Sprint(got) != fmt.Sprint(alarms) {
				t.Errorf("%s: alarms %q, want %q", when, got, alarms)
			}
			var n struct {
				Books struct {
					DeadLetters int64 `json:"dead_letters"`
				}
			}
			if err := json.Unmarshal([]byte(c.get(w, "/api/v1/network")), &n); err != nil || n.Books.DeadLetters != dead {
				t.Errorf("%s: %d dead letters on the page, want %d %v", when, n.Books.DeadLetters, dead, err)
			}
		}
		clearAll := func() {
			t.Helper()
			storetest.Exec(t, path, "UPDATE alarms SET cleared=1")
		}
		words := func(n int, why string) string {
			return fmt.Sprintf("dead_letter dead letters of bridge b since its start: %d, kept in cp-events-dlq; the last: %s", n, why)
		}
		heartbeat(first, 0, "")
		want("none", 0)
		heartbeat(first, 2, "cp/CP_A/up/event: x")
		want("two", 2, words(2, "cp/CP_A/up/event: x"))
		clearAll()
		heartbeat(first, 2, "cp/CP_A/up/event: x")
		want("the same two", 2)
		c.stop()
		c = w.central(cfg)
		heartbeat(first, 2, "cp/CP_A/up/event: x")
		want("the same two, another life of Central", 2)
		heartbeat(second, 0, "")
		want("another run of the bridge", 2)
		heartbeat(second, 1, "cp/CP_A/up/event: y")
		want("one more", 3, words(1, "cp/CP_A/up/event: y"))
		o.stop()
		c.stop()
	})
}

// Until Kafka has a command its state is "written", however often it was tried.
func TestACommandIsSentWhenKafkaHasIt(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		for range 3 {
			o.publish(wire.TopicMonitor, bridgeHeartbeat(t, wire.BridgeAlive{StartedAt: charge.At(time.Now())}), p.Presence(1, charge.Epoch{}))
			time.Sleep(time.Second)
		}
		f := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: wire.TopicCommands, Err: kerr.KafkaStorageError, Count: -1})
		began := time.Now()
		c.post(w, "/api/v1/availability", `{"cp_id":"CP_1","available":false}`)
		command := func() (state string, sentAt time.Time) {
			t.Helper()
			var n struct {
				Items []struct {
					State  string
					SentAt time.Time `json:"sent_at"`
				}
			}
			if err := json.Unmarshal([]byte(c.get(w, "/api/v1/commands")), &n); err != nil || len(n.Items) != 1 {
				t.Fatalf("commands: %+v %v", n, err)
			}
			return n.Items[0].State, n.Items[0].SentAt
		}
		time.Sleep(10 * time.Second)
		if state, at := command(); state != "written" || !at.IsZero() {
			t.Errorf("Kafka does not have it: got %s, sent at %s", state, at)
		}
		f.Remove()
		time.Sleep(3 * time.Second)
		if state, at := command(); state != "sent" || at.Before(began.Add(10*time.Second)) {
			t.Errorf("Kafka has it: got %s, sent at %s", state, at)
		}
		o.stop()
		c.stop()
	})
}

// A locked database makes Central down, and no other part.
func TestALockedDatabaseIsNotABridgeThatIsAway(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		started := charge.At(time.Now())
		p := journaltest.New(t, "CP_1")
		lives := func(seconds int) {
			for range seconds {
				o.publish(wire.TopicMonitor, bridgeHeartbeat(t, wire.BridgeAlive{StartedAt: started}), p.Presence(1, charge.Epoch{}))
				time.Sleep(time.Second)
			}
		}
		o.publish(wire.TopicEvents, p.All...)
		lives(5)
		unlock := storetest.Lock(t, path)
		lives(30)
		parts := c.parts(w)
		if central := parts["central"]; central.State != "down" || !strings.Contains(central.Reason, "locked") {
			t.Errorf("central: got %+v", central)
		}
		for _, name := range []string{"bridge", "mqtt", "kafka"} {
			if parts[name].State != "up" {
				t.Errorf("got %+v", parts[name])
			}
		}
		if _, all := c.observed(w).Ready(); all["database"].Up || !all["bridge"].Up || !all["kafka"].Up || !all["kafka_lanes"].Up {
			t.Errorf("/readyz: got %+v", all)
		}
		unlock()
		lives(5)
		for name, p := range c.parts(w) {
			if p.State != "up" {
				t.Errorf("unlocked: %s is %+v", name, p)
			}
		}
		o.stop()
		c.stop()
	})
}
