package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// ordered returns the last command of a type to a charging point, as it is on
// cp-commands; nil if there is none.
func (o *others) ordered(cp charge.CPID, kind wire.CommandType) json.RawMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, raw := range slices.Backward(o.commands) {
		if c, err := wire.DecodeCommand(raw); err == nil && c.CPID == cp && c.Type == kind {
			return raw
		}
	}
	return nil
}

// onTheWire is how one operation of the API is observed outside of Central. Exactly
// one field is set.
type onTheWire struct {
	none   string // it has nothing to do there: why not
	in     string // the test that observes it
	orders []order
}

// order is a request, and what it causes on a topic.
type order struct {
	path, body string
	command    wire.CommandType // to the charging point of the test
	event      wire.CentralEventType
	is         string // what the message contains
}

// operations has every operation of the API.
func operations() map[string]onTheWire {
	const (
		reads   = "it reads"
		account = "accounts, log-ins and tokens are Central's own"
		ownBook = "it changes what operators see"
		cards   = "it changes what a card is answered and what is in the local lists: TestCardOfTheLocalList of sim/e2e"
	)
	all := map[string]onTheWire{
		"explain-gap": {none: ownBook}, "clear-alarm": {none: ownBook}, "set-cp-settings": {none: ownBook},
		"preview-tariff": {none: "it computes"},
		"release":        {none: "records that were dropped are applied when the agent sends them again: package ingest"},
		"add-card":       {none: cards}, "change-card": {none: cards}, "delete-card": {none: cards},
		"cut-or-restore": {none: "it is of the demo: package demo"},

		"pass-next":          {in: "TestADeadLetterIsPassed"},
		"replay-dead-letter": {in: "TestADeadLetterIsReplayedWithItsBytes"},
		"lift-fence":         {in: "TestALiftedFenceIsOnTheWire"},
		"admit":              {in: "TestAnAdmittedPointIsReserved"},
		"charge":             {in: "TestAChargeIsTwoCommands"},
		"add-group":          {in: "TestAGroupIsOnTheWire"},
		"change-group":       {in: "TestAGroupIsOnTheWire"},
		"delete-group":       {in: "TestAGroupIsOnTheWire"},

		"reserve": {orders: []order{{path: "/reservations", body: `{"cp_id":"CP","username":"ana"}`, command: wire.CommandReserve, is: `"username":"ana"`}}},
		"cancel-reservation": {orders: []order{
			{path: "/reservations", body: `{"cp_id":"CP","username":"ben"}`, command: wire.CommandReserve, is: `"username":"ben"`},
			{path: "/reservations/RESERVATION/cancel", command: wire.CommandCancel, is: "RESERVATION"},
		}},
		"start":            {orders: []order{{path: "/sessions", body: `{"cp_id":"CP","connector":1,"username":"eva"}`, command: wire.CommandStart, is: `"username":"eva"`}}},
		"stop":             {orders: []order{{path: "/sessions/s-CP/stop", command: wire.CommandStop, is: `"session_id":"s-CP"`}}},
		"set-availability": {orders: []order{{path: "/availability", body: `{"cp_id":"CP","available":false}`, command: wire.CommandSetAvailability, is: `"available":false`}}},
		"simulate": {orders: []order{
			{path: "/cps/CP/connectors/1/simulate", body: `{"action":"plug"}`, command: wire.CommandSimulate, is: `"action":"plug"`},
			{path: "/cps/CP/connectors/1/simulate", body: `{"action":"tap","uid":"04A1B2C3"}`, command: wire.CommandSimulate, is: `"token_hash":"` + string(charge.IDToken("04A1B2C3").Hash()) + `"`},
		}},
		"act-on-site": {orders: []order{
			{path: "/cps/CP/connectors/1/actions", body: `{"action":"reset"}`, command: wire.CommandReset, is: `"RESET"`},
			{path: "/cps/CP/connectors/1/actions", body: `{"action":"unlock"}`, command: wire.CommandUnlock, is: `"UNLOCK"`},
			{path: "/cps/CP/connectors/1/actions", body: `{"action":"identify"}`, command: wire.CommandIdentify, is: `"IDENTIFY"`},
		}},
		"settle": {orders: []order{{path: "/sessions/o-CP/settle", event: wire.CentralTicket, is: `"session_id":"o-CP"`}}},
		"add-tariff": {orders: []order{
			{path: "/tariffs", body: `{"version":"t-wire","currency":"EUR","per_kwh":"0.50"}`},
			{path: "/reservations", body: `{"cp_id":"CP","username":"ida"}`, command: wire.CommandReserve, is: `"tariff":"t-wire"`},
		}},
	}
	for _, id := range []string{
		"get-me", "get-network", "get-cp", "stream", "get-series", "get-cp-settings", "get-command", "list-sessions", "get-session", "list-tickets",
		"list-cards", "get-card", "get-ticket", "sum-tickets", "list-reservations", "get-reservation", "list-commands", "list-records", "list-gaps", "get-gap", "list-dead-letters",
		"list-groups", "list-tariffs", "list-alarms", "get-alarm", "list-accounts", "list-tokens", "list-logins", "list-audit", "get-support", "list-bridge-dead-letters",
	} {
		all[id] = onTheWire{none: reads}
	}
	for _, id := range []string{
		"sign-in", "sign-in-screen", "sign-out", "set-up", "end-login", "change-password", "add-account", "change-account", "disable-account", "add-token", "revoke-token",
	} {
		all[id] = onTheWire{none: account}
	}
	return all
}

