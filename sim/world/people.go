package world

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// crowd is the drivers: who asked, and waits for an answer.
type crowd struct {
	w      *World
	line   *line
	visits map[orders.RequestKey]*visit
	asked  map[charge.Username]int // visits of each driver: every driver counts message_ids from 1
}

// visit is one driver who wants to charge.
type visit struct {
	w        *World
	c        chance
	user     charge.Username
	id       string // of the request
	cp       *charge.CPID
	tries    int
	answered bool
}

func newCrowd(w *World) *crowd {
	d := &crowd{w: w, line: w.newLine("drivers"), visits: map[orders.RequestKey]*visit{}, asked: map[charge.Username]int{}}
	w.kafka.each(func() bool { return true }, func(n int, _ bool) {
		w.kafka.read(d.line, part{wire.TopicCentralEvents, n}, fromFirst, d.hear)
	})
	return d
}

// hear takes what Central tells.
func (d *crowd) hear(b batch, done func(bool)) {
	for i := range b.messages {
		e, err := wire.DecodeCentralEvent(b.messages[i].value)
		if err != nil {
			d.w.object("shell", "drivers cannot read what Central tells: %v", err)
			break
		}
		if e.EventType == wire.CentralTicket {
			d.w.checkTold(&e)
		}
		if e.EventType == wire.CentralAuthorization {
			d.w.checkAnswer(&e)
		}
		if v := d.visits[orders.RequestKey{Username: e.Username, MessageID: e.MessageID}]; v != nil && e.EventType == wire.CentralAuthorization && !v.answered {
			v.answered = true
			d.w.stats.Answers++
			if e.Authorized != nil && *e.Authorized {
				d.w.stats.Granted++
				v.go_(&e)
			}
		}
	}
	done(true)
}

// visitor begins a visit.
func (w *World) visitor(s Step) {
	v := &visit{w: w, c: newChance(w.plan.Seed, fmt.Sprint("visit ", s.At)), user: charge.Username(fmt.Sprint("driver", s.Who))}
	w.crowd.asked[v.user]++
	v.id = fmt.Sprint("m", w.crowd.asked[v.user])
	if s.N >= 0 && s.N < len(w.points) {
		v.cp = &w.points[s.N].id
	}
	w.crowd.visits[orders.RequestKey{Username: v.user, MessageID: v.id}] = v
	w.stats.Visits++
	v.ask()
	for range v.c.IntN(3) { // clicks again
		w.after(v.c.in(span{0, 2 * time.Second}), "click", v.ask)
	}
	if v.c.IntN(4) == 0 { // an old request comes again
		w.after(v.c.in(span{time.Minute, 30 * time.Minute}), "says it again", func() { v.request(wire.DriverAuthorization, v.id, v.cp) })
	}
}

func (v *visit) request(t wire.DriverEventType, id string, cp *charge.CPID) {
	m := wire.DriverRequest{
		MessageID: id, EventType: t, Username: v.user, CPID: cp, ClientID: "c", Timestamp: v.w.crowd.clock(v.user),
	}
	raw, err := m.Encode()
	if err != nil {
		v.w.object("shell", "request cannot be encoded: %v", err)
		return
	}
	v.w.crowd.say(string(v.user), raw, 5)
}

// say writes to driver-events, a few times if need be.
func (d *crowd) say(key string, raw []byte, tries int) {
	d.line.call("driver says", func() bool {
		d.w.kafka.append(wire.TopicDriverEvents, message{key: key, value: raw, receivedAt: d.w.wall()})
		return true
	}, func(ok bool) {
		if !ok && tries > 1 {
			d.w.kafka.retry(d.line.c, func() { d.say(key, raw, tries-1) })
		}
	})
}

// ask asks, and again with the same id while nobody answers.
func (v *visit) ask() {
	if v.answered || v.tries > 4 {
		return
	}
	v.tries++
	v.request(wire.DriverAuthorization, v.id, v.cp)
	v.w.after(8*time.Second, "asks again", v.ask)
}

