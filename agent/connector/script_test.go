package connector_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden scripts again")

// TestScripts plays testdata/*.txt: a line that begins with "> " is an event,
// the lines below it are what the machine did.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, want)
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

func play(t *testing.T, script []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	p := newPlayer(connector.Policy{})
	lines := bufio.NewScanner(bytes.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		event, ok := strings.CutPrefix(line, "> ")
		if !ok {
			if line == "" || strings.HasPrefix(line, "#") {
				fmt.Fprintln(&out, line)
			}
			continue
		}
		fmt.Fprintln(&out, line)
		words := strings.Fields(event)
		at, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		p.at = at
		var effects []connector.Effect
		if words[1] == "durable" {
			for len(p.pending) > 0 {
				effects = append(effects, p.step(p.durable())...)
			}
		} else {
			e, err := p.event(words[1:])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			effects = p.step(e)
		}
		p.show(&out, effects)
	}
	return out.Bytes()
}

// begin is the wall clock at the boot of every script.
const begin charge.Time = 1_796_000_000_000

// player feeds one machine and keeps its records, as a journal would.
type player struct {
	policy  connector.Policy
	clock   charge.ClockQuality
	jump    time.Duration // of the wall clock
	at      time.Duration
	s       connector.State
	saved   connector.Saved
	journal int
	seq     charge.Seq
	n       int // of commands
	pending []connector.Token
}

func newPlayer(p connector.Policy) *player {
	p.SampleEnergy, p.SampleInterval = 100, 30*time.Second
	return &player{policy: p, clock: charge.ClockSynced, saved: connector.Saved{Connector: 1}, journal: 1}
}

func (p *player) now() connector.Now {
	return connector.Now{At: p.at, Wall: begin.Add(time.Duration(p.journal-1)*time.Hour + p.at + p.jump), Clock: p.clock}
}

// step applies one event and keeps its records, as the recorder does.
func (p *player) step(e connector.Event) []connector.Effect {
	var effects []connector.Effect
	p.s, effects = connector.Step(p.s, e)
	for _, f := range effects {
		if a, ok := f.(connector.Append); ok {
			p.pending = append(p.pending, a.Token)
			for _, r := range a.Records {
				p.write(r)
			}
		}
	}
	return effects
}

func (p *player) write(r connector.Record) {
	rec, err := wire.NewRecord(r.Payload)
	if err != nil {
		panic(err)
	}
	p.seq++
	rec.CPID, rec.Journal, rec.Seq, rec.Connector, rec.SessionID = "CP_001", charge.JournalID(fmt.Sprintf("j%d", p.journal)), p.seq, 1, r.Session
	rec.At, rec.Clock, rec.UptimeMS = p.now().Wall, p.clock, p.at.Milliseconds()
	p.saved = connector.Replay(p.saved, rec)
	if again := connector.Replay(p.saved, rec); !reflect.DeepEqual(again, p.saved) {
		panic(fmt.Sprintf("%s folded twice: %+v, once: %+v", rec.Type, again, p.saved))
	}
}

func (p *player) reboot(wallGap bool) connector.Event {
	raw, err := connector.Checkpoint([]connector.Saved{p.saved})
	if err != nil {
		panic(err)
	}
	all, err := connector.ReadCheckpoint(raw)
	if err != nil {
		panic(err)
	}
	p.saved = all[0]
	before := p.s
	p.s, p.pending, p.seq = connector.State{}, nil, 0
	if wallGap {
		p.journal++
	}
	return connector.Booted{
		Now: p.now(), ID: 1, Policy: p.policy, Saved: p.saved, Pilot: before.Pilot, Reading: before.Meter.Last, HasReading: before.Meter.Known,
	}
}

func (p *player) order(expires time.Duration, o wire.Order) connector.CommandReceived {
	p.n++
	now := p.now()
	data, err := wire.EncodeOrder(o)
	if err != nil {
		panic(err)
	}
	c := wire.Command{
		V: 1, ID: charge.CommandID(fmt.Sprintf("c%d", p.n)), N: uint64(p.n), Central: epoch(1), Journal: "j1", CPID: "CP_001", Connector: 1,
		Type: o.CommandType(), IssuedAt: now.Wall, SentAt: now.Wall, ExpiresAt: now.Wall.Add(5 * time.Second), Data: data,
	}
	raw, err := c.Encode()
	if err != nil {
		panic(err)
	}
	return connector.CommandReceived{Now: now, ID: c.ID, SentAt: c.SentAt, Raw: string(raw), Order: o, Expires: p.at + expires}
}

