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

// Each fault of the list is done to a network in mid-session, with one more
// driver asking meanwhile; afterwards the books must be as if nothing had been.

// TestFaults names the test that does each fault, for who looks for it.
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
F12 duplicates, out of order            TestF12SaidAgainOutOfOrder
F13 clocks                              TestF13Clocks
F20 poison at the head of a partition   TestF20Poison
F21 slow consumer                       TestF21DatabaseIsLocked
F22 two agents, one identity            TestStorageOfAnAgentIsLostOrCloned/cloned_in_a_session
F28 two bridges, one of them flapping   TestF28TwoBridges
F34 what a newer agent says             TestF34NewerAgent
F35 a thousand reconnections            TestF35Reconnections
F36 Kafka's leaders move                TestF36LeadersMove`))
}

// duringSession does a fault in mid-session, lets another driver ask, and wants both to
// be served.
func duringSession(t *testing.T, do func(*world)) {
	t.Helper()
	inWorld(t, plan{points: 2, vehicle: vehicle{takes: 3000, power: 20_000}}, func(w *world) {
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

// awaitRecords wants records to reach Central within a bound.
func (w *world) awaitRecords(within time.Duration) {
	w.t.Helper()
	const query = "SELECT count(*) FROM records"
	before := w.count(query)
	w.await(within, "records flow", func() bool { return w.count(query) > before })
}

// TestF06NothingIsDroppedByTheBroker: however long the bridge is away, what waits
// for it at the broker stays below the broker's bounds, since an agent has no
// more under way than its window.
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

// TestF09HalfOpen: a connection that is dead without anybody having been told is
// given up within one and a half keep-alives, and nobody's loop waits for it.
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

// TestF09DriverLeaves: with everything in the dark, pulling the cable ends
// delivery within two seconds.
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

// TestF10OneWay: while only one way works, orders end by themselves, the driver
// is refused, and nothing is ever shown as reserved that is not confirmed.
func TestF10OneWay(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]linkState{"agents are not heard": linkNoSend, "agents do not hear": linkNoReceive} {
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
						t.Fatal("shown as reserved, and nobody confirmed it")
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

// TestF13Clocks: whatever the wall's clock of a charging point does in
// mid-session, durations are those of its monotonic clock and what is reserved
// ends.
func TestF13Clocks(t *testing.T) {
	t.Parallel()
	began := time.Now() // of the bubble, once it has begun
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
				took := time.Since(at)
				w.settle()
				w.balanced(1)
				sec := w.count("SELECT duration_sec FROM tickets")
				if d := time.Duration(sec) * time.Second; d < took-10*time.Second || d > took+20*time.Second {
					t.Errorf("the ticket says %s, it took about %s", d, took)
				}
			})
		})
	}
}

// jumpAt is a step of a clock two minutes after the boot.
func jumpAt(d, by time.Duration) time.Duration {
	if d < 2*time.Minute {
		return 0
	}
	return by
}

// TestF21DatabaseIsLocked by somebody else: nothing is acknowledged meanwhile,
// and all of it is there afterwards. SQLite waits in real time, two seconds for
// each try, so that only a soak keeps the lock for a minute.
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
		if err := w.points[1].board.Plug(1); err != nil { // so that there is something to say
			t.Error(err)
		}
		time.Sleep(locked)
		if w.points[1].status().Unacked == 0 {
			t.Error("something was acknowledged that cannot have been written")
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

// TestF28TwoBridges carry everything twice while one of them comes and goes.
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

// TestF36LeadersMove: Kafka answers "not the leader" for a while, to whoever
// writes and reads.
func TestF36LeadersMove(t *testing.T) {
	t.Parallel()
	duringSession(t, func(w *world) {
		w.kafka.Cluster().Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce, kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 300,
		})
		w.awaitRecords(healTimeout)
	})
}
