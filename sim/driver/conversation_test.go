package driver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

// epoch is when the fake clocks start.
func epoch() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

// conversationTest drives a Conversation in fake time and records its effects.
type conversationTest struct {
	tb  testing.TB
	c   *driver.Conversation
	now time.Time
	// the effects so far
	sends []wire.DriverRequest
	steps []driver.Step
}

func begin(tb testing.TB, change func(*driver.Config)) *conversationTest {
	tb.Helper()
	cfg := driver.DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		tb.Fatal(err)
	}
	var n int
	t := &conversationTest{tb: tb, now: epoch()}
	t.c = driver.NewConversation(cfg, t.now, func() string { n++; return fmt.Sprint("m-", n) })
	return t
}

func (t *conversationTest) step(e driver.Event) {
	for _, f := range t.c.Step(e) {
		switch f := f.(type) {
		case driver.Send:
			t.sends = append(t.sends, f.Request)
		case driver.Report:
			t.steps = append(t.steps, f.Step)
		}
	}
}

// wait advances the time, delivers each Tick when it is due, and confirms each
// Send at once.
func (t *conversationTest) wait(d time.Duration) {
	end := t.now.Add(d)
	for {
		t.confirm()
		next := t.c.Next()
		if _, over := t.c.Outcome(); over || next.After(end) {
			break
		}
		t.now = next
		t.step(driver.Tick{At: t.now})
	}
	t.now = end
	t.step(driver.Tick{At: t.now})
	t.confirm()
}

// confirm reports the last Send as successful.
func (t *conversationTest) confirm() {
	if n := len(t.sends); n > 0 {
		t.step(driver.Sent{At: t.now, MessageID: t.sends[n-1].MessageID})
	}
}

func (t *conversationTest) up() {
	t.step(driver.LinkChanged{At: t.now, Up: true, Since: t.now})
	t.confirm()
}

func (t *conversationTest) down(reason string) {
	t.step(driver.LinkChanged{At: t.now, Since: t.now, Reason: reason})
}

func (t *conversationTest) receive(e wire.CentralEvent) {
	e.Timestamp = wire.Seconds(charge.At(t.now))
	t.receiveAsTimed(e)
}

func (t *conversationTest) receiveAsTimed(e wire.CentralEvent) {
	if e.EventID == "" {
		e.EventID = fmt.Sprintf("%s-%d", e.EventType, t.now.UnixNano())
	}
	t.step(driver.Received{At: t.now, Event: e})
	t.confirm()
}

func (t *conversationTest) authorize() {
	yes, until := true, wire.Seconds(charge.At(t.now.Add(15*time.Minute)))
	t.receive(wire.CentralEvent{
		EventType: wire.CentralAuthorization, MessageID: t.sends[0].MessageID, Username: "driver1", CPID: "CP_001", Connector: 1,
		Authorized: &yes, ReservationID: "r-1", ExpiresAt: &until,
	})
}

func (t *conversationTest) refuse(id, reason string) {
	no := false
	t.receive(wire.CentralEvent{EventType: wire.CentralAuthorization, MessageID: id, Username: "driver1", Authorized: &no, Reason: reason})
}

func (t *conversationTest) about(k wire.CentralEventType, session charge.SessionID) wire.CentralEvent {
	return wire.CentralEvent{EventType: k, Username: "driver1", CPID: "CP_001", Connector: 1, SessionID: session}
}

func (t *conversationTest) ticket(session charge.SessionID) {
	e := t.about(wire.CentralTicket, session)
	energy, cost, secs := wire.KWh(1830), wire.Money{Minor: 342, Decimals: 2}, int64(131)
	e.EnergyKWh, e.Cost, e.Currency, e.DurationSec, e.Reason = &energy, &cost, "EUR", &secs, "unplugged"
	t.receive(e)
}

func (t *conversationTest) wantKinds(want ...driver.StepKind) {
	t.tb.Helper()
	var got []string
	for _, s := range t.steps {
		got = append(got, string(s.Kind))
	}
	var words []string
	for _, k := range want {
		words = append(words, string(k))
	}
	if strings.Join(got, " ") != strings.Join(words, " ") {
		t.tb.Errorf("steps\n got %v\nwant %v", got, words)
	}
}

func (t *conversationTest) wantResult(want driver.Result) driver.Outcome {
	t.tb.Helper()
	o, over := t.c.Outcome()
	if !over || o.Result != want {
		t.tb.Errorf("over %v with %v, want %v", over, o.Result, want)
	}
	return o
}

