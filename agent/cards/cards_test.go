package cards_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	noon = charge.Time(1_900_000_000_000)
	anna = charge.Username("anna")
)

func card(n int) charge.TokenHash { return charge.IDToken(fmt.Sprintf("%08X", n)).Hash() }

func at(d time.Duration) cards.Now {
	return cards.Now{At: d, Wall: noon.Add(d), Clock: charge.ClockSynced}
}

func free(n charge.ConnectorID, plugged time.Duration) cards.Connector {
	return cards.Connector{ID: n, Free: true, Plugged: plugged > 0, PluggedAt: plugged}
}

func policy() cards.Policy { return cards.Policy{Wait: cards.DefaultWait, CacheFor: time.Hour} }

func tap(d time.Duration, c charge.TokenHash, online bool, all ...cards.Connector) cards.Presented {
	return cards.Presented{Now: at(d), Card: c, Request: fmt.Sprintf("r-%d", d), Session: charge.SessionID(fmt.Sprintf("s-%d", d)), Online: online, Connectors: all}
}

func listed(t *testing.T, s cards.State, entries ...wire.LocalListEntry) cards.State {
	t.Helper()
	s, out := cards.Step(s, cards.ListReceived{Now: at(0), ID: "c-1", Raw: "{}", Order: wire.SetLocalList{
		Version: 1, Entries: entries, Digest: wire.ListDigest(entries),
	}})
	if got := finished(out); got != wire.ResultDone {
		t.Fatalf("list: %v", out)
	}
	return s
}

// finished returns the result of the command among the effects; "" without one.
func finished(out []cards.Effect) (r wire.CommandResult) {
	for _, p := range records(out) {
		if f, ok := p.(*wire.CommandFinished); ok {
			r = f.Result
		}
	}
	return r
}

func records(out []cards.Effect) (all []wire.Payload) {
	for _, e := range out {
		if a, ok := e.(cards.Append); ok {
			all = append(all, a.Records...)
		}
	}
	return all
}

// effect returns the one effect of a type; the zero value without one.
func effect[T cards.Effect](out []cards.Effect) (got T) {
	for _, e := range out {
		if e, ok := e.(T); ok {
			got = e
		}
	}
	return got
}

func TestLocalList(t *testing.T) {
	s := listed(t, cards.New(policy(), cards.Saved{}), wire.LocalListEntry{TokenHash: card(1), Username: anna, Limit: 5000, LimitAmount: 300},
		wire.LocalListEntry{TokenHash: card(2), Username: anna, Until: noon.Add(time.Minute)})
	for name, online := range map[string]bool{"online": true, "offline": false} {
		t.Run(name, func(t *testing.T) {
			_, out := cards.Step(s, tap(time.Second, card(1), online, free(1, 0)))
			want := cards.Begin{
				Connector: 1, Session: "s-1000000000", Username: anna, Card: card(1), By: wire.GrantLocalList,
				Limit: charge.SessionLimit{Energy: 5000, Amount: 300},
			}
			if got := effect[cards.Begin](out); got != want {
				t.Errorf("got %+v in %v, want %+v", got, out, want)
			}
		})
	}
	t.Run("past its end", func(t *testing.T) {
		_, out := cards.Step(s, tap(2*time.Minute, card(2), false, free(1, 0)))
		if got := effect[cards.Refused](out).Reason; got != cards.ReasonUnknown {
			t.Errorf("got %q in %v", got, out)
		}
	})
	t.Run("an end without a clock", func(t *testing.T) {
		e := tap(time.Second, card(2), false, free(1, 0))
		e.Clock = charge.ClockUnset
		_, out := cards.Step(s, e)
		if got := effect[cards.Refused](out).Reason; got != cards.ReasonUnknown {
			t.Errorf("got %q in %v", got, out)
		}
	})
}