// TestEachOperationIsObservedOnTheWire: what an operation orders is on a topic of
// Kafka, and not only in its answer. An operation without an entry fails.
func TestEachOperationIsObservedOnTheWire(t *testing.T) {
	raw, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(raw, &api); err != nil {
		t.Fatal(err)
	}
	table := operations()
	for _, methods := range api.Paths {
		for _, o := range methods {
			e, ok := table[o.OperationID]
			if !ok || (e.none != "") == (e.in != "" || e.orders != nil) || e.in != "" && e.orders != nil {
				t.Errorf("%s: enter how it is observed outside of Central, or why not", o.OperationID)
			}
			if e.in != "" && !testExists(t, e.in) {
				t.Errorf("%s: there is no test %s", o.OperationID, e.in)
			}
		}
	}
	for id, e := range table {
		if e.orders == nil {
			continue
		}
		dir := db(t)
		t.Run(id, func(t *testing.T) { observe(t, dir, e.orders) })
	}
}

// testExists reports whether this package has a test.
func testExists(t *testing.T, name string) bool {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f os.DirEntry) bool {
		raw, err := os.ReadFile(f.Name())
		return err == nil && strings.Contains(string(raw), "\nfunc "+name+"(t *testing.T)")
	})
}

// observe sends orders about one charging point, and looks for what they cause. It has
// an open session s-CP, and an orphaned one o-CP, unless the order is to a free one.
func observe(t *testing.T, path string, all []order) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		p := journaltest.New(t, "CP")
		if strings.HasPrefix(all[0].path, "/sessions/") {
			p.Write(1, "o-CP", &wire.Authorized{By: wire.GrantFreeVend, Username: "uma", Register: p.Register, Tariff: "t1"})
			p.Boot() // without it
			p.Write(1, "s-CP", &wire.Authorized{By: wire.GrantFreeVend, Username: "uma", Register: p.Register, Tariff: "t1"})
			p.Write(1, "s-CP", &wire.ChargingStarted{Register: p.Register, Username: "uma"})
		}
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		reservation := ""
		for _, r := range all {
			fill := strings.NewReplacer("RESERVATION", reservation)
			a := c.ask(w, http.MethodPost, "/api/v1"+fill.Replace(r.path), r.body, "")
			if a.status >= 300 {
				t.Errorf("%s: %+v", r.path, a)
			}
			if id := field(a.body, "reservation_id"); id != "" {
				reservation = id
			}
			time.Sleep(3 * time.Second)
			if want := fill.Replace(r.is); r.command != "" && !strings.Contains(string(o.ordered("CP", r.command)), want) {
				t.Errorf("%s: no %s with %s on cp-commands: %s", r.path, r.command, want, o.ordered("CP", r.command))
			}
			if r.event != "" && !o.published(r.event, r.is) {
				t.Errorf("%s: no %s with %s on central-events", r.path, r.event, r.is)
			}
		}
		c.stop()
		o.stop()
	})
}

// published reports whether an event with a text is on central-events.
func (o *others) published(kind wire.CentralEventType, is string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.events, func(e wire.CentralEvent) bool {
		raw, err := json.Marshal(&e)
		return err == nil && e.EventType == kind && strings.Contains(string(raw), is)
	})
}