func TestFromRequestToTicket(t *testing.T) {
	d := begin(t, nil)
	if len(d.c.Step(driver.Tick{At: d.now})) != 0 {
		t.Error("sent a message before Kafka answered")
	}
	d.up()
	if len(d.sends) != 1 || d.sends[0].EventType != wire.DriverAuthorization || d.sends[0].CPID != nil {
		t.Fatalf("sent %+v, want one request for any charging point", d.sends)
	}
	d.authorize()
	if len(d.sends) != 2 || d.sends[1].EventType != wire.DriverStarted || *d.sends[1].CPID != "CP_001" {
		t.Fatalf("sent %+v, want the start at CP_001", d.sends)
	}
	d.wait(3 * time.Second)
	d.receive(d.about(wire.CentralChargingStarted, "s-1"))
	power := charge.Watts(74_250)
	e := d.about(wire.CentralProgress, "s-1")
	energy, cost := wire.KWh(420), wire.Money{Minor: 69, Decimals: 2}
	e.EnergyKWh, e.PowerW, e.Cost, e.Currency = &energy, &power, &cost, "EUR"
	d.receive(e)
	sent := len(d.sends)
	d.wait(time.Minute)
	d.ticket("s-1")
	if len(d.sends) != sent {
		t.Errorf("%d messages after charging had begun", len(d.sends)-sent)
	}
	d.wantKinds(driver.StepAsking, driver.StepAuthorized, driver.StepStarted, driver.StepProgress, driver.StepTicket)
	o := d.wantResult(driver.Ticket)
	if o.Energy != 1830 || o.Cost != (wire.Money{Minor: 342, Decimals: 2}) || o.SessionID != "s-1" || o.CPID != "CP_001" {
		t.Errorf("outcome %+v", o)
	}
	for i, want := range []string{
		"asking for any free charging point", "authorised at CP_001, kept until 10:15:00", "charging at CP_001",
		"charging: 0.420 kWh, 74.2 kW, 0.69 EUR", "ticket: 1.830 kWh, 3.42 EUR, 2m11s (unplugged)",
	} {
		if d.steps[i].Text != want {
			t.Errorf("step %d is %q, want %q", i, d.steps[i].Text, want)
		}
	}
}

// TestTheLimitOfTheSession: it goes with the start and with nothing else; what Central
// answers and bills names it.
func TestTheLimitOfTheSession(t *testing.T) {
	d := begin(t, func(c *driver.Config) { c.LimitKWh, c.LimitCost = "12.5", "5.00" })
	d.up()
	d.authorize()
	limit, amount := wire.KWh(12_500), wire.Money{Minor: 500, Decimals: 2}
	if q := d.sends[0]; q.LimitKWh != nil || q.LimitCost != nil {
		t.Errorf("the request has a limit: %+v", q)
	}
	start := d.sends[1]
	if start.LimitKWh == nil || *start.LimitKWh != limit || start.LimitCost == nil || *start.LimitCost != amount {
		t.Fatalf("the start is %+v", start)
	}
	notice := d.about(wire.CentralNotice, "s-1")
	notice.MessageID, notice.Message, notice.LimitKWh, notice.LimitCost, notice.Currency = start.MessageID, "starting", &limit, &amount, "EUR"
	d.receive(notice)
	ticket := d.about(wire.CentralTicket, "s-1")
	ticket.LimitKWh, ticket.Reason = &limit, "limit_reached"
	d.receive(ticket)
	d.wantResult(driver.Ticket)
	for i, want := range []string{"starting, limit 5.00 EUR", "ticket:  (limit_reached), limit 12.500 kWh"} {
		if got := d.steps[i+2].Text; got != want {
			t.Errorf("step %d is %q, want %q", i+2, got, want)
		}
	}
}

// TestARefusedLimitEndsTheService: the same start would be refused again.
func TestARefusedLimitEndsTheService(t *testing.T) {
	d := begin(t, func(c *driver.Config) { c.LimitCost = "0.01" })
	d.up()
	d.authorize()
	notice := d.about(wire.CentralNotice, "")
	notice.MessageID, notice.Reason, notice.Message = d.sends[1].MessageID, wire.RefusedInvalid, "field limit_cost: 0.01 EUR does not buy any energy"
	d.receive(notice)
	if o := d.wantResult(driver.Refused); o.Last.Reason != wire.RefusedInvalid || !strings.Contains(o.Last.Text, "limit_cost") {
		t.Errorf("last step %+v", o.Last)
	}
	for _, bad := range []string{"0", "-1", "much", "1,5"} {
		for _, change := range []func(*driver.Config){
			func(c *driver.Config) { c.LimitKWh = bad }, func(c *driver.Config) { c.LimitCost = bad },
		} {
			cfg := driver.DefaultConfig()
			change(&cfg)
			if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "limit_") {
				t.Errorf("%+v: got %v, want an error that names the limit", cfg, err)
			}
		}
	}
}

