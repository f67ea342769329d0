package e2e_test

import (
	"context"
	"database/sql"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
)

// Each test injects one fault into a network during a session, with one more
// driver that sends a request meanwhile. Afterwards the books must be as
// without the fault.

// TestFaults lists the test of each fault.
func TestFaults(t *testing.T) {
	t.Log(strings.TrimSpace(`
F01 start orders                        TestAnyStartOrder
F03 bridge dies                         TestAnyPartDies/bridge
F04 Central dies                        TestAnyPartDies/central, TestCentralIsRestoredFromAnOldBackup
F05 MQTT broker's state wiped           TestStateIsLost/MQTT_broker_forgets_all
F06 MQTT broker drops over its quota    TestF06NothingIsDroppedByTheBroker
F07 Kafka away                          TestKafkaGoesAndComesBackInMidSession, TestF07KafkaIsAwayForLong
F08 Kafka's log shorter                 TestStateIsLost/Kafka_is_replaced_at_once
F09 half-open connections               TestF09HalfOpen
F10 one-way partitions                  TestF10OneWay
F12 duplicates, out of order            TestF12DuplicatesOutOfOrder
F13 clocks                              TestF13Clocks
F20 poison at the head of a partition   TestF20Poison
F21 slow consumer                       TestF21DatabaseIsLocked
F22 two agents, one identity            TestStorageOfAnAgentIsLostOrCloned/cloned_in_a_session
F28 two bridges, one of them flapping   TestF28TwoBridges
F34 records of a newer agent            TestF34NewerAgent
F35 a thousand reconnections            TestF35Reconnections
F36 Kafka's leaders move                TestF36LeadersMove`))
}

// duringSession calls do during a session, with another driver whose request
// follows, and wants both to get a ticket.
func duringSession(t *testing.T, do func(*world)) {
	t.Helper()
	inWorld(t, plan{points: 2, vehicle: vehicle{energy: 3000, power: 20_000}}, func(w *world) {
		w.start(allParts()...)
		w.watchInvariants()
		line := w.client()
		carl := w.drive(line, driverPlan{username: "carl", cp: w.points[0].id})
		w.awaitCharging(w.points[0])
		berta := w.drive(line, driverPlan{username: "berta", cp: w.points[1].id})
		do(w)
		w.wantTicket(carl, time.Hour)
		w.wantTicket(berta, time.Hour)
		w.settle()
		w.balanced(2)
	})
}

// awaitRecords wants Central to apply a new record within a limit.
func (w *world) awaitRecords(within time.Duration) {
	w.t.Helper()
	const query = "SELECT count(*) FROM records"
	before := w.count(query)
	w.await(within, "records are applied", func() bool { return w.count(query) > before })
}

// TestF06NothingIsDroppedByTheBroker: however long the bridge is away, the
// messages queued for it stay below the broker's limits, since an agent has no
// more records in flight than its window.
func TestF06NothingIsDroppedByTheBroker(t *testing.T) {
	t.Parallel()
	duringSession(t, func(w *world) {
		w.stop("bridge")
		w.run("life", func(ctx context.Context) error { plugAndUnplug(ctx, w.points[1].board); return nil })
		time.Sleep(10 * time.Minute)
		w.stop("life")
		_ = w.points[1].board.Unplug(1)
		w.start("bridge")
		time.Sleep(healTimeout)
		if n := w.mqtt.Dropped(); n != 0 {
			t.Errorf("the broker dropped %d messages", n)
		}
	})
}

// TestF09HalfOpen: a connection that is dead without a reset is given up within
// one and a half keep-alives, and no loop waits for it.
func TestF09HalfOpen(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"agent-mqtt", "bridge-mqtt", "bridge-kafka", "central-kafka"} {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			duringSession(t, func(w *world) {
				w.links[link].blackhole()
				w.awaitRecords(time.Minute + 30*time.Second)
			})
		})
	}
}

// TestF09DriverLeaves: while no byte passes, unplugging ends the energy within
// two seconds.
func TestF09DriverLeaves(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{}, func(w *world) {
		w.start(allParts()...)
		outcomes := w.drive(w.client(), driverPlan{username: "carl"})
		p := w.points[0]
		w.awaitCharging(p)
		w.links["agent-mqtt"].set(linkBlackhole)
		if err := p.board.Unplug(1); err != nil {
			t.Fatal(err)
		}
		w.await(2*time.Second, "the contactor is open", func() bool { return !p.outlet().Closed && p.shown().SessionID == "" })
		w.links["agent-mqtt"].set(linkUp)
		w.wantTicket(outcomes, time.Hour)
		w.settle()
		w.balanced(1)
	})
}

