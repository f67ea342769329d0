package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/chaos"
)

// pair is a site with two bridges that share their MQTT session.
type pair struct {
	*site
	Active, Standby *chaos.Process
}

// newPair starts both bridges and waits until one is active.
func newPair(t *testing.T, name string, broker *chaos.Broker, active, standby *chaos.Link) *pair {
	t.Helper()
	s := &pair{site: newSite(t, name, broker, 8)}
	s.Active = s.bridge("first", active.Addr, "MQTT__SHARED", "true")
	s.Standby = s.bridge("second", standby.Addr, "MQTT__SHARED", "true")
	s.start(s.Active)
	s.countLogged(s.Active, "connected to MQTT", 1)
	s.start(s.Standby)
	return s
}

// lines counts the lines of a bridge's log with a text.
func (s *pair) lines(p *chaos.Process, text string) int {
	s.Helper()
	raw, err := os.ReadFile(p.Log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
	return bytes.Count(raw, []byte(text))
}

// countLogged waits until a bridge has logged a text so many times.
func (s *pair) countLogged(p *chaos.Process, text string, n int) {
	s.Helper()
	await(s.T, p.Name+" logs "+text, func(context.Context) error {
		if got := s.lines(p, text); got < n {
			return fmt.Errorf("%d times, want %d", got, n)
		}
		return nil
	})
}

// continuesWithin bounds a take-over in a test on a slow machine. It takes 2 to 4 s.
const continuesWithin = 15 * time.Second

// otherContinues ends the active bridge by fail, which returns when it had ended, waits
// until the other one has its work, and lets them change their places.
func (s *pair) otherContinues(fail func() (time.Time, error)) {
	s.Helper()
	before := s.lines(s.Standby, "connected to MQTT")
	at, err := fail()
	s.must(err)
	s.countLogged(s.Standby, "connected to MQTT", before+1)
	connected := time.Since(at)
	s.more(1)
	if took := time.Since(at); took > continuesWithin {
		s.Errorf("the other bridge took over after %v", took)
	} else {
		s.Logf("the other bridge is connected after %v, every charging point has an event in Kafka after %v",
			connected.Round(10*time.Millisecond), took.Round(10*time.Millisecond))
	}
	s.Active, s.Standby = s.Standby, s.Active
}

// connects is how many connections both have had.
func (s *pair) connects() int {
	return s.lines(s.Active, "connected to MQTT") + s.lines(s.Standby, "connected to MQTT")
}

// quiet expects that no bridge connects while many events flow.
func (s *pair) quiet() {
	s.Helper()
	before := s.connects()
	s.more(60)
	if after := s.connects(); after != before {
		s.Errorf("%d connections became %d", before, after)
	}
}

// TestStandby: of two bridges with one client id one is active. When it is killed,
// suspended or cut off from Kafka, the other one takes over its session within
// seconds; when it is back it stands by, and they do not disconnect each other in
// turn. No event is lost, and the order holds throughout.
func TestStandby(t *testing.T) {
	programs(t)
	rows := []struct {
		name string
		do   func(s *pair, active, standby *chaos.Link)
	}{
		{"killed", func(s *pair, _, _ *chaos.Link) {
			for range 2 { // there and back
				s.otherContinues(s.Active.Kill)
				s.start(s.Standby)
				s.quiet()
			}
		}},
		{"suspended", func(s *pair, _, _ *chaos.Link) {
			s.otherContinues(s.Active.Freeze)
			s.must(s.Standby.Thaw())
			s.quiet()
		}},
		{"cut off from Kafka", func(s *pair, active, _ *chaos.Link) {
			s.otherContinues(func() (time.Time, error) { return time.Now(), active.Silence() })
			s.quiet()
			s.must(active.Restore(s.Context()))
			s.quiet()
		}},
		{"Mosquitto is killed", func(s *pair, _, _ *chaos.Link) {
			s.kill(s.MQTT)
			s.start(s.MQTT)
			s.more(1)
			s.quiet()
		}},
	}
	kafka := newBroker(t, apache(t), 2*len(rows))
	var running sync.WaitGroup
	defer running.Wait()
	for i, row := range rows {
		running.Go(func() { // not t.Parallel: see TestBridgeFaults
			t.Run(row.name, func(t *testing.T) {
				active, standby := kafka.Links[2*i], kafka.Links[2*i+1]
				s := newPair(t, fmt.Sprintf("s%d", i), kafka, active, standby)
				s.must(s.MQTT.Stop(limit)) // it writes down the session
				s.start(s.MQTT)
				stop := s.flow()
				s.more(10)
				s.quiet()
				row.do(s, active, standby)
				stop()
				s.drained()
				last, a := s.last(), s.log()
				for _, f := range a.faults(last) {
					t.Error(f)
				}
				t.Logf("%d records, %d repeats, %d connections", a.records, a.repeats, s.connects())
			})
		})
	}
}