func TestWaitsForKafkaUntilTheDeadline(t *testing.T) {
	d := begin(t, nil)
	d.down("connection refused")
	d.wait(119 * time.Second)
	if _, over := d.c.Outcome(); over || len(d.sends) != 0 {
		t.Fatalf("over %v, sent %d", over, len(d.sends))
	}
	d.wantKinds(driver.StepKafkaAway)
	if want := "waiting for Kafka since 10:00:00: connection refused"; d.steps[0].Text != want {
		t.Errorf("got %q, want %q", d.steps[0].Text, want)
	}
	d.wait(time.Second)
	d.wantResult(driver.Unreached)
}

func TestSendsAtOnceWhenKafkaComesLate(t *testing.T) {
	d := begin(t, nil)
	d.down("connection refused")
	d.wait(100 * time.Second)
	d.up()
	if len(d.sends) != 1 {
		t.Fatalf("sent %d messages, want 1", len(d.sends))
	}
	if age := d.now.Sub(d.sends[0].Timestamp.Time().Std()); age != 0 {
		t.Errorf("the request is %v old when it is sent; it would be stale", age)
	}
	d.wantKinds(driver.StepKafkaAway, driver.StepKafkaBack, driver.StepAsking)
}

func TestAnUnansweredRequestIsRepeatedUnderItsID(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.wait(2 * time.Minute)
	if len(d.sends) < 15 {
		t.Errorf("asked %d times in two minutes", len(d.sends))
	}
	for i, s := range d.sends {
		if s.MessageID != "m-1" {
			t.Errorf("repeat %d has the id %s", i, s.MessageID)
		}
		if want := epoch().Add(time.Duration(i) * 6 * time.Second); !s.Timestamp.Time().Std().Equal(want) {
			t.Errorf("repeat %d is of %v, want %v", i, s.Timestamp.Time(), want)
		}
	}
	d.wantResult(driver.TimedOut)
}

func TestAFailedSendIsRetriedBeforeTheRepeat(t *testing.T) {
	d := begin(t, nil)
	d.step(driver.LinkChanged{At: d.now, Up: true})
	for range 4 {
		d.step(driver.Sent{At: d.now, MessageID: "m-1", Failed: "broken pipe"})
		d.now = d.c.Next()
		d.step(driver.Tick{At: d.now})
	}
	if got := d.now.Sub(epoch()); got > 4*time.Second {
		t.Errorf("four tries took %v", got)
	}
	d.confirm()
	if n := len(d.sends); n != 5 {
		t.Errorf("sent %d times, want 5", n)
	}
	d.wantKinds(driver.StepAsking, driver.StepKafkaAway, driver.StepKafkaBack)
}

func TestARequestReadTooLateIsSentUnderANewID(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.wait(30 * time.Second)
	d.refuse("m-1", wire.RefusedStale)
	last := d.sends[len(d.sends)-1]
	if last.MessageID == "m-1" || last.EventType != wire.DriverAuthorization {
		t.Fatalf("sent %+v, want the request under a new id", last)
	}
	d.refuse(last.MessageID, wire.RefusedNoneFree)
	if o := d.wantResult(driver.Refused); o.Last.Reason != wire.RefusedNoneFree {
		t.Errorf("reason %q", o.Last.Reason)
	}
}

func TestAnswersToOtherRequestsAreIgnored(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.refuse("m-99", wire.RefusedNoneFree)
	if _, over := d.c.Outcome(); over {
		t.Error("accepted the answer to another request")
	}
}