// One order reserves, and starts once the charging point holds the reservation.
func TestAChargeIsTwoCommands(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		a := c.ask(w, http.MethodPost, "/api/v1/charges", `{"username":"ana"}`, "k")
		session := field(a.body, "session_id")
		time.Sleep(3 * time.Second)
		reserve := o.ordered("CP_1", wire.CommandReserve)
		if a.status != http.StatusAccepted || session == "" || reserve == nil || o.ordered("CP_1", wire.CommandStart) != nil {
			t.Fatalf("got %+v, RESERVE %s, START %s", a, reserve, o.ordered("CP_1", wire.CommandStart))
		}
		o.publish(wire.TopicEvents, p.Write(1, "", &wire.CommandAccepted{Command: reserve}))
		time.Sleep(3 * time.Second)
		if start := string(o.ordered("CP_1", wire.CommandStart)); !strings.Contains(start, session) {
			t.Errorf("START %s, want session %s", start, session)
		}
		if again := c.ask(w, http.MethodPost, "/api/v1/charges", `{"username":"ana"}`, "k"); again.body != a.body {
			t.Errorf("again: %+v, want %+v", again, a)
		}
		c.stop()
		o.stop()
	})
}

// A limit of money is on the wire as the energy that it buys at most. When the cost
// reaches it, STOP follows with its reason, also after a restart of Central.
func TestALimitIsOnTheWire(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		cfg.Tariff.PerKWh, cfg.Tariff.StartFee = "0.40", "1.00"
		w, c, o := network(t, cfg)
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		const body = `{"cp_id":"CP_1","connector":1,"username":"ana","limit_amount":`
		if a := c.ask(w, http.MethodPost, "/api/v1/sessions", body+"99}", ""); a.status != http.StatusConflict || !strings.Contains(a.body, "limit_too_small") {
			t.Errorf("less than the start fee: %+v", a)
		}
		session := charge.SessionID(field(c.ask(w, http.MethodPost, "/api/v1/sessions", body+"300}", "").body, "session_id"))
		time.Sleep(3 * time.Second)
		start := string(o.ordered("CP_1", wire.CommandStart))
		if !strings.Contains(start, `"limit_wh":5012,"limit_amount":300`) {
			t.Fatalf("START %s, want what 2.00 buys at 0.40, and the amount", start)
		}
		o.publish(wire.TopicEvents,
			p.Write(1, session, &wire.Authorized{By: wire.GrantOrder, Username: "ana", Register: 1000, Tariff: "t1", Limit: 5012, LimitAmount: 300}),
			p.Write(1, session, &wire.ChargingStarted{Register: 1000, Username: "ana"}))
		time.Sleep(3 * time.Second)
		if a := c.ask(w, http.MethodGet, "/api/v1/sessions/"+string(session), "", ""); !strings.Contains(a.body, `"limit_wh":5012,"limit_amount":300,"limit_cost":"3.00","currency":"EUR"`) {
			t.Errorf("the session: %+v", a)
		}
		if a := c.ask(w, http.MethodGet, "/api/v1/sessions?format=csv", "", ""); !strings.Contains(a.body, "clock,limit_wh,limit_cost,currency\r\n") || !strings.Contains(a.body, ",5012,3.00,EUR\r\n") {
			t.Errorf("the sessions as CSV: %s", a.body)
		}
		if stop := o.ordered("CP_1", wire.CommandStop); stop != nil {
			t.Fatalf("STOP too early: %s", stop)
		}
		c.stop()
		c = w.central(cfg)
		o.publish(wire.TopicEvents, p.Write(1, session, &wire.MeterRead{Register: 6012}))
		time.Sleep(5 * time.Second)
		if stop := string(o.ordered("CP_1", wire.CommandStop)); !strings.Contains(stop, string(session)) || !strings.Contains(stop, `"reason":"limit_reached"`) {
			t.Errorf("STOP %s, want session %s with its reason", stop, session)
		}
		c.stop()
		o.stop()
	})
}

