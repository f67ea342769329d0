package chaos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// plan lists the actions that a seed plans, for a network whose processes do
// not run.
func plan(seed uint64) (list []string, seen map[kind]map[fault]int) {
	n := &Network{Bridge: &Process{Name: "bridge"}, Central: &Process{Name: "central"}, MQTT: &Process{Name: "mosquitto"}, Kafka: &Process{Name: "kafka"}}
	for _, id := range []string{"CP_001", "CP_002"} {
		n.Points = append(n.Points, &Point{ID: "CP", Agent: &Process{Name: id}, disk: &disk{}})
	}
	n.disk = &disk{}
	n.links = []*link{{name: "bridge to Kafka"}, {name: "bridge to MQTT"}, {name: "Central to Kafka"}, {name: "CP to MQTT"}}
	rng, all := rand.New(rand.NewPCG(seed, 0)), targetsOf(n)
	seen = map[kind]map[fault]int{}
	for range 2000 {
		a, pause := draw(rng, all, 5*time.Second)
		list = append(list, a.String()+pause.String())
		if seen[a.target.kind] == nil {
			seen[a.target.kind] = map[fault]int{}
		}
		seen[a.target.kind][a.fault]++
	}
	return list, seen
}

// TestASeedIsAPlan: a seed always gives the same plan, another seed a different
// one, and every kind of process is hit by every fault that it can have.
func TestASeedIsAPlan(t *testing.T) {
	first, seen := plan(7)
	again, _ := plan(7)
	other, _ := plan(8)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("a seed is not a plan: %q, %q, %q", first[0], again[0], other[0])
	}
	for _, k := range kinds() {
		for _, f := range faults() {
			spared := f == faultCut && (k == kindMQTT || k == kindKafka) || f == faultFull && k != kindAgent && k != kindCentral
			if (seen[k][f] == 0) != spared { // engines have no proxy; only agents and Central have a disk
				t.Errorf("%s is %s %d times", k, f, seen[k][f])
			}
		}
	}
}

// TestTimes checks the summary of many durations.
func TestTimes(t *testing.T) {
	var list []time.Duration
	for n := range 101 {
		list = append(list, time.Duration(100-n)*time.Second)
	}
	if got := timesOf(list); got != (Times{101, 50_000, 99_000, 71}) {
		t.Errorf("got %+v", got)
	}
	if got := timesOf(nil); got != (Times{}) {
		t.Errorf("got %+v of nothing", got)
	}
}

// TestReportIsComplete: the printed report contains the number of faults, the
// recovery time by kind of fault, and the late recoveries.
func TestReportIsComplete(t *testing.T) {
	c := newTally()
	central := &target{kind: kindCentral}
	c.countAction(&action{target: central, fault: faultFull, fullDisk: &fullDisk{killed: true}})
	c.countRecovery(&action{target: central, fault: faultFull}, 2*time.Second)
	cut := action{target: &target{kind: kindAgent}, fault: faultCut, link: &link{}, toxic: toxicOf(3, true)}
	c.countAction(&cut)
	c.countRecovery(&cut, recoveryLimit)
	c.countNoticed()
	r := c.report(&Plan{Network: Config{Seed: 7}}, Account{Journalled: 5, Applied: 4}, time.Minute)
	r.Command, r.NoDisks = "sim chaos --seed 7", "nowhere"
	if r.Kills != 1 || r.OK() {
		t.Errorf("%d kills, OK %v; want a kill on the full disk, and a record lost", r.Kills, r.OK())
	}
	var text strings.Builder
	r.Print(&text)
	for _, want := range []string{
		"sim chaos --seed 7\n", "seed 7,", "disk full           1   back after 2.0 s / 2.0 s of 1, 1 noticed by the part\n",
		"cut off             1   back after 30.0 s / 30.0 s of 1, 1 longer than 30s, 1 by timeout\n",
		"killed              1   back after 0.0 s / 0.0 s of 0\n", "!! no disk was full: nowhere\n", "lost 1\n",
		"central             1          0          0          0          1   2.0 s / 2.0 s of 1\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
}