func TestMessagesOfOthersAreIgnored(t *testing.T) {
	late := func(e wire.CentralEvent, d *conversationTest) wire.CentralEvent {
		e.Timestamp = wire.Seconds(charge.At(d.now.Add(-time.Minute)))
		return e
	}
	for name, make := range map[string]func(*conversationTest) wire.CentralEvent{
		"another driver": func(d *conversationTest) wire.CentralEvent {
			e := d.about(wire.CentralTicket, "s-9")
			e.Username = "eve"
			return e
		},
		"another charging point": func(d *conversationTest) wire.CentralEvent {
			e := d.about(wire.CentralTicket, "s-9")
			e.CPID = "CP_2"
			return e
		},
		"another connector": func(d *conversationTest) wire.CentralEvent {
			e := d.about(wire.CentralTicket, "s-9")
			e.Connector = 2
			return e
		},
		"an earlier ticket": func(d *conversationTest) wire.CentralEvent { return late(d.about(wire.CentralTicket, "s-0"), d) },
		"an earlier start": func(d *conversationTest) wire.CentralEvent {
			return late(d.about(wire.CentralChargingStarted, "s-0"), d)
		},
		"another's reservation": func(d *conversationTest) wire.CentralEvent {
			e := d.about(wire.CentralReservationEnded, "")
			e.ReservationID = "r-9"
			return e
		},
		"a status": func(d *conversationTest) wire.CentralEvent { return d.about(wire.CentralStatus, "") },
		"a notice without a driver": func(d *conversationTest) wire.CentralEvent {
			e := d.about(wire.CentralNotice, "")
			e.Username = ""
			return e
		},
		"a type that is not known": func(d *conversationTest) wire.CentralEvent { return d.about("parking_ended", "") },
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, nil)
			d.up()
			d.authorize()
			before := len(d.steps)
			e := make(d)
			if e.Timestamp == 0 {
				d.receive(e)
			} else {
				d.receiveAsTimed(e)
			}
			if _, over := d.c.Outcome(); over || len(d.steps) != before {
				t.Errorf("over %v, reported %v", over, d.steps[before:])
			}
		})
	}
}

func TestARepeatedMessageIsReportedOnce(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	e := d.about(wire.CentralFault, "")
	e.EventID, e.Fault = "f-1", charge.FaultGroundFault
	d.receive(e)
	d.receive(e)
	d.wantKinds(driver.StepAsking, driver.StepAuthorized, driver.StepFault)
}

func TestTheStartIsRepeatedUntilChargingBegins(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	d.wait(70 * time.Second)
	ids := map[string]int{}
	for _, s := range d.sends[1:] {
		if s.EventType != wire.DriverStarted {
			t.Fatalf("sent %+v", s)
		}
		ids[s.MessageID]++
	}
	if ids["m-2"] != 10 || ids["m-3"] != 2 || len(ids) != 2 {
		t.Errorf("ids %v: want a new one once the first may have been read too late", ids)
	}
}

func TestAReservationThatEndsEndsTheService(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	e := d.about(wire.CentralReservationEnded, "")
	e.ReservationID, e.Reason = "r-1", "expired"
	d.receive(e)
	d.wantResult(driver.ReservationEnded)
}

func TestAReservationWithoutMessagesTimesOut(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	d.wait(15*time.Minute + 29*time.Second)
	if _, over := d.c.Outcome(); over {
		t.Fatal("gave up before the reservation and its grace were over")
	}
	d.wait(time.Second)
	d.wantResult(driver.TimedOut)
}

func TestASilentSessionTimesOut(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	d.receive(d.about(wire.CentralChargingStarted, "s-1"))
	for range 30 {
		d.wait(9 * time.Minute)
		d.receive(d.about(wire.CentralProgress, "s-1"))
	}
	d.wait(10 * time.Minute)
	d.wantResult(driver.TimedOut)
}

func TestATicketWithoutAStartEndsTheService(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	d.ticket("s-1") // the vehicle never asked for power
	d.wantResult(driver.Ticket)
}

func TestTicketsOfOtherSessionsAreIgnored(t *testing.T) {
	d := begin(t, nil)
	d.up()
	d.authorize()
	d.receive(d.about(wire.CentralChargingStarted, "s-1"))
	d.ticket("s-0")
	if _, over := d.c.Outcome(); over {
		t.Error("accepted the ticket of s-0 for that of s-1")
	}
}

func TestStopAfterAsksOnceForTheStop(t *testing.T) {
	d := begin(t, func(c *driver.Config) { c.StopAfter = 20 * time.Second })
	d.up()
	d.authorize()
	d.receive(d.about(wire.CentralChargingStarted, "s-1"))
	d.wait(19 * time.Second)
	before := len(d.sends)
	d.wait(time.Second)
	if len(d.sends) != before+1 || d.sends[before].EventType != wire.DriverStop || *d.sends[before].CPID != "CP_001" {
		t.Fatalf("sent %+v, want one stop", d.sends[before:])
	}
	d.ticket("s-1")
	d.wantResult(driver.Ticket)
}

