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

// In these tests the MQTT broker, Kafka or Central loses its state while the
// network runs. The agents hold everything that matters: afterwards the ledger
// must equal the one made from the journals alone, and every driver must have
// the tickets of a run without a loss.

// threePoints is a network of three charging points, each with a driver of its
// own, which charges three times.
func threePoints() plan { return plan{points: 3} }

// servicesEach is the number of services of each driver.
const servicesEach = 3

// driveAll starts one driver for each charging point.
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

// withoutLoss returns the tickets of the same network in a run without a loss.
func withoutLoss(t *testing.T, p plan) (story map[charge.CPID][]string) {
	t.Helper()
	t.Run("without loss", func(t *testing.T) {
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

// withLoss runs the network, calls do while every charging point is in its n-th
// session, and wants the tickets of a run without a loss.
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

// TestStateIsLost: the MQTT broker, Kafka or Central loses its state.
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
		time.Sleep(20 * time.Second) // the broker queues messages for it meanwhile
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
	run("Central is restored and Kafka's log is gone", func(w *world) { // only the agents have what is missing
		w.backup(w.dir + "/backup.db")
		time.Sleep(30 * time.Second)
		w.stop("central")
		w.kafka.Replace("another", filepath.Join(w.dir, "another kafka"))
		w.restore(w.dir + "/backup.db")
		w.start("kafka", "central")
	})
}

// forgottenByMQTT restarts the MQTT broker, which loses retained messages and
// the bridge's session with its queue. What must be retained is published
// again.
func forgottenByMQTT(w *world) {
	w.stop("mqtt")
	w.start("mqtt")
	w.await(healTimeout, "acknowledgements and presences are retained again", func() bool {
		return len(w.mqtt.Retained("cp/+/down/ack")) == len(w.points) && len(w.mqtt.Retained("cp/+/up/presence")) == len(w.points)
	})
	for topic, raw := range w.mqtt.Retained("cp/+/down/ack") {
		if a, err := wire.DecodeAck(raw); err != nil || a.Journal == nil || a.Seq == 0 {
			w.t.Errorf("%s holds %s: %v", topic, raw, err)
		}
	}
}

// replaceKafka replaces Kafka with a cluster whose log is empty, while Central
// has stored later offsets of the old one.
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

// restoreBackup restarts Central with its backup.
func (w *world) restoreBackup() {
	w.t.Helper()
	w.stop("central")
	w.restore(w.dir + "/backup.db")
	w.start("central")
}

// TestCentralIsRestoredFromAnOldBackup: the backup is of the first session and
// is restored in the third, while charging points, drivers and Kafka went on
// and two tickets were published. In a soak the backup is a day old.
func TestCentralIsRestoredFromAnOldBackup(t *testing.T) {
	t.Parallel()
	p := plan{points: 2, pause: 26 * time.Minute, idle: 10 * time.Second}
	age := time.Hour
	if soak() {
		p, age = plan{points: 1, pause: 12 * time.Hour, idle: time.Minute}, 24*time.Hour
	}
	quick := p
	quick.pause = time.Minute // the tickets do not depend on it
	want := withoutLoss(t, quick)
	withLoss(t, p, want, 1, func(w *world) {
		w.backup(w.dir + "/backup.db") // with open commands, desired states and a session
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
