package world

import "time"

// The two directions of a line: from the part that calls, and back.
const (
	up = iota
	down
)

// lineTimeout is how long a line may carry nothing before both ends give it up.
const lineTimeout = 45 * time.Second

// line is the way between a part and a server. In order unless it reorders;
// what is under way while a direction is cut waits there.
type line struct {
	w     *World
	rng   random
	name  string
	delay span

	drop, duplicate, reorder int // per thousand messages

	cut         [2]bool
	cutGen      int           // changes of cut, so that an older stall is told
	changedAt   time.Duration // when a direction was cut or healed last
	delayed     [2][]func()
	lastArrival [2]time.Duration
	onBroken    func() // both ends give up
}

func (w *World) newLine(name string) *line {
	return &line{w: w, rng: newRandom(w.plan.Seed, "line "+name), name: name, delay: span{2 * time.Millisecond, 40 * time.Millisecond}}
}

// transmit carries a message.
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
			l.w.stats.Reordered++
			l.w.after(l.rng.between(span{0, 20 * time.Second}), tag, func() { l.arrive(dir, do) })
		} else {
			l.transmitInOrder(dir, tag, do)
		}
	}
}

// transmitInOrder carries something in order, unless the line is given up: what the
// connection itself says is not lost on it.
func (l *line) transmitInOrder(dir int, tag string, do func()) {
	l.lastArrival[dir] = max(l.w.now+l.rng.between(l.delay), l.lastArrival[dir])
	l.w.at(l.lastArrival[dir], tag, func() { l.arrive(dir, do) })
}

func (l *line) arrive(dir int, do func()) {
	if l.cut[dir] {
		l.delayed[dir] = append(l.delayed[dir], do)
		return
	}
	do()
}

// setCut cuts a direction, or heals it; what waited then arrives at once.
func (l *line) setCut(dir int, on bool) {
	if l.cut[dir] == on {
		return
	}
	l.cut[dir] = on
	l.cutGen++
	l.changedAt = l.w.now
	if on {
		n := l.cutGen
		l.w.after(lineTimeout, "line gone", func() {
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

// carriedFor reports whether the line has carried for so long, both ways.
func (l *line) carriedFor(d time.Duration) bool {
	return !l.cut[up] && !l.cut[down] && l.w.now-l.changedAt > d
}

// abandon drops what was under way: the connection is no more.
func (l *line) abandon() {
	l.delayed = [2][]func(){}
	if l.onBroken != nil {
		l.onBroken()
	}
}

// call asks Kafka and brings the answer. ok is false when none came; what was
// asked may have been done all the same.
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
		ok := do()
		if l.cut[down] || l.rng.permille(l.drop) {
			l.w.stats.Unanswered++
			l.w.after(10*time.Second, tag, func() { reply(false) })
			return
		}
		l.w.after(l.rng.between(l.delay), tag, func() { reply(ok) })
	})
}
