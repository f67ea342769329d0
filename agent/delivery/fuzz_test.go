package delivery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// script reads bytes as choices.
type script struct{ bytes []byte }

func (s *script) next(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	v := int(s.bytes[0]) % n
	s.bytes = s.bytes[1:]
	return v
}

func (s *script) word(begin string, n int) string { return fmt.Sprint(begin, s.next(n)) }

// command makes one of few commands, so that ids repeat.
func (s *script) command() wire.Command {
	var o wire.Order
	switch s.next(6) {
	case 0:
		o = start(charge.SessionID(s.word("s", 3)))
	case 1:
		o = stop(charge.SessionID(s.word("s", 3)))
	case 2:
		o = reserve(charge.ReservationID(s.word("r", 3)))
	case 3:
		o = cancel(charge.ReservationID(s.word("r", 3)))
	case 4:
		o = &wire.Start{SessionID: charge.SessionID(s.word("s", 3)), Username: "anna", ReservationID: charge.ReservationID(s.word("r", 3))}
	default:
		o = &wire.SetAvailability{Available: s.next(2) == 1}
	}
	c := order(charge.CommandID(s.word("id", 12)), uint64(1+s.next(8)), o)
	c.Central = epoch(9 + s.next(3))
	c.Connector = charge.ConnectorID(s.next(3))
	c.ExpiresAt = c.SentAt + charge.Time(1000*s.next(61))
	switch s.next(16) {
	case 0:
		c.CPID = "CP_002"
	case 1:
		c.Journal = "older"
	case 2:
		c.Data = []byte(`{"session_id":7,"reservation_id":7,"available":7}`)
	case 3:
		c.Type = "DANCE"
	}
	return c
}

// referenceDecider decides a command by all that were received before, in the
// words of docs/PROTOCOL.md.
type referenceDecider struct {
	received []wire.Command // that were for this boot, each id once
	over     map[string]bool
}

func (p *referenceDecider) decide(c *wire.Command, waited time.Duration, late bool) delivery.VerdictKind {
	if c.CPID != theCP || c.Journal != theBoot {
		return delivery.OtherBoot
	}
	superseded := false
	for i := range p.received {
		e := &p.received[i]
		if e.ID == c.ID {
			return delivery.Known
		}
		superseded = superseded || c.Central.Less(e.Central) || e.Central == c.Central && e.Connector == c.Connector && e.N >= c.N
	}
	p.received = append(p.received, *c)
	if superseded {
		return delivery.Superseded
	}
	life := c.ExpiresAt.Sub(c.SentAt)
	if c.Type == wire.CommandReserve {
		life = min(life, wire.ReserveLife)
	}
	if waited >= life || late {
		return delivery.Expired
	}
	o, err := c.Order()
	if err != nil {
		return delivery.Malformed
	}
	switch o := o.(type) {
	case *wire.Start:
		if p.over["session "+string(o.SessionID)] || p.over["reservation "+string(o.ReservationID)] {
			return delivery.Superseded
		}
	case *wire.Reserve:
		if p.over["reservation "+string(o.ReservationID)] {
			return delivery.Superseded
		}
	case *wire.Stop:
		p.over["session "+string(o.SessionID)] = true
	case *wire.CancelReservation:
		p.over["reservation "+string(o.ReservationID)] = true
	}
	return delivery.Run
}

