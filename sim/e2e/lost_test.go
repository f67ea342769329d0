package e2e_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

// What follows is about state that is lost under a running network: of the MQTT
// broker, of Kafka, of Central. The agents hold all that matters, so afterwards
// the ledger must be the one that the journals alone make, and every driver must
// have the tickets of a run in which nothing was lost.

// threePoints is a network of three charging points, each with a driver of its own
// who comes three times.
func threePoints() plan { return plan{points: 3} }

const servicesEach = 3

// driveAll lets each driver ask for his charging point until he was served.
func (w *world) driveAll() *sync.WaitGroup {
	w.t.Helper()
	line := w.client()
	var all sync.WaitGroup
	for i, p := range w.points {
		outcomes := w.drive(line, driverPlan{
			username: charge.Username(fmt.Sprintf("driver%d", i+1)), cp: p.id, services: servicesEach, pause: w.plan.pause,
		})
		all.Go(func() {
			for o := range outcomes {
				if o.Result != driver.Ticket {
					w.t.Errorf("a service at %s ended in %+v, want a ticket", p.id, o)
				}
			}
		})
	}
	return &all
}

// withoutLoss is what the same network leaves when nothing happens to it.
func withoutLoss(t *testing.T, p plan) (story map[charge.CPID][]string) {
	t.Helper()
	t.Run("undisturbed", func(t *testing.T) {
		inWorld(t, p, func(w *world) {
			w.start(allParts()...)
			w.driveAll().Wait()
			w.settle()
			w.balanced(int64(p.points * servicesEach))
			story = w.ticketsByCP()
		})
	})
	return story
}

// withLoss runs the same network, lets do happen to it while every charging
// point charges for the n-th time, and wants to find what an undisturbed run
// leaves.
func withLoss(t *testing.T, p plan, want map[charge.CPID][]string, n int64, do func(*world)) {
	t.Helper()
	inWorld(t, p, func(w *world) {
		w.start(allParts()...)
		all := w.driveAll()
		w.awaitSession(n)
		do(w)
		all.Wait()
		w.settle()
		w.balanced(int64(p.points * servicesEach))
		if got := w.ticketsByCP(); !reflect.DeepEqual(got, want) {
			t.Errorf("tickets\n got %v\nwant %v", got, want)
		}
	})
}

// awaitSession waits until every charging point charges in its n-th session.
func (w *world) awaitSession(n int64) {
	w.t.Helper()
	for _, p := range w.points {
		w.await(30*time.Hour, fmt.Sprintf("%s charges for the %d. time", p.id, n), func() bool {
			return p.visits.Load() > n || p.visits.Load() == n && p.charging()
		})
	}
}

// TestStateIsLost: of the MQTT broker, of Kafka, of Central.
func TestStateIsLost(t *testing.T) {
	t.Parallel()
	want := withoutLoss(t, threePoints())
	run := func(name string, do func(*world)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withLoss(t, threePoints(), want, 2, do)
		})
	}
	run("MQTT broker forgets all", forgottenByMQTT)
	run("MQTT broker forgets all while the bridge is away", func(w *world) {
		w.stop("bridge")
		time.Sleep(20 * time.Second) // the broker keeps for it what is said meanwhile
		w.stop("mqtt")
		w.start("mqtt", "bridge")
		forgottenByMQTT(w)
	})
	run("Kafka is replaced at once", func(w *world) { replaceKafka(w, 0) })
	run("Kafka is replaced after two minutes", func(w *world) { replaceKafka(w, 2*time.Minute) })
	run("Central is restored from a copy of a moment ago", func(w *world) {
		w.backup(w.dir + "/backup.db")
		time.Sleep(30 * time.Second)
		w.restoreBackup()
	})
	run("Central is restored and Kafka's log is gone", func(w *world) { // what is missing comes from the agents alone
		w.backup(w.dir + "/backup.db")
		time.Sleep(30 * time.Second)
		w.stop("central")
		w.kafka.Replace("another", filepath.Join(w.dir, "another kafka"))
		w.restore(w.dir + "/backup.db")
		w.start("kafka", "central")
	})
}

// forgottenByMQTT: acknowledgements, presences, the bridge's session with all
// that it had not taken are gone. What is to be kept comes back by itself.
func forgottenByMQTT(w *world) {
	w.stop("mqtt")
	w.start("mqtt")
	w.await(healTimeout, "acknowledgements and presences are kept again", func() bool {
		return len(w.mqtt.Retained("cp/+/down/ack")) == len(w.points) && len(w.mqtt.Retained("cp/+/up/presence")) == len(w.points)
	})
	for topic, raw := range w.mqtt.Retained("cp/+/down/ack") {
		if a, err := wire.DecodeAck(raw); err != nil || a.Journal == nil || a.Seq == 0 {
			w.t.Errorf("%s holds %s: %v", topic, raw, err)
		}
	}
}

// replaceKafka puts another cluster with an empty log in the place of Kafka,
// while Central remembers later offsets of the one before.
func replaceKafka(w *world, away time.Duration) {
	before := w.count("SELECT sum(next) FROM offsets")
	w.kafka.Replace("another", filepath.Join(w.dir, "another kafka"))
	time.Sleep(away)
	w.start("kafka")
	time.Sleep(10 * time.Second)
	if after := w.count("SELECT sum(next) FROM offsets"); after >= before {
		w.t.Errorf("Central is at %d in the new log, which is shorter than the old one, where it was at %d", after, before)
	}
}

// restoreBackup starts Central anew with its backup.
func (w *world) restoreBackup() {
	w.t.Helper()
	w.stop("central")
	w.restore(w.dir + "/backup.db")
	w.start("central")
}

// TestCentralIsRestoredFromAnOldBackup: from the middle of the first session to
// the middle of the third, while charging points, drivers and Kafka went on and
// were told of two tickets. A soak takes a copy that is a day old.
func TestCentralIsRestoredFromAnOldBackup(t *testing.T) {
	t.Parallel()
	p := plan{points: 2, pause: 26 * time.Minute, idle: 10 * time.Second}
	age := time.Hour
	if soak() {
		p, age = plan{points: 1, pause: 12 * time.Hour, idle: time.Minute}, 24*time.Hour
	}
	quick := p
	quick.pause = time.Minute // what is on the tickets does not depend on it
	want := withoutLoss(t, quick)
	withLoss(t, p, want, 1, func(w *world) {
		w.backup(w.dir + "/backup.db") // with open orders, wishes and a session
		at := time.Now()
		w.awaitSession(3)
		if got := time.Since(at); got < age*9/10 {
			t.Errorf("the backup is %s old, want about %s", got, age)
		}
		if n := len(items[ticket](w, "/tickets")); n < 2*p.points {
			t.Errorf("%d tickets were made after the backup, want 2 of each driver", n)
		}
		w.restoreBackup()
	})
}
