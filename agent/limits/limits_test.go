package limits_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const wall charge.Time = 1_796_000_000_000

func command(mA charge.MilliAmps) charge.Limit {
	return charge.Limit{Current: mA, By: charge.LimitCommand}
}

// safe is the limit of a charging point that has no command.
var safe = charge.Limit{Current: 8_000, By: charge.LimitSafe}

// set is a command of one minute.
func set(s *limits.State, n charge.ConnectorID, mA charge.MilliAmps) {
	s.Set(n, wire.SetLimit{Limit: mA, Until: wall.Add(time.Minute)}, time.Minute)
}

// TestLowest: of two connectors, the second is never limited by the first.
func TestLowest(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy limits.Policy
		set    func(*limits.State)
		want   [2]charge.Limit
	}{
		{"nothing is set", limits.Policy{}, func(*limits.State) {}, [2]charge.Limit{}},
		{"configured", limits.Policy{Most: 20_000}, func(*limits.State) {}, [2]charge.Limit{
			{Current: 20_000, By: charge.LimitConfigured}, {Current: 20_000, By: charge.LimitConfigured},
		}},
		{"before the first command", limits.Policy{Most: 20_000, Safe: 8_000}, func(*limits.State) {}, [2]charge.Limit{safe, safe}},
		{"a command is above the safe current", limits.Policy{Safe: 8_000}, func(s *limits.State) {
			set(s, 1, 16_000)
		}, [2]charge.Limit{command(16_000), safe}},
		{"and never above what is configured", limits.Policy{Most: 20_000, Safe: 8_000}, func(s *limits.State) {
			set(s, 1, 32_000)
		}, [2]charge.Limit{{Current: 20_000, By: charge.LimitConfigured}, safe}},
		{"of all, and of one", limits.Policy{Safe: 8_000}, func(s *limits.State) {
			set(s, 0, 16_000)
			set(s, 1, 10_000)
		}, [2]charge.Limit{command(10_000), command(16_000)}},
		{"a later one replaces it", limits.Policy{}, func(s *limits.State) {
			set(s, 1, 10_000)
			set(s, 1, 0)
			set(s, 1, 12_000)
		}, [2]charge.Limit{command(12_000), {}}},
	} {
		s := limits.New(c.policy, nil, 2, 0)
		c.set(&s)
		if got := [2]charge.Limit{s.Of(1), s.Of(2)}; got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestEnd: by the monotonic clock, and by a synced wall clock that is far beyond if that
// lowers the current.
func TestEnd(t *testing.T) {
	for _, c := range []struct {
		limit charge.MilliAmps
		at    time.Duration
		wall  charge.Time
		clock charge.ClockQuality
		held  bool
	}{
		{16_000, time.Minute - 1, wall, charge.ClockUnset, true},
		{16_000, time.Minute, wall, charge.ClockUnset, false},
		{16_000, time.Minute, wall, charge.ClockSynced, false},
		{16_000, time.Second, wall.Add(90 * time.Second), charge.ClockSynced, true}, // 30 s of tolerance
		{16_000, time.Second, wall.Add(90*time.Second + time.Millisecond), charge.ClockSynced, false},
		{16_000, time.Second, wall.Add(time.Hour), charge.ClockSet, true},
		{0, time.Minute - 1, wall.Add(time.Hour), charge.ClockSynced, true}, // its end would raise the current
		{0, time.Minute, wall, charge.ClockSynced, false},
	} {
		s := limits.New(limits.Policy{Safe: 8_000}, nil, 1, 0)
		set(&s, 1, c.limit)
		if s.Next() != time.Minute {
			t.Fatalf("ends at %s", s.Next())
		}
		s.End(c.at, c.wall, c.clock)
		want := safe
		if c.held {
			want = command(c.limit)
		}
		if got := s.Of(1); got != want {
			t.Errorf("%+v: got %+v", c, got)
		}
		if (s.Next() != 0) != c.held {
			t.Errorf("%+v: the next end is at %s", c, s.Next())
		}
	}
}

// TestLife: an end beyond all bounds does not overflow.
func TestLife(t *testing.T) {
	for until, want := range map[charge.Time]time.Duration{
		wall.Add(time.Minute): time.Minute, wall: 0, wall.Add(-time.Hour): -time.Hour, charge.MaxTime: 366 * 24 * time.Hour,
	} {
		if got := limits.Life(&wire.SetLimit{Until: until}, wall); got != want {
			t.Errorf("until %d: got %s, want %s", until, got, want)
		}
	}
}

// TestRestart: what was accepted comes back with the time that is left of it, and
// never above the safe current.
func TestRestart(t *testing.T) {
	var v limits.Saved
	for n, mA := range []charge.MilliAmps{10_000, 6_000, 7_000} {
		v = replay(t, v, charge.ConnectorID(n), mA, time.Hour)
	}
	v = replay(t, v, 2, 16_000, time.Minute)
	if again := replay(t, v, 2, 16_000, time.Minute); !reflect.DeepEqual(again, v) {
		t.Errorf("the same record twice: got %+v, want %+v", again, v)
	}
	before := v
	v = v.Elapse(10 * time.Second)
	if before[2].LeftMS != time.Minute.Milliseconds() {
		t.Error("changed in place")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"connector":0,"limit_ma":10000,"until":"2026-11-30T01:53:20.000Z","left_ms":3590000},`; len(raw) < len(want) || string(raw[:len(want)]) != want {
		t.Errorf("got %s", raw)
	}
	var read limits.Saved
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		safe charge.MilliAmps
		want [2]charge.Limit
		next time.Duration
	}{
		{0, [2]charge.Limit{command(6_000), command(10_000)}, 51 * time.Second},
		{8_000, [2]charge.Limit{command(6_000), safe}, time.Hour - 9*time.Second},
		{16_000, [2]charge.Limit{command(6_000), command(10_000)}, 51 * time.Second},
	} {
		s := limits.New(limits.Policy{Safe: c.safe}, read, 2, time.Second)
		if got := [2]charge.Limit{s.Of(1), s.Of(2)}; got != c.want || s.Next() != c.next {
			t.Errorf("safe %d: got %+v until %s, want %+v until %s", c.safe, got, s.Next(), c.want, c.next)
		}
	}
	if s := limits.New(limits.Policy{}, read, 1, 0); s.Of(1) != command(6_000) { // fewer connectors than before
		t.Errorf("got %+v", s.Of(1))
	}
	if v = v.Elapse(time.Hour); len(v) != 0 {
		t.Errorf("over, and still %+v", v)
	}
}

// replay folds an accepted SET_LIMIT.
func replay(t *testing.T, v limits.Saved, n charge.ConnectorID, mA charge.MilliAmps, life time.Duration) limits.Saved {
	t.Helper()
	o := &wire.SetLimit{Limit: mA, Until: wall.Add(life)}
	data, err := wire.EncodeOrder(o)
	if err != nil {
		t.Fatal(err)
	}
	c := wire.Command{
		V: 1, ID: "c", N: 1, Central: charge.Epoch{Number: 1, Run: "00000000000000ab"}, Journal: "j", CPID: "CP_001", Connector: n,
		Type: wire.CommandSetLimit, IssuedAt: wall, SentAt: wall, ExpiresAt: wall.Add(time.Minute), Data: data,
	}
	raw, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return limits.Replay(v, &wire.CommandAccepted{Command: raw})
}