// event reads one event of a script.
func (p *player) event(w []string) (connector.Event, error) {
	word := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	order := func(o wire.Order) (connector.Event, error) { return p.order(5*time.Second, o), nil }
	switch w[0] {
	case "boot": // [resume] [plug_starts] [free_vend] [vent] [steered] [lock] [rated]
		all := strings.Join(w, " ")
		p.policy.Resume, p.policy.Vent = strings.Contains(all, "resume"), strings.Contains(all, "vent")
		p.policy.ReservedPlugStarts, p.policy.FreeVend = strings.Contains(all, "plug_starts"), strings.Contains(all, "free_vend")
		p.policy.Steered, p.policy.Lock = strings.Contains(all, "steered"), strings.Contains(all, "lock")
		if strings.Contains(all, "rated") {
			p.policy.Rated = 22_000
		}
		p.s.Pilot, p.s.Meter = charge.PilotA, connector.Meter{Known: true, Last: connector.Reading{Import: 1000}}
		return p.reboot(false), nil
	case "reboot": // [pilot] [register]: a new process; registered follows
		e, _ := p.reboot(true).(connector.Booted)
		if s := word(1); s != "" {
			e.Pilot = charge.PilotState(s[0])
		}
		if s := word(2); s == "unreadable" {
			e.HasReading = false
		} else if s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				return nil, err
			}
			e.Reading.Import = charge.WattHours(n)
		}
		e.Reading.BegunAt = p.at
		return e, nil
	case "registered":
		return connector.Registered{Now: p.now(), Unfinished: p.saved.Unfinished}, nil
	case "clock":
		p.clock = charge.ClockQuality(w[1])
		return connector.TimerFired{Now: p.now()}, nil
	case "wall": // jumps
		d, err := time.ParseDuration(w[1])
		p.jump += d
		return connector.TimerFired{Now: p.now()}, err
	case "pilot":
		return connector.PilotChanged{Now: p.now(), Pilot: charge.PilotState(w[1][0]), NewSession: "fresh"}, nil
	case "contact":
		return connector.ContactChanged{Now: p.now(), Closed: w[1] == "closed"}, nil
	case "hold":
		return connector.PowerWithheld{Now: p.now(), Reason: word(1)}, nil
	case "meter":
		if w[1] == "fails" {
			return connector.MeterRead{Now: p.now(), Failed: true}, nil
		}
		n, err := strconv.Atoi(w[1])
		if s := word(2); s != "" { // a reading that began earlier
			began, err := time.ParseDuration(s)
			return connector.MeterRead{Now: p.now(), Reading: connector.Reading{BegunAt: began, Import: charge.WattHours(n)}}, err
		}
		return connector.MeterRead{Now: p.now(), Reading: connector.Reading{BegunAt: p.at, Import: charge.WattHours(n), Power: 11_000}}, err
	case "append_failed":
		return connector.AppendFailed{Now: p.now(), Token: p.s.Token}, nil
	case "reserve":
		d, err := time.ParseDuration(w[3])
		if err != nil {
			return nil, err
		}
		var replaces []charge.ReservationID
		for _, id := range w[4:] { // what it replaces
			replaces = append(replaces, charge.ReservationID(id))
		}
		return p.order(5*time.Second, &wire.Reserve{
			ReservationID: charge.ReservationID(w[1]), Username: charge.Username(w[2]), Until: p.now().Wall.Add(d), Tariff: "t1",
			Replaces: replaces,
		}), nil
	case "cancel":
		return order(&wire.CancelReservation{ReservationID: charge.ReservationID(w[1])})
	case "start_up_to": // session driver Wh minor units
		energy, err := strconv.Atoi(w[3])
		if err != nil {
			return nil, err
		}
		amount, err := strconv.ParseInt(w[4], 10, 64)
		if err != nil {
			return nil, err
		}
		return order(&wire.Start{SessionID: charge.SessionID(w[1]), Username: charge.Username(w[2]), Limit: charge.WattHours(energy), LimitAmount: amount})
	case "start":
		return order(&wire.Start{
			SessionID: charge.SessionID(w[1]), Username: charge.Username(w[2]), ReservationID: charge.ReservationID(word(3)), Tariff: "t2",
		})
	case "late_start":
		return p.order(-time.Second, &wire.Start{SessionID: "late", Username: "late"}), nil
	case "card": // session [driver]: a card that may charge without Central
		by := wire.GrantLocalList
		if word(2) == "" {
			by = wire.GrantFreeVend
		}
		return connector.CardAllowed{Now: p.now(), Session: charge.SessionID(w[1]), Username: charge.Username(word(2)), Card: theCard(), By: by}, nil
	case "authorize": // session driver: Central admits the card
		e := p.order(5*time.Second, &wire.Authorize{RequestID: "r", Allowed: true, SessionID: charge.SessionID(w[1]), Username: charge.Username(w[2]), Tariff: "t2"})
		e.Card = theCard()
		return e, nil
	case "card_stop":
		return connector.CardStop{Now: p.now(), Session: charge.SessionID(w[1])}, nil
	case "stop":
		return order(&wire.Stop{SessionID: charge.SessionID(w[1]), Reason: charge.StopReason(word(2))})
	case "available":
		return order(&wire.SetAvailability{Available: w[1] == "true"})
	case "unlock":
		return order(&wire.Unlock{})
	case "reset":
		return order(&wire.Reset{})
	case "fault":
		return connector.FaultSeen{Now: p.now(), Fault: charge.Fault(w[1])}, nil
	case "repaired":
		return connector.FaultGone{Now: p.now(), Fault: charge.Fault(w[1])}, nil
	case "storage":
		return connector.StorageChanged{Now: p.now(), Full: w[1] == "full"}, nil
	case "timer":
		return connector.TimerFired{Now: p.now()}, nil
	case "local_stop":
		return connector.LocalStop{Now: p.now()}, nil
	case "shutdown":
		return connector.Shutdown{Now: p.now()}, nil
	}
	return nil, fmt.Errorf("event %q is unknown", w[0])
}

