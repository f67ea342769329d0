package ingest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// online makes a charging point online: the bridge and the point send a
// message.
func (l *instance) online(a *journaltest.Point) {
	l.t.Helper()
	now := charge.At(time.Now())
	b := wire.BridgeAlive{V: 1, Bridge: "b", At: now, StartedAt: now, MQTT: wire.Dependency{Up: true, Since: now}, Kafka: wire.Dependency{Up: true, Since: now}}
	raw, err := b.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.deliver(wire.TopicMonitor, journaltest.Message{Key: "bridge", Kind: wire.KindValueBridgeAlive, Value: raw}, a.Presence(a.Seq+1, charge.Epoch{}))
}

func ask(t *testing.T, messageID string, at time.Time) journaltest.Message {
	t.Helper()
	r := wire.DriverRequest{MessageID: messageID, EventType: wire.DriverAuthorization, Username: "ann", ClientID: "c", Timestamp: wire.Seconds(charge.At(at))}
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return journaltest.Message{Key: "ann", Value: raw}
}

// answers are the answers to reservation requests in the outbox.
func (l *instance) answers() []wire.CentralEvent {
	l.t.Helper()
	return slices.DeleteFunc(l.driverEvents(), func(e wire.CentralEvent) bool { return e.EventType != wire.CentralAuthorization })
}

// driverEvents are all central-events in the outbox.
func (l *instance) driverEvents() []wire.CentralEvent {
	l.t.Helper()
	rows, err := l.store.Outbox(l.t.Context(), wire.TopicCentralEvents, 0, 1000)
	if err != nil {
		l.t.Fatal(err)
	}
	var all []wire.CentralEvent
	for _, r := range rows {
		var e wire.CentralEvent
		if json.Unmarshal(r.Value, &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

func TestADriverIsReservedAndAnsweredOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.online(a)
		synctest.Wait()
		l.deliver(wire.TopicDriverEvents, ask(t, "m1", time.Now()))
		synctest.Wait()
		if _, n, _ := l.out.count(); n != 1 {
			t.Fatalf("got %d commands, want one RESERVE", n)
		}
		c := l.out.commands[0]
		order, err := c.Order()
		if err != nil || c.Type != wire.CommandReserve {
			t.Fatalf("got %+v %v, want a RESERVE", c, err)
		}
		raw, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.deliver(wire.TopicEvents, a.Write(1, "", &wire.CommandAccepted{Command: raw}),
			a.Write(1, "", &wire.CommandFinished{CommandID: c.ID, Command: c.Type, Result: wire.ResultDone}))
		synctest.Wait()
		answers := l.answers()
		if len(answers) != 1 || !*answers[0].Authorized || answers[0].CPID != "CP_1" || answers[0].ReservationID != order.(*wire.Reserve).ReservationID {
			t.Fatalf("answers: got %+v, want one for CP_1", answers)
		}
		if k := l.live.Network().CPs[0].Connectors[0]; k.ReservationID == "" || k.Username != "ann" {
			t.Errorf("shown: got %+v, want it reserved for ann", k)
		}
		life, ok, err := l.store.CommandOf(t.Context(), "", c.ID)
		if err != nil || !ok || life.State != orders.Done || life.SentAt == 0 || life.AcceptedAt == 0 || life.EndedAt == 0 {
			t.Errorf("the command's life: got %+v %v", life, err)
		}
		l.end()

		// Killed, and the log is read again: the same answer, no other effect.
		l = central(t, dir)
		defer l.end()
		l.online(a)
		l.deliver(wire.TopicDriverEvents, ask(t, "m1", time.Now()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		answers = l.answers()
		for _, e := range answers {
			if e.ReservationID != answers[0].ReservationID || e.EventID != answers[0].EventID {
				t.Errorf("a repeat was answered otherwise: %+v", e)
			}
		}
		if _, n, _ := l.out.count(); n != 0 {
			t.Errorf("a repeat made %d commands", n)
		}
		page, err := l.store.Reservations(t.Context(), view.Query{})
		if err != nil || len(page) != 1 {
			t.Errorf("reservations: got %d %v, want 1", len(page), err)
		}
	})
}

// Drivers count their message_ids independently: both are answered.
func TestOneMessageIDTwoDrivers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		now := float64(time.Now().UnixMilli()) / 1000
		for _, line := range []string{
			`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"ana","cp_id":null,"client_id":"a","timestamp":%.3f}`,
			`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"ben","cp_id":null,"client_id":"b","timestamp":%.3f}`,
		} {
			l.deliver(wire.TopicDriverEvents, journaltest.Message{Value: fmt.Appendf(nil, line, now)})
			time.Sleep(11 * time.Second) // what is refused at once, is refused later at the start of Central
		}
		got := l.answers()
		if len(got) != 2 || got[0].Username != "ana" || got[0].ClientID != "a" || got[1].Username != "ben" || got[1].ClientID != "b" ||
			got[0].EventID == got[1].EventID {
			t.Errorf("got %+v, want one answer for each", got)
		}
	})
}

