package lease_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/bridge/lease"
	"github.com/carga-ev/carga/internal/charge"
)

// member is a bridge of the model. One broker keeps the connection of the one that
// connected last; one log has the heartbeats in order.
type member struct {
	*lease.State
	name    string
	read    int  // how far it has read the log
	frozen  bool // it does nothing
	cut     bool // it does not reach Kafka: its heartbeats wait
	noMQTT  bool // it does not reach MQTT
	wanted  bool // its link asks for an attempt
	pending []lease.Beat
}

type model struct {
	log       []lease.Beat
	members   []*member
	runs      int
	connected *member
	connects  int
}

func (m *model) start(name string) *member {
	m.runs++
	return &member{State: lease.New(name, charge.Time(m.runs)), name: name, read: len(m.log), wanted: true}
}

func newModel(names ...string) *model {
	m := &model{}
	for _, name := range names {
		m.members = append(m.members, m.start(name))
	}
	return m
}

// send sends a heartbeat, which waits while Kafka cannot be reached: then the last
// one is enough.
func (m *model) send(b *member) {
	beat := b.Beat()
	if b.cut {
		b.pending = []lease.Beat{beat}
		return
	}
	m.log = append(append(m.log, b.pending...), beat)
	b.pending = nil
}

// work lets a bridge read what is in the log, and connect if it may.
func (m *model) work(b *member) {
	for again := true; again; {
		again = false
		for !b.cut && b.read < len(m.log) {
			beat := m.log[b.read]
			b.read++
			if b.Read(beat) {
				m.send(b)
			}
		}
		if m.connected == b && b.Role() != lease.Active { // it leaves
			m.connected = nil
			b.Connected(false)
			b.wanted = true
		}
		if b.wanted {
			permitted, send := b.Attempt()
			if send {
				m.send(b)
				again = true
			}
			if permitted && !b.noMQTT {
				m.connect(b)
			}
		}
		again = again && !b.cut
	}
}

func (m *model) connect(b *member) {
	m.connects++
	if old := m.connected; old != nil && old != b && !old.frozen {
		old.Connected(false)
		old.wanted = true
	}
	m.connected = b
	b.wanted = false
	b.Connected(true)
}

// second lets every bridge send its heartbeat and do its work.
func (m *model) second() {
	for _, b := range m.members {
		if b.frozen {
			continue
		}
		if m.connected != b && !b.wanted { // it learns only now that it was disconnected
			b.Connected(false)
			b.wanted = true
		}
		m.send(b)
		m.work(b)
	}
	for _, b := range m.members {
		if !b.frozen {
			m.work(b)
		}
	}
}

func (m *model) seconds(n int) {
	for range n {
		m.second()
	}
}

func (m *model) kill(i int) {
	if m.connected == m.members[i] {
		m.connected = nil
	}
	m.members[i] = m.start(m.members[i].name)
	m.members[i].frozen = true
}

// active expects that the bridge is connected and all others stand by.
func (m *model) active(t *testing.T, i int) {
	t.Helper()
	for j, b := range m.members {
		if b.frozen {
			continue
		}
		if (b.Role() == lease.Active) != (j == i) {
			t.Errorf("bridge %s has the role %d; bridge %s is to be active", b.name, b.Role(), m.members[i].name)
		}
	}
	if m.connected != m.members[i] {
		t.Errorf("bridge %s is not connected", m.members[i].name)
	}
}

func TestTheFirstIsActiveAndStaysSo(t *testing.T) {
	t.Parallel()
	m := newModel("a", "b", "c")
	m.seconds(lease.Patience + 1)
	m.active(t, 0)
	m.seconds(100)
	m.active(t, 0)
	if m.connects != 1 {
		t.Errorf("%d connections, want one", m.connects)
	}
}

// TestTheOtherContinues: when the active one dies another one takes over after Patience
// heartbeats. The dead one stands by when it is back.
func TestTheOtherContinues(t *testing.T) {
	t.Parallel()
	m := newModel("a", "b")
	m.seconds(10)
	m.kill(0)
	m.seconds(lease.Patience + 1)
	m.active(t, 1)
	m.members[0].frozen, m.members[0].read = false, len(m.log)
	m.seconds(100)
	m.active(t, 1)
	if m.connects != 2 {
		t.Errorf("%d connections, want two", m.connects)
	}
}

// TestFrozen: one that is suspended and resumed finds itself disconnected, and does
// not fight.
func TestFrozen(t *testing.T) {
	t.Parallel()
	m := newModel("a", "b")
	m.seconds(10)
	m.members[0].frozen = true
	m.seconds(10)
	m.members[0].frozen = false
	m.seconds(100)
	m.active(t, 1)
	if m.connects != 2 {
		t.Errorf("%d connections, want two", m.connects)
	}
}

// TestCutOffFromKafka: one that is disconnected and does not reach Kafka does not
// connect again.
func TestCutOffFromKafka(t *testing.T) {
	t.Parallel()
	m := newModel("a", "b")
	m.seconds(10)
	m.members[0].cut = true
	m.seconds(100)
	m.active(t, 1)
	m.members[0].cut = false
	m.seconds(100)
	m.active(t, 1)
	if m.connects != 2 {
		t.Errorf("%d connections, want two", m.connects)
	}
}

// TestCutOffFromMQTT: one that does not reach MQTT lets another one try.
func TestCutOffFromMQTT(t *testing.T) {
	t.Parallel()
	m := newModel("a", "b")
	m.seconds(10)
	m.members[0].noMQTT, m.connected = true, nil
	m.seconds(lease.Idle + 2*lease.Patience)
	m.active(t, 1)
	m.members[0].noMQTT = false
	m.seconds(100)
	m.active(t, 1)
}

// TestKafkaIsAway for all of them: that is no reason to take over.
func TestKafkaIsAway(t *testing.T) {
	t.Parallel()
	m := newModel("a", "b")
	m.seconds(10)
	for _, b := range m.members {
		b.cut = true
	}
	m.seconds(100)
	for _, b := range m.members {
		b.cut = false
	}
	m.seconds(100)
	m.active(t, 0)
	if m.connects != 1 {
		t.Errorf("%d connections, want one", m.connects)
	}
}

// TestOneIsActiveInTheEnd: whatever fails, once nothing fails any more one bridge
// soon is connected, and stays so.
func TestOneIsActiveInTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "bridges")]
		m := newModel(names...)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(m.members)-1).Draw(t, "bridge")
			b := m.members[i]
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				m.kill(i)
			case 1:
				b.frozen = !b.frozen
			case 2:
				b.cut = !b.cut
			case 3:
				b.noMQTT = !b.noMQTT
				if m.connected == b {
					m.connected = nil
				}
			case 4:
				m.connected = nil // the broker restarts
			case 5: // some bridges are slower than others
				if !b.frozen {
					m.send(b)
				}
			case 6:
				if !b.frozen {
					m.work(b)
				}
			default:
				m.second()
			}
		}
		for _, b := range m.members {
			b.frozen, b.cut, b.noMQTT = false, false, false
		}
		m.seconds(2*lease.Idle + 4*lease.Patience)
		before, active := m.connects, m.connected
		m.seconds(50)
		var roles []string
		n := 0
		for _, b := range m.members {
			roles = append(roles, fmt.Sprint(b.Role()))
			if b.Role() == lease.Active {
				n++
			}
		}
		if active == nil || m.connected != active || m.connects != before || n != 1 || !slices.Contains(m.members, active) {
			t.Fatalf("roles %v, %d connections became %d", roles, before, m.connects)
		}
	})
}