// FuzzDecide: each command is decided as the reference does, whatever came
// before; a repeated command is never executed again; and bytes that are no command
// have no effect.
func FuzzDecide(f *testing.F) {
	files, err := filepath.Glob("../../internal/wire/testdata/command_*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden commands: %v", err)
	}
	for i, name := range files {
		golden, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(golden, []byte{byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, byte(i), 1, 2, 4, 5, 5, 6, 7, 8, 9})
	}
	f.Fuzz(func(t *testing.T, golden, choices []byte) {
		decideAlone(t, golden)
		if len(choices) > 1024 {
			return
		}
		s := &script{choices}
		c, plain := delivery.NewCommands(theCP, theBoot), &referenceDecider{over: map[string]bool{}}
		var sent [][]byte
		for len(s.bytes) > 0 {
			switch s.next(8) {
			case 0:
				id := s.word("s", 3)
				c.EndSession(charge.SessionID(id))
				plain.over["session "+id] = true
				continue
			case 1:
				id := s.word("r", 3)
				c.EndReservation(charge.ReservationID(id))
				plain.over["reservation "+id] = true
				continue
			}
			cmd := s.command()
			r := delivery.Receipt{Raw: raw(t, cmd), Received: time.Hour, Wall: cmd.ExpiresAt.Add(time.Duration(s.next(40)) * time.Second)}
			waited := time.Duration(s.next(70)) * 500 * time.Millisecond
			r.At, r.Clock = r.Received+waited, []charge.ClockQuality{charge.ClockSynced, charge.ClockSet}[s.next(2)]
			late := r.Clock == charge.ClockSynced && r.Wall.Sub(cmd.ExpiresAt) > 30*time.Second
			v, want := c.Decide(r), plain.decide(&cmd, waited, late)
			if v.Kind != want {
				t.Fatalf("%s is %s, want %s", r.Raw, v.Kind, want)
			}
			if v.Kind == delivery.Run && (v.Deadline <= r.At || v.Deadline > r.Received+wire.MaxCommandLife) {
				t.Fatalf("%s may run until %s, it is %s", r.Raw, v.Deadline, r.At)
			}
			sent = append(sent, r.Raw)
		}
		for _, b := range sent {
			if v := c.Decide(delivery.Receipt{Raw: b}); v.Kind != delivery.Known && v.Kind != delivery.OtherBoot {
				t.Fatalf("repeated, %s is %s", b, v.Kind)
			}
		}
		sum := uint64(0)
		for _, n := range c.Counts.By {
			sum += n
		}
		if sum != c.Counts.Received || sum != uint64(2*len(sent)) {
			t.Fatalf("%d commands were counted as %+v", 2*len(sent), c.Counts)
		}
	})
}

// decideAlone lets the very first command of a boot be any bytes, and come twice.
func decideAlone(t *testing.T, b []byte) {
	t.Helper()
	cp, boot := theCP, theBoot
	cmd, err := wire.DecodeCommand(b)
	if err == nil {
		cp, boot = cmd.CPID, cmd.Journal
	}
	c := delivery.NewCommands(cp, boot)
	v := c.Decide(delivery.Receipt{Raw: b})
	if (err != nil) != (v.Kind == delivery.Malformed && v.Command.ID == "") || v.Kind == delivery.Malformed && v.Err == nil {
		t.Fatalf("%q is %s (%v), read with %v", b, v.Kind, v.Err, err)
	}
	if v.Kind == delivery.Run && v.Order != nil && v.Order.CommandType() != cmd.Type {
		t.Fatalf("%s runs as %T", b, v.Order)
	}
	if again := c.Decide(delivery.Receipt{Raw: b}); err == nil && again.Kind != delivery.Known || err != nil && again.Kind != delivery.Malformed {
		t.Fatalf("%q, repeated, is %s", b, again.Kind)
	}
}

// disk makes what a storage holds: some journals in the order of writing, with
// gaps.
func (s *script) disk() delivery.Held {
	h := delivery.Held{Present: charge.JournalID(fmt.Sprint("j", 3))}
	index := delivery.Index(1 + s.next(9))
	for j := range 4 {
		seq := charge.Seq(1 + s.next(5))
		for range s.next(3) {
			r := delivery.Range{Journal: charge.JournalID(fmt.Sprint("j", j)), First: seq, Last: seq + charge.Seq(s.next(70)), Index: index}
			h.Ranges = append(h.Ranges, r)
			index += delivery.Index(r.Last-r.First) + 1
			seq = r.Last + 2
		}
	}
	if last := len(h.Ranges) - 1; last < 0 || h.Ranges[last].Journal != h.Present { // a boot has written before it speaks
		h.Ranges = append(h.Ranges, delivery.Range{Journal: h.Present, First: 1, Last: 1, Index: index})
	}
	return h
}

// covered is the last of the records held that an acknowledgement can cover: the
// last in writing that is not behind it in its journal.
func covered(h delivery.Held, a *wire.Ack) delivery.Index {
	last := h.First() - 1
	for _, r := range h.Ranges {
		for i := range r.Last - r.First + 1 {
			if a.Journal != nil && r.Journal == *a.Journal && r.First+i <= a.Seq {
				last = r.Index + delivery.Index(i)
			}
		}
		if a.Journal != nil && r.Journal == *a.Journal && r.First > a.Seq && last < h.First() {
			return r.Index - 1
		}
	}
	return last
}

// sending is an agent's deliveries under any events.
type sending struct {
	t    *testing.T
	s    delivery.State
	held delivery.Held
	now  time.Duration
}