// go_ goes to the charging point that is kept for the driver.
func (v *visit) go_(e *wire.CentralEvent) {
	if v.w.liarOf(e.CPID) != nil { // nothing works there
		return
	}
	a := v.w.pointOf(e.CPID)
	if a == nil || e.Connector < 1 || int(e.Connector) > len(a.hw) {
		v.w.object("shell", "the answer names %s/%d", e.CPID, e.Connector)
		return
	}
	arrives := v.c.in(span{time.Second, 3 * time.Minute})
	if e.ExpiresAt != nil && v.c.IntN(8) == 0 { // races with the expiry
		arrives = e.ExpiresAt.Time().Sub(v.w.wall()) + v.c.in(span{-100 * time.Millisecond, 100 * time.Millisecond})
	}
	early := v.c.IntN(3) == 0
	if early {
		v.w.after(v.c.in(span{0, 5 * time.Second}), "starts before the plug", func() { v.begin(a.id) })
	}
	o := a.hw[e.Connector-1]
	v.w.after(arrives, "arrives", func() {
		if v.w.healed || !o.plug(charge.WattHours(500+v.c.IntN(15_000)), charge.Watts(3700+v.c.IntN(18_300))) {
			return
		}
		v.w.stats.Plugs++
		v.stay(o)
		if !early || v.c.IntN(3) == 0 {
			v.w.after(v.c.in(span{0, 5 * time.Second}), "starts", func() { v.begin(a.id) })
		}
	})
}

// begin says "I am plugged in".
func (v *visit) begin(cp charge.CPID) {
	id := v.id + ".s" + fmt.Sprint(v.c.IntN(2))
	v.request(wire.DriverStarted, id, &cp)
	if v.c.IntN(3) == 0 {
		v.w.after(v.c.in(span{0, time.Second}), "click", func() { v.request(wire.DriverStarted, id, &cp) })
	}
}

// stay plans the end of a visit at an outlet.
func (v *visit) stay(o *outlet) {
	n := o.visit
	here := func(do func()) func() {
		return func() {
			if o.visit == n && o.plugged {
				do()
			}
		}
	}
	long := v.c.in(span{time.Minute, 35 * time.Minute})
	if v.c.IntN(10) == 0 {
		long = v.c.in(span{0, 3 * time.Second})
	}
	for range v.c.IntN(3) {
		at := v.c.in(span{0, long})
		v.w.after(at, "vehicle pauses", here(func() { o.pause(true) }))
		v.w.after(at+v.c.in(span{time.Second, 3 * time.Minute}), "vehicle goes on", here(func() { o.pause(false) }))
	}
	switch v.c.IntN(4) {
	case 0:
		v.w.after(long*2/3, "stop request", here(func() { v.request(wire.DriverStop, v.id+".e", &o.a.id) }))
	case 2: // refused: the id is that of another request
		v.w.after(long/3, "stop request", here(func() { v.request(wire.DriverStop, v.id, &o.a.id) }))
	case 1:
		v.w.after(long*2/3, "stop button", here(func() { o.press() }))
	}
	v.w.after(long, "leaves", here(o.unplug))
}

// press is the stop button of the charging point.
func (o *outlet) press() {
	if b := o.a.run; b != nil && b.ready {
		m := b.machines[o.id-1]
		m.take(localStop(b.moment()))
	}
}

// operator gives a request to the Central whose page he has open.
func (w *World) operator(a orders.Ask, answer func(orders.Reply)) {
	c := w.inCharge()
	if c == nil {
		return
	}
	w.stats.Operators++
	c.run.give(&asked{ask: a, answer: func(r orders.Reply) {
		if r.Refused == "" {
			w.stats.OperatorsServed++
		}
		if answer != nil {
			answer(r)
		}
	}})
}

// inCharge is the latest Central that is active.
func (w *World) inCharge() *central {
	for _, c := range slices.Backward(w.centrals) {
		if c.run != nil && c.run.active() {
			return c
		}
	}
	return nil
}

func (w *World) pointOf(id charge.CPID) *agent {
	for _, a := range w.points {
		if a.id == id {
			return a
		}
	}
	return nil
}
