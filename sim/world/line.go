package world

import "time"

// The two directions of a line: from the part that calls, and back.
const (
	up = iota
	down
)

// gone is how long a line may carry nothing before both ends give it up.
const gone = 45 * time.Second

// line is the way between a part and a server. In order unless it reorders;
// what is under way while a direction is cut waits there.
type line struct {
	w     *World
	c     chance
	name  string
	delay span

	drop, double, reorder int // per thousand messages

	cut    [2]bool
	cuts   int           // changes of cut, so that an older stall is told
	turned time.Duration // when a direction was cut or healed last
	held   [2][]func()
	last   [2]time.Duration
	broken func() // both ends give up
}

func (w *World) newLine(name string) *line {
	return &line{w: w, c: newChance(w.plan.Seed, "line "+name), name: name, delay: span{2 * time.Millisecond, 40 * time.Millisecond}}
}

// pass carries a message.
func (l *line) pass(dir int, tag string, do func()) {
	if l.c.permille(l.drop) {
		l.w.stats.Lost++
		return
	}
	n := 1
	if l.c.permille(l.double) {
		l.w.stats.Doubled++
		n = 2
	}
	for range n {
		if l.c.permille(l.reorder) {
			l.w.stats.Reordered++
			l.w.after(l.c.in(span{0, 20 * time.Second}), tag, func() { l.arrive(dir, do) })
		} else {
			l.carry(dir, tag, do)
		}
	}
}

// carry carries something in order, unless the line is given up: what the
// connection itself says is not lost on it.
func (l *line) carry(dir int, tag string, do func()) {
	l.last[dir] = max(l.w.now+l.c.in(l.delay), l.last[dir])
	l.w.at(l.last[dir], tag, func() { l.arrive(dir, do) })
}

func (l *line) arrive(dir int, do func()) {
	if l.cut[dir] {
		l.held[dir] = append(l.held[dir], do)
		return
	}
	do()
}

// clog cuts a direction, or heals it; what waited then arrives at once.
func (l *line) clog(dir int, on bool) {
	if l.cut[dir] == on {
		return
	}
	l.cut[dir] = on
	l.cuts++
	l.turned = l.w.now
	if on {
		n := l.cuts
		l.w.after(gone, "line gone", func() {
			if l.cuts == n || l.cut[up] || l.cut[down] {
				l.giveUp()
			}
		})
		return
	}
	held := l.held[dir]
	l.held[dir] = nil
	for _, do := range held {
		l.w.after(0, "line healed", do)
	}
}

// whole reports whether the line has carried for so long, both ways.
func (l *line) whole(d time.Duration) bool {
	return !l.cut[up] && !l.cut[down] && l.w.now-l.turned > d
}

// giveUp drops what was under way: the connection is no more.
func (l *line) giveUp() {
	l.held = [2][]func(){}
	if l.broken != nil {
		l.broken()
	}
}

// call asks Kafka and brings the answer. ok is false when none came; what was
// asked may have been done all the same.
func (l *line) call(tag string, do func() bool, reply func(ok bool)) {
	l.w.after(l.c.in(l.delay), tag, func() {
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
		if l.cut[down] || l.c.permille(l.drop) {
			l.w.stats.Unanswered++
			l.w.after(10*time.Second, tag, func() { reply(false) })
			return
		}
		l.w.after(l.c.in(l.delay), tag, func() { reply(ok) })
	})
}
