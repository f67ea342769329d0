package point_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	theCP   charge.CPID      = "CP_001"
	theBoot charge.JournalID = "boot1"
)

// rig is a core with a disk that writes when the test asks for it.
type rig struct {
	t       *testing.T
	at      time.Duration
	core    *point.State
	effects []point.Effect // of the last step
	batch   *point.Batch   // under way; nil: none
	saving  bool           // a position is under way
	records []wire.Record  // that are durable
	resumes bool           // each step is made by a copy of the core
	orders  uint64
	first   []point.LimitCurrent // of the boot

	granted   map[charge.SessionID]bool // sessions whose grant is durable
	permitted map[charge.ConnectorID]bool
}

// start boots a core with n connectors, and writes record 1.
func start(t *testing.T, n int, change func(*point.Config, *point.Recovered)) *rig {
	t.Helper()
	r := &rig{t: t, granted: map[charge.SessionID]bool{}, permitted: map[charge.ConnectorID]bool{}}
	cfg := point.Config{
		CP: theCP, Journal: theBoot, Agent: "test", Simulated: true, Lights: []bool{true, true, true, true}, Telemetry: time.Second, IdleTelemetry: time.Minute,
		Policy: connector.Policy{SampleEnergy: 100},
	}
	found := point.Recovered{Saved: make([]connector.Saved, n), Outlets: make([]point.Outlet, n)}
	for i := range n {
		found.Saved[i].Connector = charge.ConnectorID(i + 1)
		found.Outlets[i] = point.Outlet{Pilot: charge.PilotA, Reading: connector.Reading{Import: 1000}, HasReading: true}
	}
	if change != nil {
		change(&cfg, &found)
	}
	var effects []point.Effect
	r.core, effects = point.Boot(cfg, r.now(), found)
	r.perform(effects)
	for _, f := range effects {
		if f, ok := f.(point.LimitCurrent); ok {
			r.first = append(r.first, f)
		}
	}
	r.written()
	return r
}

func (r *rig) now() point.Now {
	const began charge.Time = 1_790_000_000_000
	return point.Now{Now: connector.Now{At: r.at, Wall: began.Add(r.at), Clock: charge.ClockSynced}}
}

// step applies an event a millisecond later.
func (r *rig) step(e point.Event) {
	r.t.Helper()
	r.at += time.Millisecond
	if r.resumes {
		r.core = resumed(r.t, r.core)
	}
	if a, is := e.(point.Appended); is {
		folded, err := r.core.Fold(point.Appended{Held: a.Held})
		if got, want := fmt.Sprint(folded), fmt.Sprint(a); err != nil || got != want {
			r.t.Fatalf("folded %s, %v; written %s", got, err, want)
		}
	}
	r.perform(r.core.Step(r.now(), e))
}

