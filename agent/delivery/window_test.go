package delivery_test

import (
	"slices"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
)

// line is an agent with n records of one journal and the time of its events.
type line struct {
	t    *testing.T
	s    delivery.State
	now  time.Duration
	held delivery.Held
}

func newLine(t *testing.T, n charge.Seq) *line {
	t.Helper()
	l := &line{t: t}
	l.held = delivery.Held{Present: "A", Ranges: []delivery.Range{{Journal: "A", First: 1, Last: n, Index: 1}}}
	l.step(delivery.Booted{Held: l.held})
	return l
}

func (l *line) step(e delivery.Event) []delivery.Effect {
	l.t.Helper()
	s, effects := delivery.Step(l.s, e)
	l.s = s
	if l.s.InFlight() > delivery.MaxWindow || l.s.Next <= l.s.Acked || l.s.Next > l.s.End+1 {
		l.t.Fatalf("acked %d next %d end %d breaks the window", l.s.Acked, l.s.Next, l.s.End)
	}
	return effects
}

// sent lists what an event sends.
func (l *line) sent(e delivery.Event) []delivery.Index {
	l.t.Helper()
	var out []delivery.Index
	for _, f := range l.step(e) {
		if s, ok := f.(delivery.Send); ok {
			for i := s.First; i <= s.Last; i++ {
				out = append(out, i)
			}
		}
	}
	return out
}

func (l *line) at() delivery.Now { return delivery.Now{At: l.now} }

func (l *line) ack(seq charge.Seq) delivery.Event {
	return delivery.AckReceived{Now: l.at(), Ack: ack(epoch(1), "A", seq), Held: l.held, Live: true}
}

func (l *line) append(n charge.Seq) delivery.Event {
	l.held.Ranges = slices.Clone(l.held.Ranges)
	l.held.Ranges[0].Last += n
	return delivery.Appended{Now: l.at(), End: l.held.Last()}
}

func (l *line) want(what string, got []delivery.Index, first, last delivery.Index) {
	l.t.Helper()
	var want []delivery.Index
	for i := first; i <= last && last > 0; i++ {
		want = append(want, i)
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("%s: sent %v, want %d to %d", what, got, first, last)
	}
}

func TestTheWindowGrowsWithProgress(t *testing.T) {
	l := newLine(t, 500)
	l.want("a connection begins with one", l.sent(delivery.Connected{}), 1, 1)
	l.want("then two", l.sent(l.ack(1)), 2, 3)
	l.want("then four", l.sent(l.ack(3)), 4, 7)
	l.want("an acknowledgement in the middle", l.sent(l.ack(5)), 8, 11)
	for acked := charge.Seq(11); l.s.Window < delivery.MaxWindow; acked = charge.Seq(l.s.Next) - 1 {
		l.step(l.ack(acked))
	}
	if l.s.InFlight() != delivery.MaxWindow {
		t.Errorf("%d are under way, want the whole window", l.s.InFlight())
	}
	if got := l.sent(delivery.Confirmed{}); got != nil {
		t.Errorf("a PUBACK sent %v: it must not open the window", got)
	}
}

func TestTheProbeIsAloneAndWaitsLonger(t *testing.T) {
	l := newLine(t, 10)
	l.step(delivery.Connected{})
	l.step(l.ack(1))
	l.step(l.append(100))
	for _, seconds := range []int{5, 10, 20, 40, 60, 60} {
		wait := time.Duration(seconds) * time.Second
		deadline := l.s.Deadline - l.now
		if deadline > wait || deadline < wait*4/5 {
			t.Errorf("the probe waits %s, want %s less at most a fifth", deadline, wait)
		}
		l.now = l.s.Deadline - 1
		if got := l.sent(delivery.TimerFired{Now: l.at()}); got != nil {
			t.Errorf("a timer before its time sent %v", got)
		}
		l.now++
		l.want("a probe", l.sent(delivery.TimerFired{Now: l.at()}), 2, 2)
		l.want("a new record meanwhile", l.sent(l.append(1)), 0, 0)
	}
	l.want("progress", l.sent(l.ack(2)), 3, 4)
	if d := l.s.Deadline - l.now; d > delivery.ProbeAfter {
		t.Errorf("after progress the probe waits %s, want %s at most", d, delivery.ProbeAfter)
	}
}

func TestNothingUnderWayIsNotProbed(t *testing.T) {
	l := newLine(t, 1)
	l.step(delivery.Connected{})
	effects := l.step(l.ack(1))
	if timer := location[delivery.SetTimer](effects); timer == nil || timer.At != l.s.ReconnectAt {
		t.Errorf("effects are %v, want the timer set to the end of our patience", effects)
	}
	if effects := l.step(delivery.TimerFired{Now: delivery.Now{At: time.Minute}}); effects != nil {
		t.Errorf("a stale timer did %v", effects)
	}
	l.want("a new record", l.sent(l.append(1)), 2, 2)
}

