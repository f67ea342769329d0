package chaos

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// plan lists what a seed does to a network of parts that do not run.
func plan(seed uint64) (list []string, faults map[kind]map[fault]int) {
	n := &Network{Bridge: &Process{Name: "bridge"}, Central: &Process{Name: "central"}, MQTT: &Process{Name: "mosquitto"}, Kafka: &Process{Name: "kafka"}}
	for _, id := range []string{"CP_001", "CP_002"} {
		n.Points = append(n.Points, &Point{ID: "CP", Agent: &Process{Name: id}})
	}
	n.ways = []*way{{name: "bridge to Kafka"}, {name: "bridge to MQTT"}, {name: "Central to Kafka"}, {name: "CP to MQTT"}}
	rng, all := rand.New(rand.NewPCG(seed, 0)), targetsOf(n)
	faults = map[kind]map[fault]int{}
	for range 2000 {
		a, pause := draw(rng, all, 5*time.Second)
		list = append(list, a.String()+pause.String())
		if faults[a.target.kind] == nil {
			faults[a.target.kind] = map[fault]int{}
		}
		faults[a.target.kind][a.fault]++
	}
	return list, faults
}

// TestASeedIsAPlan: the same seed does the same, another one something else, and
// every part suffers everything that it can.
func TestASeedIsAPlan(t *testing.T) {
	first, faults := plan(7)
	again, _ := plan(7)
	other, _ := plan(8)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("a seed is not a plan: %q, %q, %q", first[0], again[0], other[0])
	}
	for _, k := range kinds() {
		for _, f := range []fault{faultKill, faultRestart, faultFreeze, faultCut} {
			if f == faultCut && (k == kindMQTT || k == kindKafka) {
				continue // they have no way of their own
			}
			if faults[k][f] == 0 {
				t.Errorf("%s is never %s", k, f)
			}
		}
	}
}

// TestTimes: what is printed of many measures.
func TestTimes(t *testing.T) {
	var list []time.Duration
	for n := range 101 {
		list = append(list, time.Duration(100-n)*time.Second)
	}
	if got := timesOf(list); got != (Times{101, 50_000, 99_000}) {
		t.Errorf("got %+v", got)
	}
	if got := timesOf(nil); got != (Times{}) {
		t.Errorf("got %+v of nothing", got)
	}
}