func (d *sending) step(e delivery.Event) []delivery.Effect {
	d.t.Helper()
	before := d.s
	s, effects := delivery.Step(before, e)
	d.s = s
	if s.Acked >= s.Next || s.Next > s.Acked+delivery.MaxWindow+1 || s.Next > s.End+1 || s.Acked+1 < d.held.First() || s.End != d.held.Last() {
		d.t.Fatalf("%T: acked %d, next %d, end %d of %d to %d", e, s.Acked, s.Next, s.End, d.held.First(), d.held.Last())
	}
	if s.Up && (s.Window < 1 || s.Window > delivery.MaxWindow) || s.Position.Central.Less(before.Position.Central) {
		d.t.Fatalf("%T: from %+v to %+v", e, before, s)
	}
	rank := -1
	for _, f := range effects {
		at := slices.IndexFunc([]delivery.Effect{delivery.SavePosition{}, delivery.RolledBack{}, delivery.Send{}, delivery.Reconnect{}, delivery.SetTimer{}},
			func(k delivery.Effect) bool { return reflect.TypeOf(k) == reflect.TypeOf(f) })
		if at < rank {
			d.t.Fatalf("%T: the effects are out of order: %+v", e, effects)
		}
		rank = at
		if send, ok := f.(delivery.Send); ok && (!s.Up || send.First > send.Last || send.First != before.Next && send.First != s.Acked+1 && send.First > before.Next || send.Last > s.End) {
			d.t.Fatalf("%T: sends %+v, acked %d", e, send, s.Acked)
		}
	}
	return effects
}

// acknowledge applies an acknowledgement twice: no more is acknowledged than it
// names, and the second time it has no effect.
func (d *sending) acknowledge(a wire.Ack, live bool) {
	d.t.Helper()
	before := d.s
	e := delivery.AckReceived{Now: delivery.Now{At: d.now}, Ack: a, Held: d.held, Live: live}
	d.step(e)
	switch {
	case a.Central.Less(before.Position.Central) && (d.s.Acked != before.Acked || d.s.Position != before.Position):
		d.t.Fatalf("an older Central moved the position from %+v to %+v", before.Position, d.s.Position)
	case a.Central == before.Position.Central && d.s.Acked < before.Acked:
		d.t.Fatalf("the same Central moved the position back from %d to %d", before.Acked, d.s.Acked)
	case d.s.Acked != before.Acked && d.s.Acked != covered(d.held, &a):
		d.t.Fatalf("%+v of %+v: %d are acknowledged, want %d", a, d.held, d.s.Acked, covered(d.held, &a))
	}
	first := d.s
	for _, f := range d.step(e) {
		switch f.(type) {
		case delivery.SavePosition, delivery.RolledBack, delivery.Send:
			d.t.Fatalf("%+v, received again, makes %+v", a, f)
		}
	}
	if d.s.Acked != first.Acked || d.s.Position != first.Position || d.s.Next != first.Next {
		d.t.Fatalf("%+v, received again, changes %+v to %+v", a, first, d.s)
	}
}

// FuzzAckReceived: whatever is acknowledged, by which Central and when, the
// window and the position keep their rules.
func FuzzAckReceived(f *testing.F) {
	f.Add([]byte{0, 1, 2, 9, 1, 40, 2, 3, 9, 0, 0, 1, 5, 5, 5, 1, 3, 7, 1, 0, 6, 30, 5, 2, 3, 60, 1, 2, 4, 0, 3, 9})
	f.Add([]byte("an agent that has lost its storage receives acks of a Central that holds more of its records than it does"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 512 {
			return
		}
		s := &script{choices}
		d := &sending{t: t, held: s.disk(), now: time.Hour}
		d.step(delivery.Booted{Held: d.held, Position: delivery.Position{
			Central: epoch(s.next(3)), Journal: charge.JournalID(s.word("j", 5)), Seq: charge.Seq(s.next(80)),
		}})
		for len(s.bytes) > 0 {
			now := delivery.Now{At: d.now, Rand: uint64(s.next(256)) << 3}
			switch s.next(8) {
			case 0:
				d.held.Ranges = slices.Clone(d.held.Ranges)
				d.held.Ranges[len(d.held.Ranges)-1].Last += charge.Seq(1 + s.next(90))
				d.step(delivery.Appended{Now: now, First: d.held.First(), End: d.held.Last()})
			case 1:
				d.step(delivery.Connected{Now: now})
			case 2:
				d.step(delivery.Disconnected{})
			case 3:
				d.step(delivery.Confirmed{Now: now})
			case 4:
				d.now += time.Duration(s.next(100)) * 3 * time.Second
				now.At = d.now
				d.step(delivery.TimerFired{Now: now})
			default:
				a := wire.Ack{V: 1, Central: epoch(s.next(4))}
				if j := s.word("j", 6); j != "j5" {
					a.Journal, a.Seq = new(charge.JournalID(j)), charge.Seq(s.next(120))
				}
				d.acknowledge(a, s.next(2) == 1)
			}
		}
	})
}