// A driver's limit comes by Kafka with the request to start, and is in START, in the
// answer and on the ticket. One that cannot be used is answered with its field.
func TestALimitOfADriverIsOnTheWire(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		cfg.Tariff.PerKWh, cfg.Tariff.StartFee = "0.40", "1.00"
		_, c, o := network(t, cfg)
		p := journaltest.New(t, "CP_1")
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		send := func(message, kind, more string) {
			raw := fmt.Sprintf(`{"message_id":%q,"event_type":%q,"username":"ana","cp_id":"CP_1","timestamp":%d.000%s}`, message, kind, time.Now().Unix(), more)
			o.publish(wire.TopicDriverEvents, journaltest.Message{Key: "ana", Value: []byte(raw)})
		}
		ask := func(message, kind, more string) {
			send(message, kind, more)
			time.Sleep(3 * time.Second)
		}
		send("m-1", "AUTHORIZATION_REQUEST", "")
		time.Sleep(time.Second) // a charging point has 1.5 s to confirm
		reserve := o.ordered("CP_1", wire.CommandReserve)
		if reserve == nil {
			t.Fatal("there is no RESERVE")
		}
		o.publish(wire.TopicEvents, p.Write(1, "", &wire.CommandAccepted{Command: reserve}))
		time.Sleep(3 * time.Second)
		for i, c := range []struct{ limit, field string }{
			{`,"limit_cost":"cheap"`, "limit_cost"},
			{`,"limit_cost":0`, "limit_cost"},
			{`,"limit_cost":3.005`, "limit_cost"},
			{`,"limit_cost":0.99`, "limit_cost"},
			{`,"limit_kwh":-1`, "limit_kwh"},
		} {
			message := fmt.Sprintf("bad-%d", i)
			ask(message, "charging_started", c.limit)
			if want := `"message_id":"` + message + `"`; !o.published(wire.CentralNotice, want) {
				t.Errorf("%s is not answered", c.limit)
			}
			if e := o.answer(message); e.Reason != wire.RefusedInvalid || !strings.Contains(e.Message, c.field) {
				t.Errorf("%s: answered %+v, want %s with %s", c.limit, e, wire.RefusedInvalid, c.field)
			}
		}
		if start := o.ordered("CP_1", wire.CommandStart); start != nil {
			t.Fatalf("START after requests that were refused: %s", start)
		}
		ask("m-2", "charging_started", `,"limit_kwh":20,"limit_cost":3.00`)
		start := string(o.ordered("CP_1", wire.CommandStart))
		if !strings.Contains(start, `"limit_wh":5012,"limit_amount":300`) {
			t.Fatalf("START %s, want what 2.00 buys at 0.40, and the amount", start)
		}
		const limit = `"limit_kwh":5.012,"limit_cost":3.00`
		if !o.published(wire.CentralNotice, `"currency":"EUR",`+limit) {
			t.Errorf("answered %+v, want %s", o.answer("m-2"), limit)
		}
		ask("m-3", "charging_started", `,"limit_cost":4.00`)
		if e := o.answer("m-3"); e.Reason != "limit_differs" {
			t.Errorf("another limit: %+v", e)
		}
		ask("m-4", "charging_started", "")
		if e := o.answer("m-4"); e.Reason != "" || e.LimitKWh == nil {
			t.Errorf("without a limit: %+v, want the one of the session", e)
		}
		session := charge.SessionID(field(start, "session_id"))
		o.publish(wire.TopicEvents,
			p.Write(1, session, &wire.Authorized{
				By: wire.GrantReservation, Username: "ana", ReservationID: charge.ReservationID(field(start, "reservation_id")), Register: 1000, Tariff: "t1", Limit: 5012, LimitAmount: 300,
			}),
			p.Write(1, session, &wire.ChargingStarted{Register: 1000, Username: "ana"}))
		time.Sleep(3 * time.Second)
		ask("m-5", "charging_started", `,"limit_kwh":1`)
		if e := o.answer("m-5"); e.Reason != "limit_differs" || e.LimitCost == nil {
			t.Errorf("another limit while charging: %+v", e)
		}
		o.publish(wire.TopicEvents, p.Write(1, session, &wire.ChargingStopped{Reason: charge.StopLimitReached, Start: 1000, Register: 6012, Username: "ana", Tariff: "t1"}))
		time.Sleep(3 * time.Second)
		if !o.published(wire.CentralTicket, limit) {
			t.Errorf("no ticket with %s", limit)
		}
		c.stop()
		o.stop()
	})
}

// answer finds the answer to a message.
func (o *others) answer(message string) (e wire.CentralEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.events {
		if o.events[i].MessageID == message {
			e = o.events[i]
		}
	}
	return e
}

