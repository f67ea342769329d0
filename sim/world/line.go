package world

import "time"

// The two directions of a line: from the component to the server, and back.
const (
	up = iota
	down
)

// lineTimeout is how long a direction may be cut before both ends consider the
// connection broken, as keep-alives do in the product.
const lineTimeout = 45 * time.Second

// line is the network path between a component and a server (MQTT or Kafka). It
// keeps the order of messages unless it reorders. Messages in flight while a
// direction is cut wait, and arrive when it is healed, as TCP retransmits them.
type line struct {
	w     *World
	rng   random
	name  string
	delay span // of each message

	drop, duplicate, reorder int // messages affected, per thousand

	cut [2]bool // by direction
	// Incremented with each change of cut: an older timeout sees that it is obsolete.
	cutGen int
	// When a direction was last cut or healed.
	changedAt time.Duration
	// Messages that wait for a cut direction.
	delayed     [2][]func()
	lastArrival [2]time.Duration
	// Called when both ends consider the connection broken; may be nil.
	onBroken func()
}

// newLine creates a healthy line; the name seeds its random source.
func (w *World) newLine(name string) *line {
	return &line{w: w, rng: newRandom(w.plan.Seed, "line "+name), name: name, delay: span{2 * time.Millisecond, 40 * time.Millisecond}}
}

// transmit carries a message, which may be lost, duplicated or reordered.
func (l *line) transmit(dir int, tag string, do func()) {
	if l.rng.permille(l.drop) {
		l.w.stats.Lost++
		return
	}
	n := 1
	if l.rng.permille(l.duplicate) {
		l.w.stats.Duplicated++
		n = 2
	}
	for range n {
		if l.rng.permille(l.reorder) {
			// A reordered message leaves the order of the line altogether.
			l.w.stats.Reordered++
			l.w.after(l.rng.between(span{0, 20 * time.Second}), tag, func() { l.arrive(dir, do) })
		} else {
			l.transmitInOrder(dir, tag, do)
		}
	}
}

// transmitInOrder carries a message that TCP itself protects within a connection:
// it is not lost, duplicated or overtaken unless the connection breaks.
func (l *line) transmitInOrder(dir int, tag string, do func()) {
	// No message arrives before an earlier one of the same direction.
	l.lastArrival[dir] = max(l.w.now+l.rng.between(l.delay), l.lastArrival[dir])
	l.w.at(l.lastArrival[dir], tag, func() { l.arrive(dir, do) })
}

// arrive runs at the receiving end, unless the direction is cut by then.
func (l *line) arrive(dir int, do func()) {
	if l.cut[dir] {
		l.delayed[dir] = append(l.delayed[dir], do)
		return
	}
	do()
}

// setCut cuts or heals a direction. Messages that waited arrive at once.
func (l *line) setCut(dir int, on bool) {
	if l.cut[dir] == on {
		return
	}
	l.cut[dir] = on
	l.cutGen++
	l.changedAt = l.w.now
	if on {
		// The line breaks if this direction is still cut, or any direction is cut again
		// by then.
		n := l.cutGen
		l.w.after(lineTimeout, "line timeout", func() {
			if l.cutGen == n || l.cut[up] || l.cut[down] {
				l.abandon()
			}
		})
		return
	}
	held := l.delayed[dir]
	l.delayed[dir] = nil
	for _, do := range held {
		l.w.after(0, "line healed", do)
	}
}

// carriedFor reports whether both directions have been healthy for longer than d.
func (l *line) carriedFor(d time.Duration) bool {
	return !l.cut[up] && !l.cut[down] && l.w.now-l.changedAt > d
}

// abandon drops the messages in flight: the connection is broken.
func (l *line) abandon() {
	l.delayed = [2][]func(){}
	if l.onBroken != nil {
		l.onBroken()
	}
}

// call sends a request to Kafka and delivers the response. ok is false when no
// response came; then the request may have been executed all the same, as with
// every network call.
func (l *line) call(tag string, do func() bool, reply func(ok bool)) {
	l.w.after(l.rng.between(l.delay), tag, func() {
		k := l.w.kafka
		switch {
		case l.cut[up]:
			l.w.after(10*time.Second, tag, func() { reply(false) })
			return
		case !k.up:
			l.w.after(100*time.Millisecond, tag, func() { reply(false) })
			return
		}
		// The request is executed even if the response gets lost below.
		ok := do()
		if l.cut[down] || l.rng.permille(l.drop) {
			l.w.stats.Unanswered++
			l.w.after(10*time.Second, tag, func() { reply(false) })
			return
		}
		l.w.after(l.rng.between(l.delay), tag, func() { reply(ok) })
	})
}
