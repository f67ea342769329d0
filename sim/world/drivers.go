package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// drivers are the apps of all drivers: they send requests to Kafka, and read the
// answers.
type drivers struct {
	w      *World
	line   *line // to Kafka
	visits map[orders.RequestKey]*visit
	// Visits of each driver so far; message ids count from 1 per driver.
	requests map[charge.Username]int
}

// visit is one attempt of a driver to charge.
type visit struct {
	w    *World
	rng  random
	user charge.Username
	id   string // message id of the request
	// The charging point the driver wants; nil: any.
	cp       *charge.CPID
	tries    int
	answered bool
}

// newDrivers creates the drivers' apps, which read all events of Central from the first.
func newDrivers(w *World) *drivers {
	d := &drivers{w: w, line: w.newLine("drivers"), visits: map[orders.RequestKey]*visit{}, requests: map[charge.Username]int{}}
	w.kafka.eachPartition(func() bool { return true }, func(n int, _ bool) {
		w.kafka.read(d.line, partition{wire.TopicCentralEvents, n}, fromFirst, d.receive)
	})
	return d
}

// receive handles events of Central: it checks them, and lets a driver with a
// granted request drive to the charging point.
func (d *drivers) receive(b batch, done func(bool)) {
	for i := range b.messages {
		e, err := wire.DecodeCentralEvent(b.messages[i].value)
		if err != nil {
			d.w.violated("shell", "an event of Central cannot be decoded: %v", err)
			break
		}
		// Tickets and answers are checked even if no visit waits for them.
		if e.EventType == wire.CentralTicket {
			d.w.checkPublishedTicket(&e)
		}
		if e.EventType == wire.CentralAuthorization {
			d.w.checkAnswer(&e)
		}
		if v := d.visits[orders.RequestKey{Username: e.Username, MessageID: e.MessageID}]; v != nil && e.EventType == wire.CentralAuthorization && !v.answered {
			v.answered = true
			d.w.stats.Answers++
			if e.Authorized != nil && *e.Authorized {
				d.w.stats.Granted++
				v.drive(&e)
			}
		}
	}
	done(true)
}

// startVisit starts a visit. Some drivers click several times at once, and some
// requests are repeated much later, as by a client that was offline.
func (w *World) startVisit(s Step) {
	v := &visit{w: w, rng: newRandom(w.plan.Seed, fmt.Sprint("visit ", s.At)), user: charge.Username(fmt.Sprint("driver", s.Target))}
	w.drivers.requests[v.user]++
	v.id = fmt.Sprint("m", w.drivers.requests[v.user])
	if s.N >= 0 && s.N < len(w.agents) {
		v.cp = &w.agents[s.N].id
	}
	w.drivers.visits[orders.RequestKey{Username: v.user, MessageID: v.id}] = v
	w.stats.Visits++
	v.authorize()
	for range v.rng.IntN(3) {
		w.after(v.rng.between(span{0, 2 * time.Second}), "click", v.authorize)
	}
	if v.rng.IntN(4) == 0 {
		w.after(v.rng.between(span{time.Minute, 30 * time.Minute}), "late repeat", func() { v.request(wire.DriverAuthorization, v.id, v.cp) })
	}
}

// request publishes a request of the driver, with the time of the driver's clock.
func (v *visit) request(t wire.DriverEventType, id string, cp *charge.CPID) {
	m := wire.DriverRequest{
		MessageID: id, EventType: t, Username: v.user, CPID: cp, ClientID: "c", Timestamp: v.w.drivers.clock(v.user),
	}
	raw, err := m.Encode()
	if err != nil {
		v.w.violated("shell", "request cannot be encoded: %v", err)
		return
	}
	v.w.drivers.produce(string(v.user), raw, 5)
}

// produce writes to the topic of drivers, and retries a few times.
func (d *drivers) produce(key string, raw []byte, tries int) {
	d.line.call("driver request", func() bool {
		d.w.kafka.append(wire.TopicDriverEvents, message{key: key, value: raw, receivedAt: d.w.wall()})
		return true
	}, func(ok bool) {
		if !ok && tries > 1 {
			d.w.kafka.retry(d.line.rng, func() { d.produce(key, raw, tries-1) })
		}
	})
}