// A charging point of a group is limited while it charges: to its share, to the share
// of a changed group, and to nothing new once the group is deleted.
func TestAGroupIsOnTheWire(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		p := journaltest.New(t, "CP_1")
		p.Most, p.Safe = 32_000, 8_000
		p.Boot()
		p.Write(1, "", &wire.PluggedIn{})
		p.Write(1, "s1", &wire.Authorized{By: wire.GrantFreeVend, Username: "ann", Register: p.Register, Tariff: "t1"})
		p.Write(1, "s1", &wire.ChargingStarted{Register: p.Register, Username: "ann"})
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		started := charge.At(time.Now())
		limit := func(what, want string) {
			t.Helper()
			for range 60 {
				o.publish(wire.TopicMonitor, bridgeHeartbeat(t, wire.BridgeAlive{StartedAt: started}), p.Presence(p.Seq+1, charge.Epoch{}))
				time.Sleep(10 * time.Second)
				if strings.Contains(string(o.ordered("CP_1", wire.CommandSetLimit)), want) {
					return
				}
			}
			t.Fatalf("%s: %s on cp-commands, want %s", what, o.ordered("CP_1", wire.CommandSetLimit), want)
		}
		a := c.ask(w, http.MethodPost, "/api/v1/groups", `{"name":"hall","limit_ma":16000,"cps":["CP_1"]}`, "")
		id := field(a.body, "group_id")
		if a.status >= 300 || id == "" {
			t.Fatalf("add: %+v", a)
		}
		limit("added", `"limit_ma":16000`)
		change := func(path, version, body string, status int) {
			t.Helper()
			if a := c.askWith(w, http.MethodPost, "/api/v1/groups/"+id+path, body, http.Header{"If-Match": {version}}); a.status != status {
				t.Fatalf("%s of version %s: %+v, want %d", path, version, a, status)
			}
		}
		change("", `"1"`, `{"name":"hall","limit_ma":10000,"cps":["CP_1"]}`, http.StatusOK)
		limit("changed", `"limit_ma":10000`)
		change("", `"1"`, `{"name":"yard","limit_ma":12000,"cps":["CP_1"]}`, http.StatusPreconditionFailed)
		change("/delete", `"1"`, "", http.StatusPreconditionFailed)
		change("/delete", `"2"`, "", http.StatusOK)
		time.Sleep(time.Minute)
		last := o.ordered("CP_1", wire.CommandSetLimit)
		time.Sleep(10 * time.Minute)
		if again := o.ordered("CP_1", wire.CommandSetLimit); string(again) != string(last) {
			t.Errorf("deleted, and still %s", again)
		}
		c.stop()
		o.stop()
	})
}

// A charging point that waits for admission is not reserved, and one that is admitted is.
func TestAnAdmittedPointIsReserved(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		cfg.Network.AdmitAutomatically = false
		w, c, o := network(t, cfg)
		o.publish(wire.TopicEvents, journaltest.New(t, "CP_1").All...)
		time.Sleep(3 * time.Second)
		reserve := func(status int) {
			t.Helper()
			a := c.ask(w, http.MethodPost, "/api/v1/reservations", `{"cp_id":"CP_1","username":"ana"}`, "")
			time.Sleep(3 * time.Second)
			if sent := o.ordered("CP_1", wire.CommandReserve); a.status != status || (sent != nil) != (status == http.StatusAccepted) {
				t.Errorf("got %+v and RESERVE %s, want %d", a, sent, status)
			}
		}
		reserve(http.StatusNotFound)
		c.post(w, "/api/v1/cps/CP_1/admit", "")
		reserve(http.StatusAccepted)
		c.stop()
		o.stop()
	})
}

// A fenced Central sends no heartbeat; one whose fence is lifted does, with a higher
// epoch than the other.
func TestALiftedFenceIsOnTheWire(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		time.Sleep(5 * time.Second)
		other := wire.CentralAlive{V: wire.Version, Central: charge.Epoch{Number: 100_500, Run: "0123456789abcdef"}, At: charge.At(time.Now())}
		raw, err := other.Encode()
		if err != nil {
			t.Fatal(err)
		}
		o.publish(wire.TopicMonitor, journaltest.Message{Key: "central", Kind: wire.KindValueCentralAlive, Value: raw})
		time.Sleep(3 * time.Second)
		fenced := o.heartbeatCount()
		time.Sleep(5 * time.Second)
		if n := o.heartbeatCount(); n != fenced {
			t.Errorf("%d heartbeats of a fenced Central", n-fenced)
		}
		c.post(w, "/api/v1/central/lift-fence", "")
		time.Sleep(5 * time.Second)
		if n := o.heartbeatCount(); n == fenced {
			t.Error("no heartbeat after the fence was lifted")
		}
		c.stop()
		o.stop()
	})
}