func TestAGivenChargingPointIsNamed(t *testing.T) {
	cp := charge.CPID("CP_007")
	d := begin(t, func(c *driver.Config) { c.CPID = &cp })
	d.up()
	if d.sends[0].CPID == nil || *d.sends[0].CPID != cp || d.steps[0].Text != "asking for CP_007" {
		t.Errorf("sent %+v, reported %q", d.sends[0], d.steps[0].Text)
	}
}

// TestAlwaysEnds: for any sequence of events, the service ends within its
// longest timeouts after the last event, sends nothing afterwards, has at most
// one message in flight, and every message can be encoded.
func TestAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := begin(t, func(c *driver.Config) { c.StopAfter = time.Minute })
		kinds := []wire.CentralEventType{
			wire.CentralChargingStarted, wire.CentralProgress, wire.CentralTicket, wire.CentralReservationEnded, wire.CentralFault,
			wire.CentralStopResponse, wire.CentralNotice, "unknown",
		}
		for range rapid.IntRange(0, 30).Draw(r, "events") {
			d.now = d.now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(r, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 6).Draw(r, "what") {
			case 0:
				d.step(driver.LinkChanged{At: d.now, Up: true, Since: d.now})
			case 1:
				d.down("away")
			case 2:
				d.step(driver.Tick{At: d.now})
			case 3:
				if n := len(d.sends); n > 0 {
					d.step(driver.Sent{At: d.now, MessageID: d.sends[n-1].MessageID, Failed: rapid.SampledFrom([]string{"", "no"}).Draw(r, "failed")})
				}
			case 4:
				if len(d.sends) > 0 {
					d.authorize()
				}
			case 5:
				e := d.about(rapid.SampledFrom(kinds).Draw(r, "kind"), charge.SessionID(rapid.SampledFrom([]string{"", "s-1", "s-2"}).Draw(r, "session")))
				e.ReservationID = charge.ReservationID(rapid.SampledFrom([]string{"", "r-1"}).Draw(r, "reservation"))
				d.receive(e)
			case 6:
				if n := len(d.sends); n > 0 {
					d.refuse(d.sends[n-1].MessageID, rapid.SampledFrom([]string{wire.RefusedStale, wire.RefusedBusy}).Draw(r, "reason"))
				}
			}
		}
		d.wait(20 * time.Minute)
		o, over := d.c.Outcome()
		if !over || o.Result == 0 {
			r.Fatalf("still waiting, next %v", d.c.Next())
		}
		sent := len(d.sends)
		d.up()
		d.wait(time.Hour)
		if len(d.sends) != sent {
			r.Fatal("sent something after the end")
		}
		for i := range d.sends {
			if _, err := d.sends[i].Encode(); err != nil {
				r.Fatal(err)
			}
		}
	})
}

func TestReadList(t *testing.T) {
	list, err := driver.ReadList(strings.NewReader("# Monday\nCP_001\n\n any # whatever\nCP_002\r\n"))
	if err != nil || len(list) != 3 || *list[0] != "CP_001" || list[1] != nil || *list[2] != "CP_002" {
		t.Errorf("got %v, %v", list, err)
	}
	_, err = driver.ReadList(strings.NewReader("CP_001\nCP 2\nok\nCP/3\n"))
	for _, want := range []string{"line 2", "line 4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s named", err, want)
		}
	}
	if _, err := driver.ReadList(strings.NewReader("# nothing\n")); err == nil {
		t.Error("an empty list is accepted")
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	bad := charge.CPID("a b")
	cfg := driver.Config{CPID: &bad, Grace: -1, ClientID: strings.Repeat("x", 200)}
	err := cfg.Validate()
	for _, want := range []string{"username", "cp_id", "client_id", "deadline", "repeat", "session_timeout", "grace"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
}

// TestAnotherDriversAnswer: a message_id is unique per driver, so an answer to
// another driver under the same id is ignored.
func TestAnotherDriversAnswer(t *testing.T) {
	c := begin(t, nil)
	c.up()
	yes := true
	c.receive(wire.CentralEvent{
		EventType: wire.CentralAuthorization, MessageID: c.sends[0].MessageID, Username: "driver2", CPID: "CP_002", Connector: 1,
		Authorized: &yes, ReservationID: "r-2",
	})
	c.authorize()
	c.wantKinds(driver.StepAsking, driver.StepAuthorized)
	if at := c.steps[1].CPID; at != "CP_001" {
		t.Errorf("authorised at %s, want CP_001", at)
	}
}
