package connector_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// places are scripts that lead to every kind of state.
var places = map[string]string{
	"new":            "",
	"booted":         "boot",
	"idle":           "boot;registered",
	"preparing":      "boot;registered;pilot B",
	"reserved":       "boot;registered;reserve r1 u1 60s",
	"reserved_plug":  "boot;registered;reserve r1 u1 60s;pilot C",
	"waiting":        "boot;registered;start s1 u1",
	"waiting_on":     "boot;registered;reserve r1 u1 60s;start s1 u1 r1",
	"reading":        "boot;registered;pilot C;start s1 u1",
	"undurable":      "boot;registered;pilot C;start s1 u1;meter 1000",
	"authorized":     "boot;registered;pilot B;start s1 u1;meter 1000;durable",
	"permitted":      "boot;registered;pilot C;start s1 u1;meter 1000;durable",
	"charging":       "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed",
	"suspended_ev":   "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;pilot B;contact open",
	"suspended_evse": "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;hold late;contact open",
	"ending":         "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;stop s1",
	"ending_open":    "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;stop s1;contact open",
	"finishing":      "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;stop s1;contact open;meter 1001",
	"faulted":        "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;fault other",
	"unavailable":    "boot;registered;available false",
	"full":           "boot;registered;storage full",
	"recovered":      "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;reboot",
	"stopping":       "boot;registered;pilot C;start s1 u1;meter 1000;durable;contact closed;shutdown",
}

// kinds are events of every type, one or more of each.
var kinds = []string{
	"boot", "registered", "pilot A", "pilot B", "pilot C", "pilot D", "pilot E", "contact closed", "contact open", "hold late", "hold",
	"meter 1000", "meter 999", "meter fails", "reserve r1 u1 60s", "reserve r2 u2 60s", "cancel r1", "cancel r9", "start s1 u1", "start s1 u1 r1",
	"start s9 u9", "stop s1", "stop s9", "available true", "available false", "unlock", "reset", "late_start", "fault other", "fault ground_fault",
	"repaired other", "durable", "append_failed", "storage full", "storage free", "timer", "local_stop", "shutdown",
}

func playerAt(t *testing.T, place string) *player {
	t.Helper()
	p := newPlayer(connector.Policy{})
	p.at = time.Second
	for line := range strings.SplitSeq(places[place], ";") {
		if line != "" {
			p.play(t, line)
		}
	}
	return p
}

func (p *player) play(t *testing.T, line string) []connector.Effect {
	t.Helper()
	if line == "durable" {
		var effects []connector.Effect
		for len(p.pending) > 0 {
			effects = append(effects, p.step(p.durable())...)
		}
		return effects
	}
	e, err := p.event(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := e.(connector.Booted); ok && line == "boot" && p.s.Phase == connector.PhaseNew {
		e = b
	}
	return p.step(e)
}

// TestEveryEventInEveryState: nothing panics, every command is answered,
// every status is one of the list, and looking at the state does not change it.
func TestEveryEventInEveryState(t *testing.T) {
	for place := range places {
		for _, kind := range kinds {
			t.Run(place+"/"+strings.ReplaceAll(kind, " ", "_"), func(t *testing.T) {
				p := playerAt(t, place)
				if kind == "boot" { // in a life that has begun: no effect
					before := p.s
					after, effects := connector.Step(p.s, connector.Booted{Now: p.now(), ID: 7, Saved: connector.Saved{Unavailable: true}})
					if p.s.Phase != connector.PhaseNew && (after != before || len(effects) > 0) {
						t.Fatalf("a second boot: got %v", effects)
					}
					return
				}
				before := p.s
				running := p.s.Phase >= connector.PhaseRunning
				effects := p.play(t, kind)
				if s := connector.Status(p.s); !s.Valid() {
					t.Errorf("status %q", s)
				}
				if !running {
					return
				}
				commands := map[string]bool{
					"reserve": true, "cancel": true, "start": true, "stop": true, "available": true, "unlock": true, "reset": true, "late_start": true,
				}
				if commands[strings.Fields(kind)[0]] && !answered(effects) && !underWay(p.s, before) {
					t.Errorf("got %v, want the command accepted or finished", effects)
				}
			})
		}
	}
}

// answered reports whether a command was accepted or finished.
func answered(effects []connector.Effect) bool {
	for _, f := range effects {
		a, ok := f.(connector.Append)
		if !ok {
			continue
		}
		for _, r := range a.Records {
			switch r.Payload.(type) {
			case *wire.CommandAccepted, *wire.CommandFinished:
				return true
			}
		}
	}
	return false
}

// underWay reports whether a command became a start that reads the meter.
func underWay(s, before connector.State) bool {
	return s.Pending.ReadBy > 0 && s.Pending != before.Pending
}

// TestPowerOnlyFromThePermittedPlaces lists where the contactor may be closed.
func TestPowerOnlyFromThePermittedPlaces(t *testing.T) {
	want := map[string]bool{"permitted": true, "charging": true}
	for place := range places {
		if got := playerAt(t, place).s.Commanded; got != want[place] {
			t.Errorf("%s: permitted %t, want %t", place, got, want[place])
		}
	}
}

func TestReplayIgnoresWhatItCannotRead(t *testing.T) {
	v := connector.Saved{Connector: 1, Register: 5}
	for _, rec := range []wire.Record{
		{Connector: 1, Type: "not_invented_yet", Data: []byte(`{}`)},
		{Connector: 1, Type: wire.TypeAuthorized, Data: []byte(`{"by":3}`)},
		{Connector: 1, Type: wire.TypeCommandAccepted, Data: []byte(`{"command":{"v":1}}`)},
		{Connector: 2, Type: wire.TypeMeterRead, Data: []byte(`{"register_wh":9}`)},
	} {
		if got := connector.Replay(v, rec); !reflect.DeepEqual(got, v) {
			t.Errorf("%s: got %+v, want %+v", rec.Type, got, v)
		}
	}
	if _, err := connector.ReadCheckpoint([]byte(`{`)); err == nil {
		t.Error("half a checkpoint was read")
	}
}

// TestAllConnectorsAtOnce: an availability of the whole charging point is
// remembered by each connector, and answered by its receiver.
func TestAllConnectorsAtOnce(t *testing.T) {
	p := playerAt(t, "idle")
	e := p.order(time.Second, &wire.SetAvailability{})
	e.AllConnectors = true
	if effects := p.step(e); answered(effects) || connector.Status(p.s) != charge.StatusUnavailable {
		t.Errorf("got %v and %s, want no answer and unavailable", effects, connector.Status(p.s))
	}
	data, err := wire.NewRecord(&wire.CommandAccepted{Command: []byte(e.Raw)})
	if err != nil {
		t.Fatal(err)
	}
	data.Connector = 0
	if v := connector.Replay(connector.Saved{Connector: 2}, data); !v.Unavailable || len(v.Unfinished) > 0 {
		t.Errorf("got %+v, want unavailable and nothing to finish", v)
	}
}
