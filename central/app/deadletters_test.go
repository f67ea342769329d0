package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Dead letters of a bridge are shown from their topic, also those of before this run;
// those of Central itself are not shown twice.
func TestDeadLettersOfABridgeAreShown(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		o := w.others(cfg)
		letter := func(topic, value, why string) {
			err := o.producer.Enqueue(kafkalink.Record{Topic: wire.TopicDeadLetters, Key: []byte("CP_1"), Value: []byte(value), Headers: []kafkalink.Header{
				{Key: wire.HeaderTopic, Value: []byte(topic)},
				{Key: wire.HeaderReason, Value: []byte("no JSON")},
				{Key: wire.HeaderWhy, Value: []byte(why)},
				{Key: wire.HeaderReceivedAt, Value: []byte(charge.At(time.Now()).String())},
			}})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		letter("cp/CP_1/up/event", "before\x00", "") // of an older bridge
		c := w.central(cfg)
		time.Sleep(3 * time.Second)
		letter(wire.TopicEvents, "Central's own", "")
		letter("cp/CP_1/up/presence", "after", `{"code":"json_no_object","message":"presence"}`)
		time.Sleep(3 * time.Second)
		var page struct{ Items []view.BridgeDeadLetter }
		if err := json.Unmarshal([]byte(c.get(w, "/api/v1/bridge-dead-letters")), &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Items) != 2 {
			t.Fatalf("got %+v, want two", page.Items)
		}
		if d := page.Items[0]; d.Topic != "cp/CP_1/up/presence" || d.Body != "after" || d.Key != "CP_1" || d.Reason != "no JSON" || d.Size != 5 || d.Why != reason.OfMessage("presence", "", reason.Wrong{Code: reason.JSONNoObject}) {
			t.Errorf("the later one: %+v", d)
		}
		if d := page.Items[1]; d.Topic != "cp/CP_1/up/event" || d.Body != "before?" || d.ReceivedAt >= page.Items[0].ReceivedAt || d.Why != reason.Words("no JSON") {
			t.Errorf("the earlier one: %+v", d)
		}
		c.stop()
		o.stop()
	})
}

// A dead letter that is replayed is on its topic again, with the same bytes, key
// and kind. Central reads it and, as it still cannot be used, notes another one.
func TestADeadLetterIsReplayedWithItsBytes(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		bad := journaltest.Message{Key: "CP_1", Kind: wire.KindValuePresence, Value: []byte("{\x00\xff not JSON")}
		o.publish(wire.TopicMonitor, bad)
		o.publish(wire.TopicEvents, journaltest.Message{Key: "CP_2", Value: bytes.Repeat([]byte("x"), 64<<10+1)})
		time.Sleep(3 * time.Second)
		list := func(query string) (letters []view.DeadLetter) {
			var page struct{ Items []view.DeadLetter }
			if err := json.Unmarshal([]byte(c.get(w, "/api/v1/dead-letters"+query)), &page); err != nil {
				t.Fatal(err)
			}
			return page.Items
		}
		first := list("")
		if len(first) != 2 {
			t.Fatalf("got %+v, want two", first)
		}
		for i, d := range first {
			long := d.Topic == wire.TopicEvents
			if d.Kept == long || d.Replays != 0 || d.Reason == "" || d.Why.String() != d.Reason || d.Why.Code == reason.Reported || d.Body == "" == d.Kept {
				t.Errorf("letter %d: %+v", i, d)
			}
			answer := c.ask(w, http.MethodPost, fmt.Sprintf("/api/v1/dead-letters/%d/replay", d.ID), "", "")
			if long && (answer.status != http.StatusConflict || !strings.Contains(answer.body, "not kept")) || !long && answer.status != http.StatusOK {
				t.Errorf("replay of %+v: %+v", d, answer)
			}
		}
		if a := c.ask(w, http.MethodPost, "/api/v1/dead-letters/99/replay", "", ""); a.status != http.StatusNotFound || !strings.Contains(a.body, "#unknown_dead_letter") {
			t.Errorf("replay of nothing: %+v", a)
		}
		time.Sleep(3 * time.Second)
		all := list("")
		if len(all) != 3 || len(list("?state=replayed")) != 1 {
			t.Fatalf("got %+v, want three, one replayed", all)
		}
		again := all[0]
		if again.Topic != wire.TopicMonitor || again.Key != bad.Key || again.Kind != bad.Kind || again.Size != len(bad.Value) || again.Body != "{?? not JSON" || again.Offset == 0 {
			t.Errorf("the replayed message: %+v", again)
		}
		o.stop()
		c.stop()
	})
}