// TestASilentConnectionIsReplaced: a broker may lose a subscription and keep the
// connection. Each further silence may last longer, until an acknowledgement
// comes live; one that the broker had kept does not count.
func TestASilentConnectionIsReplaced(t *testing.T) {
	l := newLine(t, 1)
	connect := func() {
		l.step(delivery.Disconnected{})
		l.step(delivery.Connected{Now: l.at()})
		l.step(delivery.AckReceived{Now: l.at(), Ack: ack(epoch(1), "A", 1), Held: l.held})
	}
	silent := func(minutes int) {
		t.Helper()
		wait := time.Duration(minutes) * time.Minute
		if d := l.s.ReconnectAt - l.now; d > wait || d < wait*4/5 {
			t.Errorf("silence is borne for %s, want %s less at most a fifth", d, wait)
		}
		l.now = l.s.ReconnectAt - 1
		if effects := l.step(delivery.TimerFired{Now: l.at()}); location[delivery.Reconnect](effects) != nil {
			t.Errorf("left too early: %v", effects)
		}
		l.now++
		if effects := l.step(delivery.TimerFired{Now: l.at()}); location[delivery.Reconnect](effects) == nil {
			t.Errorf("effects are %v, want the connection left", effects)
		}
	}
	for _, minutes := range []int{11, 22, 44, 60, 60} {
		connect()
		silent(minutes)
	}
	connect()
	l.step(l.ack(1))
	silent(11)
	if l.s.Counts.Reconnects != 6 {
		t.Errorf("%d connections were left, want 6", l.s.Counts.Reconnects)
	}
	l.step(delivery.Disconnected{})
	l.now += 2 * time.Hour
	if effects := l.step(delivery.TimerFired{Now: l.at()}); effects != nil {
		t.Errorf("without a connection the timer did %v", effects)
	}
}

func TestAConnectionStartsWithWindowOne(t *testing.T) {
	l := newLine(t, 100)
	l.step(delivery.Connected{})
	l.step(l.ack(1))
	l.step(l.ack(3))
	l.step(delivery.Disconnected{})
	l.want("no connection", l.sent(l.append(5)), 0, 0)
	if l.s.Timer() != 0 {
		t.Error("a timer runs without a connection")
	}
	l.want("the next connection", l.sent(delivery.Connected{Now: l.at()}), 4, 4)
}

func TestGoingBackSendsAgain(t *testing.T) {
	l := newLine(t, 20)
	l.step(delivery.Connected{})
	for seq := charge.Seq(1); l.s.Unacked() > 0; seq = charge.Seq(l.s.Next - 1) {
		l.step(l.ack(seq))
	}
	back := delivery.AckReceived{Now: l.at(), Ack: ack(epoch(2), "A", 5), Held: l.held}
	l.want("Central came from a backup", l.sent(back), 6, 6)
	if l.s.Counts.AcksBack != 1 {
		t.Errorf("counted %+v, want one step back", l.s.Counts)
	}
	l.want("acks of an earlier epoch are ignored", l.sent(l.ack(20)), 0, 0)
}

func TestSilenceOfCentralIsAnAlarm(t *testing.T) {
	l := newLine(t, 5)
	l.step(delivery.Connected{})
	if l.s.Alarm(time.Hour) != "" {
		t.Error("an alarm before anything was confirmed")
	}
	l.step(delivery.Confirmed{Now: l.at()})
	l.now = 10 * time.Second
	l.step(delivery.Confirmed{Now: l.at()})
	if l.s.Alarm(delivery.SilentAfter-1) != "" {
		t.Error("an alarm too early")
	}
	if l.s.Alarm(delivery.SilentAfter) == "" {
		t.Error("no alarm: confirmed for a minute, and Central is silent")
	}
	l.step(l.ack(1))
	if got := l.s.Alarm(time.Hour); got != "" {
		t.Errorf("an alarm although Central answered: %s", got)
	}
}

// TestTheAlarmOutlastsAReplacedConnection: replacing a silent connection is our own
// doing and is no sign of Central, nor is what the broker had kept.
func TestTheAlarmOutlastsAReplacedConnection(t *testing.T) {
	l := newLine(t, 2)
	l.step(delivery.Connected{})
	l.step(l.ack(1))
	l.step(delivery.Confirmed{Now: l.at()})
	l.now = l.s.ReconnectAt
	l.step(delivery.TimerFired{Now: l.at()})
	for _, e := range []delivery.Event{
		delivery.Disconnected{},
		delivery.Connected{Now: l.at()},
		delivery.AckReceived{Now: l.at(), Ack: ack(epoch(1), "A", 1), Held: l.held},
	} {
		l.step(e)
		if l.s.Alarm(l.now) == "" {
			t.Errorf("no alarm after %T", e)
		}
	}
	l.step(delivery.Disconnected{})
	l.step(delivery.Connected{Now: l.at()})
	if a := l.s.Alarm(l.now); a != "" {
		t.Errorf("a connection that was lost keeps the alarm: %s", a)
	}
}

// TestWhatIsDeletedIsNotAskedFor: the position moved back, and meanwhile the disk
// deleted what the older one allowed.
func TestWhatIsDeletedIsNotAskedFor(t *testing.T) {
	journal := charge.JournalID("j")
	held := delivery.Held{Present: journal, Ranges: []delivery.Range{{Journal: journal, First: 1, Last: 9, Index: 1}}}
	s, _ := delivery.Step(delivery.State{}, delivery.Booted{Held: held})
	s, _ = delivery.Step(s, delivery.Connected{})
	s, _ = delivery.Step(s, delivery.Appended{First: 6, End: 9})
	if s.Acked != 5 || s.Next <= s.Acked {
		t.Fatalf("acknowledged %d, next %d; want 5, behind it", s.Acked, s.Next)
	}
	s, _ = delivery.Step(s, delivery.Appended{End: 12})
	if s.Acked != 5 || s.End != 12 {
		t.Errorf("acknowledged %d of %d", s.Acked, s.End)
	}
}
