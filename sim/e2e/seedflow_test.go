package e2e_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
)

// These tests are the failure for which this project was started, and the rest
// of its family: a driver and Central that began before Kafka never spoke again,
// and a charging point stayed reserved for ever. In each one there is a
// reservation whose driver has not come yet, and another driver whose request
// waits; and a watch looks each second that nothing is reserved past its end.

// scene is a network in which something is about to happen.
type scene struct {
	*world
	client  *driver.Client
	held    *point                // reserved for anna, who comes when she is let
	busy    *point                // where carl may charge
	free    *point                // where berta will be sent
	anna    <-chan driver.Outcome // waits for her ticket
	berta   <-chan driver.Outcome // asks meanwhile
	carl    <-chan driver.Outcome // nil: he does not charge
	tickets int64
}

// scenes runs f in a network that ran well, and in which anna holds a
// reservation.
func scenes(t *testing.T, f func(*scene)) {
	t.Helper()
	p := plan{points: 3, vehicle: vehicle{takes: 3000, power: 20_000}}
	inWorld(t, p, func(w *world) {
		w.start(allParts()...)
		w.watchInvariants()
		s := &scene{world: w, client: w.client(), held: w.points[0], busy: w.points[1], free: w.points[2]}
		s.held.driverDelayed.Store(true)
		s.anna = w.drive(s.client, driverPlan{username: "anna", cp: s.held.id})
		w.await(healTimeout, "anna has her reservation", func() bool { return s.held.shown().Status == charge.StatusReserved })
		s.tickets = 1
		f(s)
	})
}

// requestForBerta lets berta ask for any charging point.
func (s *scene) requestForBerta() {
	s.t.Helper()
	s.berta = s.drive(s.client, driverPlan{username: "berta"})
	s.tickets++
}

// chargeCarl lets carl charge.
func (s *scene) chargeCarl() {
	s.t.Helper()
	s.carl = s.drive(s.client, driverPlan{username: "carl", cp: s.busy.id})
	s.awaitCharging(s.busy)
	s.tickets++
}

// finish lets anna come, and wants a ticket for everybody and books that
// balance.
func (s *scene) finish() {
	s.t.Helper()
	s.held.driverDelayed.Store(false)
	s.wantTicket(s.anna, time.Hour)
	s.wantTicket(s.berta, time.Hour)
	if s.carl != nil {
		s.wantTicket(s.carl, time.Hour)
	}
	s.settle()
	s.balanced(s.tickets)
}

// restartWithoutKafka ends everything and starts it again without Kafka, as after a
// power cut of the whole house.
func (s *scene) restartWithoutKafka() {
	s.t.Helper()
	s.stop("agent", "mqtt", "bridge", "central", "drivers' line")
	s.kafka.Stop()
	s.start("mqtt", "bridge", "central", "agent")
	s.run("drivers' line", s.client.Run)
}

// TestKafkaIsReady20SecondsAfterTheStart: everything flows, nothing is lost,
// nobody restarts anything.
func TestKafkaIsReady20SecondsAfterTheStart(t *testing.T) { kafkaLate(t, 20*time.Second) }

// TestKafkaIsReadyMinutesAfterTheStart: the request that was made meanwhile is
// kept and answered.
func TestKafkaIsReadyMinutesAfterTheStart(t *testing.T) { kafkaLate(t, 6*time.Minute) }

func kafkaLate(t *testing.T, late time.Duration) {
	t.Helper()
	t.Parallel()
	scenes(t, func(s *scene) {
		s.restartWithoutKafka()
		s.requestForBerta()
		time.Sleep(late)
		if k := s.part("kafka"); k.State != "down" || k.Reason == "" || k.Since == 0 {
			t.Errorf("the page says of Kafka: %+v, want it down, since when and why", k)
		}
		s.start("kafka")
		s.finish()
	})
}

// TestKafkaNeverComes: who may charge without anybody's word does, its records
// are kept; pages say what is wrong and since when; the reservation ends at its
// end; the driver who asked is told that Kafka does not answer.
func TestKafkaNeverComes(t *testing.T) {
	t.Parallel()
	scenes(t, func(s *scene) {
		s.free.freeVend = true
		at := charge.At(time.Now())
		s.restartWithoutKafka()
		time.Sleep(5 * time.Second) // until the agents have begun
		steps := make(chan driver.Step, 100)
		refused := s.drive(s.client, driverPlan{username: "berta", deadline: 10 * time.Minute, onStep: func(d driver.Step) { steps <- d }})
		if err := s.free.board.PlugVehicle(1, s.free.vehicle(0)); err != nil {
			t.Fatal(err)
		}
		s.awaitCharging(s.free)
		if got := <-refused; got.Result != driver.Unreached {
			t.Errorf("berta's request ended in %+v, want her to be told that Kafka does not answer", got)
		}
		if step := <-steps; step.Kind != driver.StepKafkaAway || step.Since == nil || step.Reason == "" {
			t.Errorf("berta is told %+v, want since when Kafka is away and why", step)
		}
		time.Sleep(reservedFor) // anna never came
		if got := s.held.shown().Status; got != charge.StatusAvailable {
			t.Errorf("%s is %s after the end of its reservation", s.held.id, got)
		}
		if k := s.part("kafka"); k.State != "down" || k.Reason == "" || k.Since < at || k.Since > at.Add(10*time.Second) {
			t.Errorf("the page says of Kafka: %+v, want it down since %s and why", k, at)
		}
		if got := s.free.status().Unacked; got == 0 {
			t.Error("nothing waits to be said of a session that nobody heard of")
		}
		// Whenever it comes after all, all of it is there.
		s.start("kafka")
		s.settle()
		s.balanced(1)
		if got := s.ticketsByCP()[s.free.id]; len(got) != 1 {
			t.Errorf("tickets of the one who helped himself: %v", got)
		}
	})
}

// TestKafkaGoesAndComesBackInMidSession: the first event is through within a
// second of its return, in order, and nothing is lost or there twice.
func TestKafkaGoesAndComesBackInMidSession(t *testing.T) {
	t.Parallel()
	for _, away := range []time.Duration{20 * time.Second, 5 * time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			t.Parallel()
			scenes(t, func(s *scene) {
				s.chargeCarl()
				s.stop("kafka")
				s.requestForBerta()
				time.Sleep(away)
				s.firstEventWithin(time.Second)
				s.finish()
			})
		})
	}
}

// firstEventWithin brings Kafka back and waits for the first journal record that
// Central commits.
func (w *world) firstEventWithin(limit time.Duration) {
	w.t.Helper()
	const query = "SELECT count(*) FROM records"
	before := w.count(query)
	w.start("kafka")
	at := time.Now()
	w.await(limit, "the first event is through", func() bool { return w.count(query) > before })
	w.t.Logf("first event after %s", time.Since(at))
}

// TestAnyPartDies in mid-session and comes back a minute later.
func TestAnyPartDies(t *testing.T) {
	t.Parallel()
	for _, part := range allParts() {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			scenes(t, func(s *scene) {
				s.chargeCarl()
				s.stop(part)
				s.requestForBerta()
				time.Sleep(time.Minute)
				s.start(part)
				s.finish()
			})
		})
	}
}