// resumed is a core that goes on from the snapshot of another one.
func resumed(t *testing.T, core *point.State) *point.State {
	t.Helper()
	raw, err := json.Marshal(core.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	var v point.Snapshot
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return point.Resume(v)
}

// perform keeps what is under way at the disk, never two things, and what is
// permitted: power only for a session whose grant is durable. Contactors open
// before all else.
func (r *rig) perform(effects []point.Effect) {
	r.t.Helper()
	r.effects = effects
	opening := true
	for _, f := range effects {
		o, opens := f.(point.OpenContactor)
		if opens && !opening {
			r.t.Errorf("a contactor opens behind another effect: %+v", effects)
		}
		opening = opens
		switch f := f.(type) {
		case point.OpenContactor:
			delete(r.permitted, o.Connector)
		case point.Permit:
			if r.permitted[f.Connector] = true; !r.granted[f.Session] {
				r.t.Errorf("power for session %q, whose grant is not durable", f.Session)
			}
		case point.Append, point.SavePosition:
			if r.batch != nil || r.saving {
				r.t.Error("a second thing is under way at the disk")
			}
			if a, ok := f.(point.Append); ok {
				r.batch = a.Batch
			} else {
				r.saving = true
			}
		default:
		}
	}
	for i, c := range r.core.View().Connectors {
		if on := r.permitted[charge.ConnectorID(i+1)]; on != c.Commanded {
			r.t.Errorf("connector %d: permitted %t, by its state %t", i+1, on, c.Commanded)
		}
	}
}

// written writes the batch under way.
func (r *rig) written() {
	r.t.Helper()
	if r.batch == nil {
		r.t.Fatal("nothing is under way at the disk")
	}
	b := r.batch
	r.batch = nil
	for i := range b.Records {
		raw, err := b.Encode(i, charge.Seq(len(r.records)+1), "")
		if err != nil {
			r.t.Fatal(err)
		}
		rec, err := wire.DecodeRecord(raw)
		if err != nil {
			r.t.Fatal(err)
		}
		r.records = append(r.records, rec)
		if rec.Type == wire.TypeAuthorized {
			r.granted[rec.SessionID] = true
		}
	}
	r.step(point.Appended{Saved: b.Saved(), Held: r.held()})
}

// refused lets the batch under way fail.
func (r *rig) refused(noSpace bool) {
	r.t.Helper()
	r.batch = nil
	r.step(point.AppendFailed{NoSpace: noSpace})
}

// settled writes all that waits for the disk.
func (r *rig) settled() {
	r.t.Helper()
	for r.batch != nil || r.saving {
		if r.saving {
			r.saving = false
			r.step(point.PositionSaved{Held: r.held()})
			continue
		}
		r.written()
	}
}

func (r *rig) held() delivery.Held {
	return delivery.Held{Present: theBoot, Ranges: []delivery.Range{{Journal: theBoot, First: 1, Last: charge.Seq(len(r.records)), Index: 1}}}
}

// order passes a command to the core.
func (r *rig) order(n charge.ConnectorID, o wire.Order) {
	r.t.Helper()
	r.orders++
	r.command(n, o, fmt.Sprintf("c%d", r.orders), theBoot)
}

func (r *rig) command(n charge.ConnectorID, o wire.Order, id string, boot charge.JournalID) {
	r.t.Helper()
	data, err := wire.EncodeOrder(o)
	if err != nil {
		r.t.Fatal(err)
	}
	now := r.now().Wall
	c := wire.Command{
		V: 1, ID: charge.CommandID(id), N: r.orders, Central: epoch(1), Journal: boot, CPID: theCP, Connector: n, Type: o.CommandType(),
		IssuedAt: now, SentAt: now, ExpiresAt: now.Add(30 * time.Second), Data: data,
	}
	raw, err := c.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	r.step(point.CommandReceived{Raw: raw, ReceivedAt: r.at})
}

// charging lets a session begin at connector 1, with all its records durable.
func (r *rig) charging() {
	r.t.Helper()
	r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotB, NewSession: "unused"})
	r.order(1, &wire.Start{SessionID: "s1", Username: "driver1"})
	r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
	r.settled()
	r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotC})
	r.step(point.ContactChanged{Connector: 1, Closed: true})
	r.settled()
	if got := r.connector(1); got.Session.Flow != connector.FlowOn {
		r.t.Fatalf("no power flows: %+v", got.Session)
	}
}

func (r *rig) connector(n int) connector.State { return r.core.View().Connectors[n-1] }

// story is the types of all durable records, with results.
func (r *rig) story() string {
	var words []string
	for _, rec := range r.records {
		switch p, _ := rec.Payload(); p := p.(type) {
		case *wire.StatusChanged:
		case *wire.CommandFinished:
			words = append(words, strings.TrimSuffix(fmt.Sprintf("%s_%s_%s", p.Command, p.Result, p.Reason), "_"))
		default:
			words = append(words, string(rec.Type))
		}
	}
	return strings.Join(words, " ")
}

// has returns the first effect of a type in the last step; false if there is none.
func has[F point.Effect](r *rig) (F, bool) {
	for _, f := range r.effects {
		if f, ok := f.(F); ok {
			return f, true
		}
	}
	var none F
	return none, false
}

func epoch(n uint64) charge.Epoch { return charge.Epoch{Number: n, Run: "00000000000000ab"} }

// text is effects as text, to compare two runs.
func text(t *testing.T, effects []point.Effect) string {
	t.Helper()
	var b strings.Builder
	for _, f := range effects {
		raw, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%T %s\n", f, raw)
	}
	return b.String()
}