// An invalid message that names its sender is answered within 5 s. The answer
// names the field, and the message is counted.
func TestADriverLearnsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ line, user, id, field string }{
		"milliseconds":           {`{"message_id":"b1","event_type":"AUTHORIZATION_REQUEST","username":"ms","cp_id":null,"client_id":"t","timestamp":1795984071695}`, "ms", "b1", "timestamp: 1795984071695 looks like ms"},
		"null":                   {`{"message_id":"b2","event_type":"AUTHORIZATION_REQUEST","username":"ms","cp_id":null,"client_id":"t","timestamp":null}`, "ms", "b2", "timestamp: is missing"},
		"absent":                 {`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"ana","cp_id":null,"client_id":"a"}`, "ana", "1", "timestamp: is missing"},
		"text, and first":        {`{"timestamp":"now","message_id":"1","event_type":"STOP_REQUEST","username":"ana","cp_id":"CP_1"}`, "ana", "1", "timestamp"},
		"a twin of a field":      {`{"message_id":"1","event_type":"STOP_REQUEST","username":"ana","cp_id":"CP_1","CP_ID":"CP_2","timestamp":NOW}`, "ana", "1", "CP_ID: appears twice"},
		"no cp_id":               {`{"message_id":"1","event_type":"STOP_REQUEST","username":"ana","timestamp":NOW}`, "ana", "1", "cp_id: is missing"},
		"a number as id":         {`{"message_id":1,"event_type":"STOP_REQUEST","username":"ana","cp_id":"CP_1","timestamp":NOW}`, "ana", "", "message_id: is not a text"},
		"an id that is too long": {`{"message_id":"` + strings.Repeat("1", 129) + `","event_type":"STOP_REQUEST","username":"ana","cp_id":"CP_1","timestamp":NOW}`, "ana", "", "message_id: has 129 bytes"},
		"no type":                {`{"message_id":"1","username":"ana","timestamp":NOW}`, "ana", "1", "event_type: is missing"},
		"unknown type":           {`{"message_id":"1","event_type":"DANCE_REQUEST","username":"ana","timestamp":NOW}`, "ana", "1", "event_type: \"DANCE_REQUEST\" is unknown"},
		"a name of blanks":       {`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"  ","timestamp":NOW}`, "  ", "1", "username: is empty"},
		"a zero-width copy":      {`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"ana\u200b","timestamp":NOW}`, "ana\u200b", "1", "username: has the invisible character U+200B"},
		"a bidi control":         {`{"message_id":"1","event_type":"charging_started","username":"\u202eana","cp_id":"CP_1","timestamp":NOW}`, "\u202eana", "1", "username: has the invisible character U+202E"},
		"a C1 control":           {`{"message_id":"1","event_type":"STOP_REQUEST","username":"ana\u0085","cp_id":"CP_1","timestamp":NOW}`, "ana\u0085", "1", "username: has the control character U+0085"},
		"not in normal form":     {`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"Jose\u0301","timestamp":NOW}`, "Jose\u0301", "1", "username: is written with [U+0065 U+0301]"},
		"a C0 control":           {`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","username":"ana\n","timestamp":NOW}`, "", "1", "username: "},
		"no username":            {`{"message_id":"1","event_type":"AUTHORIZATION_REQUEST","timestamp":NOW}`, "", "1", "username: is missing"},
	} {
		dir := t.TempDir()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := central(t, dir)
				defer l.end()
				line := strings.ReplaceAll(c.line, "NOW", fmt.Sprintf("%.3f", float64(time.Now().UnixMilli())/1000))
				l.deliver(wire.TopicDriverEvents, journaltest.Message{Value: []byte(line)})
				time.Sleep(5 * time.Second)
				all := l.driverEvents()
				if len(all) != 1 || string(all[0].Username) != c.user || c.id != "" && all[0].MessageID != c.id || all[0].Reason != wire.RefusedInvalid || !strings.Contains(all[0].Message, "field "+c.field) {
					t.Errorf("got %+v, want one refusal that names the field: %s", all, c.field)
				}
				if n := l.counters()["driver_requests_invalid_request"]; n != 1 {
					t.Errorf("counted %d, want 1", n)
				}
			})
		})
	}
}

func TestYesterdaysRequestReservesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.online(a)
		l.deliver(wire.TopicDriverEvents, ask(t, "old", time.Now().Add(-24*time.Hour)), ask(t, "late", time.Now().Add(-2*time.Minute)))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, n, _ := l.out.count(); n != 0 {
			t.Errorf("got %d commands, want none", n)
		}
		answers := l.answers()
		if len(answers) != 1 || answers[0].MessageID != "late" || *answers[0].Authorized {
			t.Errorf("got %+v, want a refusal of the late one alone", answers)
		}
	})
}

func TestASilentPointIsRefusedInTimeAndItsReservationEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.online(a)
		synctest.Wait()
		l.deliver(wire.TopicDriverEvents, ask(t, "m1", time.Now()))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		answers := l.answers()
		if len(answers) != 1 || *answers[0].Authorized || answers[0].Reason != wire.RefusedUnreachable {
			t.Fatalf("got %+v, want a refusal within 5 s", answers)
		}
		time.Sleep(time.Hour)
		if k := l.live.Network().CPs[0].Connectors[0]; k.ReservationID != "" || k.Status != charge.StatusAvailable {
			t.Errorf("an hour later: got %+v, want it free", k)
		}
	})
}

func TestAnOperatorIsAnsweredWithWhatWasOrdered(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.online(a)
		synctest.Wait()
		r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorAvailability{Available: false}})
		if err != nil || r.Refused != "" || len(r.Commands) != 1 || r.Points != 1 {
			t.Fatalf("got %+v %v, want one command for one point", r, err)
		}
		if c, ok, err := l.store.CommandOf(t.Context(), "", r.Commands[0]); err != nil || !ok || c.Type != wire.CommandSetAvailability {
			t.Errorf("got %+v %v, want SET_AVAILABILITY", c, err)
		}
		synctest.Wait()
		if k := l.live.Network().CPs[0].Connectors[0]; k.Available {
			t.Errorf("got %+v, want it wanted out of service", k)
		}
		if r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorCancel{ReservationID: "none"}}); err != nil || r.Refused == "" {
			t.Errorf("got %+v %v, want a refusal", r, err)
		}
	})
}

// Kafka is down for a day. A desired state is ordered a few times, not once a
// minute, and again when the charging point is online.
func TestNothingIsOrderedInVainForEver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.online(a)
		synctest.Wait()
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorAvailability{Available: false}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		all, err := l.store.Commands(t.Context(), view.Query{Limit: 1000})
		if err != nil || len(all) == 0 || len(all) > 5 {
			t.Errorf("commands in a day: got %d %v, want 1 to 5", len(all), err)
		}
		_, before, _ := l.out.count()
		l.online(a)
		time.Sleep(2 * time.Second)
		if _, after, _ := l.out.count(); after == before {
			t.Error("it was not ordered again when the point was online")
		}
	})
}