func TestSameTap(t *testing.T) {
	s := listed(t, cards.New(policy(), cards.Saved{}), wire.LocalListEntry{TokenHash: card(1), Username: anna})
	s, _ = cards.Step(s, tap(time.Second, card(1), true, free(1, 1)))
	runs := cards.Connector{ID: 1, Plugged: true, Session: "s-1", Username: anna, Card: card(1)}
	s, out := cards.Step(s, tap(2*time.Second, card(1), true, runs))
	if len(out) != 0 {
		t.Errorf("within SameTap: %v", out)
	}
	_, out = cards.Step(s, tap(time.Second+cards.SameTap, card(1), true, runs))
	if got := effect[cards.End](out); got != (cards.End{Connector: 1, Session: "s-1"}) {
		t.Errorf("after SameTap: %v", out)
	}
}

func TestCentralIsAsked(t *testing.T) {
	ask := func(t *testing.T) cards.State {
		t.Helper()
		s, out := cards.Step(cards.New(policy(), cards.Saved{}), tap(time.Second, card(1), true, free(1, 1)))
		got := records(out)
		if len(got) != 1 || got[0].(*wire.AuthRequested).Hash() != card(1) || effect[cards.SetTimer](out).At != 3*time.Second {
			t.Fatalf("asked: %v", out)
		}
		return s
	}
	answer := func(s cards.State, d time.Duration, o wire.Authorize) (cards.State, []cards.Effect) {
		o.RequestID = "r-1000000000"
		return cards.Step(s, cards.Answered{Now: at(d), ID: "c-9", Raw: "{}", Order: o, Connectors: []cards.Connector{free(1, 1)}})
	}
	allowed := wire.Authorize{Allowed: true, SessionID: "s-9", Username: anna, Limit: 5000, LimitAmount: 300}

	t.Run("allowed", func(t *testing.T) {
		s, out := answer(ask(t), 2*time.Second, allowed)
		if got := effect[cards.Forward](out); got != (cards.Forward{Connector: 1, Card: card(1)}) {
			t.Fatalf("got %v", out)
		}
		_, out = answer(s, 2*time.Second, allowed)
		if got := finished(out); got != wire.ResultRejected {
			t.Errorf("a second answer: %v", out)
		}
		// The answer serves when Central cannot be asked, for as long as the cache keeps it.
		_, out = cards.Step(s, tap(time.Minute, card(1), false, free(1, 1)))
		if got := effect[cards.Begin](out); got.Username != anna || got.By != wire.GrantLocalList || got.Limit != (charge.SessionLimit{Energy: 5000, Amount: 300}) {
			t.Errorf("from the cache: %v", out)
		}
		_, out = cards.Step(s, tap(2*time.Hour, card(1), false, free(1, 1)))
		if got := effect[cards.Refused](out).Reason; got != cards.ReasonUnknown {
			t.Errorf("after its time to live: %v", out)
		}
	})
	t.Run("refused", func(t *testing.T) {
		s, _ := answer(ask(t), 2*time.Second, allowed)
		s, _ = cards.Step(s, tap(time.Minute, card(1), true, free(1, 1)))
		s, out := cards.Step(s, cards.Answered{Now: at(time.Minute), ID: "c-10", Raw: "{}", Order: wire.Authorize{RequestID: "r-60000000000", Reason: "blocked"}})
		if got := effect[cards.Refused](out).Reason; got != "blocked" || finished(out) != wire.ResultDone {
			t.Fatalf("got %v", out)
		}
		_, out = cards.Step(s, tap(2*time.Minute, card(1), false, free(1, 1)))
		if got := effect[cards.Refused](out).Reason; got != cards.ReasonUnknown {
			t.Errorf("a refusal must leave the cache: %v", out)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		s, out := cards.Step(ask(t), cards.TimerFired{Now: at(3 * time.Second), Connectors: []cards.Connector{free(1, 1)}})
		if got := effect[cards.Refused](out).Reason; got != cards.ReasonUnknown || len(s.Waiting) != 0 {
			t.Fatalf("got %v", out)
		}
		_, out = answer(s, 4*time.Second, allowed)
		if got := finished(out); got != wire.ResultRejected {
			t.Errorf("a late answer: %v", out)
		}
	})
	t.Run("no answer, accepted", func(t *testing.T) {
		s := ask(t)
		s.Policy.AcceptUnanswered = true
		_, out := cards.Step(s, cards.TimerFired{Now: at(3 * time.Second), Connectors: []cards.Connector{free(1, 1)}})
		if got := effect[cards.Begin](out); got.By != wire.GrantFreeVend || got.Username != "" || got.Card != card(1) {
			t.Errorf("got %v", out)
		}
		if r := records(out); len(r) != 1 || r[0].(*wire.AuthRequested).Decided != wire.DecidedAccepted {
			t.Errorf("got %v", r)
		}
	})
	t.Run("no connection", func(t *testing.T) {
		for _, accept := range []bool{false, true} {
			s := cards.New(policy(), cards.Saved{})
			s.Policy.AcceptOffline = accept
			_, out := cards.Step(s, tap(time.Second, card(1), false, free(1, 1)))
			if got := effect[cards.Begin](out).By == wire.GrantFreeVend; got != accept {
				t.Errorf("accept %v: %v", accept, out)
			}
		}
	})
}

func TestChoice(t *testing.T) {
	reserved := func(c cards.Connector, by charge.Username) cards.Connector {
		c.Reserved, c.Holder = true, by
		return c
	}
	for name, c := range map[string]struct {
		all     []cards.Connector
		want    charge.ConnectorID
		refused string
	}{
		"the only one":                     {[]cards.Connector{free(1, 0)}, 1, ""},
		"none is free":                     {[]cards.Connector{{ID: 1}}, 0, cards.ReasonNoConnector},
		"several, none plugged in":         {[]cards.Connector{free(1, 0), free(2, 0)}, 0, cards.ReasonPlugFirst},
		"the one that is plugged in":       {[]cards.Connector{free(1, 0), free(2, 5)}, 2, ""},
		"the one plugged in last":          {[]cards.Connector{free(1, 9), free(2, 5)}, 1, ""},
		"the one plugged in last, behind":  {[]cards.Connector{free(1, 5), free(2, 9)}, 2, ""},
		"reserved for the driver":          {[]cards.Connector{free(1, 0), reserved(free(2, 0), anna)}, 2, ""},
		"plugged in elsewhere":             {[]cards.Connector{free(1, 4), reserved(free(2, 0), anna)}, 1, ""},
		"reserved and plugged in":          {[]cards.Connector{free(1, 9), reserved(free(2, 4), anna)}, 2, ""},
		"reserved for another":             {[]cards.Connector{reserved(free(1, 4), "ben")}, 0, cards.ReasonNoConnector},
		"reserved for another, one is not": {[]cards.Connector{reserved(free(1, 4), "ben"), free(2, 0)}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := listed(t, cards.New(policy(), cards.Saved{}), wire.LocalListEntry{TokenHash: card(1), Username: anna})
			_, out := cards.Step(s, tap(time.Second, card(1), true, c.all...))
			if got := effect[cards.Begin](out).Connector; got != c.want {
				t.Errorf("connector %d, want %d: %v", got, c.want, out)
			}
			if got := effect[cards.Refused](out).Reason; got != c.refused {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
		})
	}
}

// A card ends the session that its driver began by other means, and not that of
// another card of the same driver.
func TestDriverWithoutCard(t *testing.T) {
	s := listed(t, cards.New(policy(), cards.Saved{}), wire.LocalListEntry{TokenHash: card(1), Username: anna})
	running := cards.Connector{ID: 1, Plugged: true, Session: "app", Username: anna}
	_, out := cards.Step(s, tap(time.Second, card(1), true, running, free(2, 1)))
	if got := effect[cards.End](out); got != (cards.End{Connector: 1, Session: "app"}) {
		t.Errorf("got %v", out)
	}
	running.Card = card(2)
	_, out = cards.Step(s, tap(time.Second, card(1), true, running, free(2, 1)))
	if got := effect[cards.Begin](out).Connector; got != 2 {
		t.Errorf("got %v", out)
	}
	waits := cards.Connector{ID: 1, Session: "s", Username: anna, Card: card(1), Waits: true}
	_, out = cards.Step(s, tap(time.Second, card(1), true, waits))
	if got := effect[cards.Refused](out).Reason; got != cards.ReasonUnderWay {
		t.Errorf("got %v", out)
	}
}

func TestDeltas(t *testing.T) {
	entry := func(n int) wire.LocalListEntry { return wire.LocalListEntry{TokenHash: card(n), Username: anna} }
	s := listed(t, cards.New(policy(), cards.Saved{}), entry(1), entry(2))
	set := func(s cards.State, o wire.SetLocalList) (cards.State, wire.CommandResult) {
		s, out := cards.Step(s, cards.ListReceived{Now: at(0), ID: "c", Raw: "{}", Order: o})
		return s, finished(out)
	}
	after := []wire.LocalListEntry{entry(3), entry(2)}
	delta := wire.SetLocalList{Version: 5, Base: 1, Entries: []wire.LocalListEntry{entry(3)}, Removed: []charge.TokenHash{card(1)}, Digest: wire.ListDigest(after)}
	next, got := set(s, delta)
	if got != wire.ResultDone || next.List.State() != (wire.ListState{Version: 5, Digest: wire.ListDigest(after)}) {
		t.Fatalf("%s %+v", got, next.List)
	}
	for name, o := range map[string]wire.SetLocalList{
		"the same delta again": delta,
		"another digest":       {Version: 6, Base: 5, Digest: wire.ListDigest(nil)},
		"backwards":            {Version: 4, Base: 5},
	} {
		if after, got := set(next, o); got != wire.ResultRejected || after.List.State() != next.List.State() {
			t.Errorf("%s: %s", name, got)
		}
	}
	long := wire.SetLocalList{Version: 6, Base: 5}
	for n := range wire.MaxLocalList {
		long.Entries = append(long.Entries, entry(1000+n))
	}
	if _, got := set(next, long); got != wire.ResultRejected {
		t.Errorf("too long: %s", got)
	}
	if full, got := set(next, wire.SetLocalList{Version: 2, Entries: after}); got != wire.ResultDone || full.List.Version != 2 {
		t.Errorf("a full list replaces any: %s", got)
	}
	if !slices.IsSortedFunc(next.List.Entries, func(a, b wire.LocalListEntry) int {
		if a.TokenHash < b.TokenHash {
			return -1
		}
		return 1
	}) {
		t.Error("not sorted")
	}
}

// What a boot restores is what the records of the steps fold to.
func TestReplay(t *testing.T) {
	command := func(id charge.CommandID, o wire.Order) string {
		data, err := wire.EncodeOrder(o)
		if err != nil {
			t.Fatal(err)
		}
		epoch, err := charge.ParseEpoch("100012-7f3a9c01d2e4b6a8")
		if err != nil {
			t.Fatal(err)
		}
		c := wire.Command{V: 1, ID: id, N: 1, Central: epoch, Journal: "j", CPID: "CP", Type: o.CommandType(), IssuedAt: noon, SentAt: noon, ExpiresAt: noon.Add(time.Second), Data: data}
		raw, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	list := wire.SetLocalList{Version: 4, Entries: []wire.LocalListEntry{{TokenHash: card(7), Username: anna}}}
	allowed := wire.Authorize{RequestID: "r-1000000000", Allowed: true, SessionID: "s-9", Username: anna, Limit: 5000}
	s := cards.New(policy(), cards.Saved{})
	var saved cards.Saved
	fold := func(now cards.Now, all ...wire.Payload) {
		for range 2 { // a second time changes nothing
			for _, p := range all {
				saved = cards.Replay(saved, &wire.Record{At: now.Wall, Clock: now.Clock}, p)
			}
		}
	}
	var out []cards.Effect
	s, out = cards.Step(s, cards.ListReceived{Now: at(0), ID: "c-1", Raw: command("c-1", &list), Order: list})
	fold(at(0), records(out)...)
	s, out = cards.Step(s, tap(time.Second, card(1), true, free(1, 1)))
	fold(at(time.Second), records(out)...)
	raw := command("c-2", &allowed)
	s, _ = cards.Step(s, cards.Answered{Now: at(2 * time.Second), ID: "c-2", Raw: raw, Order: allowed, Connectors: []cards.Connector{free(1, 1)}})
	fold(at(2*time.Second), &wire.CommandAccepted{Command: json.RawMessage(raw)}) // by the connector
	got, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(s.Saved)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) || len(saved.Cache) != 1 {
		t.Errorf("folded %s\nwant   %s", got, want)
	}
}