// theCard is the card of every script.
func theCard() charge.TokenHash { return charge.IDToken("04A1B2C3").Hash() }

// durable reports to the state machine that the oldest append is on disk.
func (p *player) durable() connector.Event {
	if len(p.pending) == 0 {
		return connector.Appended{Now: p.now()}
	}
	token := p.pending[0]
	p.pending = p.pending[1:]
	return connector.Appended{Now: p.now(), Token: token}
}

func (p *player) show(out *bytes.Buffer, effects []connector.Effect) {
	for _, f := range effects {
		switch f := f.(type) {
		case connector.OpenContactor:
			fmt.Fprintln(out, "    open contactor")
		case connector.CloseContactor:
			fmt.Fprintln(out, "    close contactor")
		case connector.OfferPower:
			fmt.Fprintf(out, "    offer power: %t\n", f.Offer)
		case connector.ReadMeter:
			fmt.Fprintln(out, "    read meter")
		case connector.ResetLatch:
			fmt.Fprintln(out, "    reset latch")
		case connector.ReleaseCable:
			fmt.Fprintln(out, "    release cable")
		case connector.SetTimer:
			fmt.Fprintf(out, "    timer %s\n", f.At)
		case connector.Append:
			for _, r := range f.Records {
				fmt.Fprintf(out, "    %d: %s\n", f.Token, describe(r))
			}
		}
	}
	fmt.Fprintf(out, "    = %s\n", connector.Status(p.s))
}

func describe(r connector.Record) string {
	rec, err := wire.NewRecord(r.Payload)
	if err != nil {
		panic(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(rec.Data, &fields); err != nil {
		panic(err)
	}
	data := string(rec.Data)
	if p, ok := r.Payload.(*wire.CommandAccepted); ok {
		var c wire.Command
		if c, err = wire.DecodeCommand(p.Command); err != nil {
			panic(err)
		}
		data = fmt.Sprintf("%s %s", c.ID, c.Type)
	}
	line := string(rec.Type) + " " + data
	if r.Session != "" {
		line += " session " + string(r.Session)
	}
	return line
}

// epoch is the epoch of the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: "00000000000000ab"} }