// authorize requests a connector, and repeats the request with the same id until
// it is answered, at most four times.
func (v *visit) authorize() {
	if v.answered || v.tries > 4 {
		return
	}
	v.tries++
	v.request(wire.DriverAuthorization, v.id, v.cp)
	v.w.after(8*time.Second, "repeat request", v.authorize)
}

// drive lets the driver arrive at the connector that is reserved, plug in, and
// report it; sometimes exactly when the reservation expires, and sometimes the
// report comes before the plug.
func (v *visit) drive(e *wire.CentralEvent) {
	if v.w.byzantineOf(e.CPID) != nil { // its connectors exist only in its records
		return
	}
	a := v.w.agentOf(e.CPID)
	if a == nil || e.Connector < 1 || int(e.Connector) > len(a.outlets) {
		v.w.violated("shell", "an answer names the unknown connector %s/%d", e.CPID, e.Connector)
		return
	}
	// The reservation may have expired by then: its duration is drawn too.
	arrives := v.rng.between(span{time.Second, 3 * time.Minute})
	if e.ExpiresAt != nil && v.rng.IntN(8) == 0 {
		arrives = e.ExpiresAt.Time().Sub(v.w.wall()) + v.rng.between(span{-100 * time.Millisecond, 100 * time.Millisecond})
	}
	early := v.rng.IntN(3) == 0
	if early {
		v.w.after(v.rng.between(span{0, 5 * time.Second}), "starts before the plug", func() { v.start(a.id) })
	}
	o := a.outlets[e.Connector-1]
	v.w.after(arrives, "arrives", func() {
		if v.w.healed || !o.plug(charge.WattHours(500+v.rng.IntN(15_000)), charge.Watts(3700+v.rng.IntN(18_300))) {
			return
		}
		v.w.stats.Plugs++
		v.scheduleStay(o)
		if !early || v.rng.IntN(3) == 0 {
			v.w.after(v.rng.between(span{0, 5 * time.Second}), "starts", func() { v.start(a.id) })
		}
	})
}

// start publishes that the driver has plugged in, sometimes twice.
func (v *visit) start(cp charge.CPID) {
	// Two ids per visit at most: a second start is sometimes a repeat, and sometimes a
	// new request.
	id := v.id + ".s" + fmt.Sprint(v.rng.IntN(2))
	v.request(wire.DriverStarted, id, &cp)
	if v.rng.IntN(3) == 0 {
		v.w.after(v.rng.between(span{0, time.Second}), "click", func() { v.request(wire.DriverStarted, id, &cp) })
	}
}

// scheduleStay plans what happens between plug and unplug: pauses of the vehicle, a
// stop by request or button, and the departure, which may come within seconds.
func (v *visit) scheduleStay(o *outlet) {
	n := o.vehicleGen
	// The vehicle may have left by then, or an operator unplugged it.
	here := func(do func()) func() {
		return func() {
			if o.vehicleGen == n && o.plugged {
				do()
			}
		}
	}
	long := v.rng.between(span{time.Minute, 35 * time.Minute})
	if v.rng.IntN(10) == 0 {
		long = v.rng.between(span{0, 3 * time.Second})
	}
	for range v.rng.IntN(3) {
		at := v.rng.between(span{0, long})
		v.w.after(at, "vehicle pauses", here(func() { o.setPaused(true) }))
		v.w.after(at+v.rng.between(span{time.Second, 3 * time.Minute}), "vehicle goes on", here(func() { o.setPaused(false) }))
	}
	switch v.rng.IntN(4) {
	case 0:
		v.w.after(long*2/3, "stop request", here(func() { v.request(wire.DriverStop, v.id+".e", &o.agent.id) }))
	case 2: // refused: the id is that of another request
		v.w.after(long/3, "stop request", here(func() { v.request(wire.DriverStop, v.id, &o.agent.id) }))
	case 1:
		v.w.after(long*2/3, "stop button", here(func() { o.press() }))
	}
	v.w.after(long, "leaves", here(o.unplug))
}

// press presses the stop button of the connector.
func (o *outlet) press() {
	if b := o.agent.run; b != nil && b.ready {
		b.step(point.LocalStop{Connector: o.id})
	}
}