// TestF10OneWay: while only one direction works, commands expire, the driver is
// refused, and no unconfirmed reservation is shown.
func TestF10OneWay(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]linkState{"agents cannot send": linkNoSend, "agents cannot receive": linkNoReceive} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, plan{}, func(w *world) {
				w.start(allParts()...)
				w.watchInvariants()
				line := w.client()
				time.Sleep(10 * time.Second)
				w.links["agent-mqtt"].set(way)
				refused := make(chan driver.Step, 100)
				outcomes := w.drive(line, driverPlan{username: "anna", cp: w.points[0].id, onStep: func(s driver.Step) {
					if s.Kind == driver.StepRefused {
						refused <- s
					}
				}})
				select {
				case <-refused:
				case <-time.After(6 * time.Second):
					t.Error("not refused within 6 s")
				}
				for range 30 {
					time.Sleep(time.Second)
					if n, ok := w.network(); ok && n.CPs[0].Connectors[0].Status == charge.StatusReserved {
						t.Fatal("shown as reserved without a confirmation")
					}
				}
				w.links["agent-mqtt"].set(linkUp)
				w.wantTicket(outcomes, time.Hour)
				w.settle()
				w.balanced(1)
			})
		})
	}
}

// TestF13Clocks: whatever the wall clock of a charging point does during a
// session, durations are those of its monotonic clock, and reservations end.
func TestF13Clocks(t *testing.T) {
	t.Parallel()
	began := time.Now() // real time; the bubble has a time of its own
	for name, clock := range map[string]func(passed time.Duration) (time.Time, charge.ClockQuality){
		"1970 at the boot": func(d time.Duration) (time.Time, charge.ClockQuality) {
			return time.Unix(0, 0).Add(d), charge.ClockUnset
		},
		"an hour ahead": func(d time.Duration) (time.Time, charge.ClockQuality) {
			return began.Add(d).Add(jumpAt(d, time.Hour)), charge.ClockSynced
		},
		"an hour back": func(d time.Duration) (time.Time, charge.ClockQuality) {
			return began.Add(d).Add(jumpAt(d, -time.Hour)), charge.ClockSynced
		},
		"ten years ahead": func(d time.Duration) (time.Time, charge.ClockQuality) {
			return began.Add(d).AddDate(10, 0, 0), charge.ClockSet
		},
		"frozen": func(time.Duration) (time.Time, charge.ClockQuality) { return began, charge.ClockSet },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, plan{}, func(w *world) {
				start := time.Now()
				w.points[0].clock = func() (time.Time, charge.ClockQuality) {
					at, q := clock(time.Since(start))
					return at.Add(start.Sub(began)), q
				}
				w.start(allParts()...)
				w.watchInvariants()
				outcomes := w.drive(w.client(), driverPlan{username: "anna"})
				w.awaitCharging(w.points[0])
				at := time.Now()
				w.wantTicket(outcomes, time.Hour)
				lasted := time.Since(at)
				w.settle()
				w.balanced(1)
				sec := w.count("SELECT duration_sec FROM tickets")
				if d := time.Duration(sec) * time.Second; d < lasted-10*time.Second || d > lasted+20*time.Second {
					t.Errorf("the ticket states %s, the session had about %s", d, lasted)
				}
			})
		})
	}
}

// jumpAt returns the step of a clock: by, from two minutes after the boot.
func jumpAt(d, by time.Duration) time.Duration {
	if d < 2*time.Minute {
		return 0
	}
	return by
}

// TestF21DatabaseIsLocked: while another process locks the database nothing is
// acknowledged, and afterwards everything is applied. SQLite waits in real
// time, two seconds for each attempt, so that only a soak keeps the lock for a
// minute.
func TestF21DatabaseIsLocked(t *testing.T) {
	t.Parallel()
	locked := 2 * time.Second
	if soak() {
		locked = time.Minute
	}
	duringSession(t, func(w *world) {
		db, err := sql.Open("sqlite3", "file:"+w.database()+"?_txlock=immediate")
		if err != nil {
			t.Fatal(err)
		}
		tx, err := db.BeginTx(context.WithoutCancel(w.t.Context()), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.points[1].board.Plug(1); err != nil { // makes a record
			t.Error(err)
		}
		time.Sleep(locked)
		if w.points[1].status().Unacked == 0 {
			t.Error("a record was acknowledged that cannot have been committed")
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		w.awaitRecords(healTimeout)
	})
}

// TestF28TwoBridges: two bridges forward everything twice while one of them
// comes and goes.
func TestF28TwoBridges(t *testing.T) {
	t.Parallel()
	duringSession(t, func(w *world) {
		w.startBridge("second")
		for range 20 {
			time.Sleep(3 * time.Second)
			w.stop("bridge")
			time.Sleep(2 * time.Second)
			w.start("bridge")
		}
	})
}

// TestF35Reconnections: all links are cut a thousand times a minute. Afterwards
// there are as many goroutines as before.
func TestF35Reconnections(t *testing.T) {
	duringSession(t, func(w *world) {
		before := runtime.NumGoroutine()
		for range 1000 {
			for _, c := range w.links {
				c.set(linkCut)
			}
			time.Sleep(30 * time.Millisecond)
			for _, c := range w.links {
				c.set(linkUp)
			}
			time.Sleep(30 * time.Millisecond)
		}
		time.Sleep(2 * healTimeout)
		if after := runtime.NumGoroutine(); after > before+20 {
			t.Errorf("%d goroutines, %d before", after, before)
		}
	})
}

// TestF36LeadersMove: for a while Kafka returns "not the leader" to every write
// and read.
func TestF36LeadersMove(t *testing.T) {
	t.Parallel()
	duringSession(t, func(w *world) {
		w.kafka.Cluster().Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce, kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 300,
		})
		w.awaitRecords(healTimeout)
	})
}
