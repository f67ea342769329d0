package world

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Policy is what the owners of the charging points decided.
type Policy struct {
	Resume             bool `json:"resume,omitempty"`
	ReservedPlugStarts bool `json:"reserved_plug_starts,omitempty"`
	FreeVend           bool `json:"free_vend,omitempty"`
}

// Plan is a run: how the network is made, who comes, and what goes wrong. It is
// drawn from a seed; leaving out steps leaves the luck of the others as it is.
type Plan struct {
	Seed       uint64
	CPs        int
	Connectors int
	Partitions int
	For        time.Duration // until everything is healed
	Policy     Policy

	ReservationLife time.Duration
	Telemetry       time.Duration
	Segment         int64 // of the journal; so are the next three
	Quota           int64
	RetainBytes     int64
	RetainFor       time.Duration
	Restart         span // how long a part that was killed stays away
	Starts          []time.Duration
	Lossy           bool // messages may be lost, doubled and reordered all the time

	Steps []Step
}

// Step is one thing that is done to the network from outside.
type Step struct {
	At     time.Duration
	Kind   Kind
	Target int           // a charging point, a driver, or what the kind says
	N      int           // a choice of the kind
	For    time.Duration // how long it lasts
}

// String is the step as it stands in a report.
func (s Step) String() string {
	return fmt.Sprintf("%s %s who=%d n=%d for=%s", clock(s.At), s.Kind, s.Target, s.N, s.For)
}

func clock(d time.Duration) string {
	d = d.Round(time.Millisecond)
	return fmt.Sprintf("%02d:%02d:%02d.%03d", d/time.Hour, d/time.Minute%60, d/time.Second%60, d/time.Millisecond%1000)
}

// Kind is what a step does.
type Kind string

// What people do.
const (
	Visit       Kind = "visit"         // a driver asks, comes, charges and leaves
	Stranger    Kind = "stranger"      // somebody plugs in without asking
	StopAll     Kind = "stop_all"      // an operator takes all out of service, and back
	StopOne     Kind = "stop_one"      // the same of one charging point
	Reserve     Kind = "reserve"       // an operator reserves for a driver, who may come
	Cancel      Kind = "cancel"        // an operator cancels a reservation
	StartHere   Kind = "start_here"    // an operator starts a session
	StopSession Kind = "stop_session"  // an operator stops one
	Settle      Kind = "settle"        // an operator settles one whose charging point is silent, as soon as there is one
	Break       Kind = "break"         // the hardware breaks, and is repaired
	BreakByHand Kind = "break_by_hand" // the same by SIMULATE
)

// What goes wrong.
const (
	KillAgent      Kind = "kill_agent"
	KillAtOp       Kind = "kill_agent_at_disk_operation"
	PowerCut       Kind = "power_cut"
	PowerAtOp      Kind = "power_cut_at_disk_operation"
	PowerFlicker   Kind = "power_flicker" // many cuts in a few seconds
	KillBridge     Kind = "kill_bridge"
	KillCentral    Kind = "kill_central"
	KillAtCommit   Kind = "kill_central_in_a_commit"
	KillMQTT       Kind = "kill_mqtt"
	WipeMQTT       Kind = "wipe_mqtt"
	KillKafka      Kind = "kill_kafka"
	CutKafka       Kind = "kafka_loses_its_tail"
	NewKafka       Kind = "kafka_replaced"
	OldKafka       Kind = "kafka_deletes_old"
	Clog           Kind = "clog"  // lines one by one, healed in another order
	Noise          Kind = "noise" // a line loses, doubles and reorders
	DiskFull       Kind = "disk_full"
	DiskWrite      Kind = "disk_write_fails"
	DiskSync       Kind = "disk_sync_fails"
	DiskRead       Kind = "disk_read_fails"
	DiskSlow       Kind = "disk_slow"
	DiskDropsSyncs Kind = "disk_lies" // syncs are lost with the next power cut
	DiskBack       Kind = "disk_rolled_back"
	DiskEmpty      Kind = "disk_replaced"
	ClockJump      Kind = "clock_jump"
	ClockLost      Kind = "clock_lost" // no wall clock until Central gives one
	CentralClock   Kind = "central_clock_jump"
	DaysAhead      Kind = "clocks_days_ahead" // of Central, of an agent and of the bridge, one or several
	HighEpoch      Kind = "agent_obeys_a_high_epoch"
	DBFull         Kind = "db_full"
	Restore        Kind = "central_restored"
	TwoCentrals    Kind = "two_centrals"
	Twins          Kind = "central_restored_twice_at_once"
	Poison         Kind = "poison"
	Nonsense       Kind = "charging_point_reports_nonsense"
	Forged         Kind = "records_of_a_stranger" // who does not hold the chain
	GrowKafka      Kind = "kafka_topics_get_partitions"
)

// Faults are all kinds of what goes wrong.
func Faults() []Kind {
	return []Kind{
		KillAgent, KillAtOp, PowerCut, PowerAtOp, PowerFlicker, KillBridge, KillCentral, KillAtCommit, KillMQTT, WipeMQTT, KillKafka, CutKafka,
		NewKafka, OldKafka, Clog, Noise, DiskFull, DiskWrite, DiskSync, DiskRead, DiskSlow, DiskDropsSyncs, DiskBack, DiskEmpty, ClockJump, ClockLost,
		CentralClock, DBFull, Restore, TwoCentrals, Poison, GrowKafka, DaysAhead, HighEpoch, Twins,
		Forged, Nonsense,
	}
}

// tempo is how quickly a life is lived.
type tempo struct {
	life      span          // how long it is
	visits    time.Duration // between two drivers who want to charge, for one charging point
	rarely    time.Duration // between two of the other things people do
	faults    span          // between two faults of a kind
	long      time.Duration // of one fault in four
	telemetry span          // between two telemetry messages
}

// OrdinaryEvery says which seeds have an ordinary life: the multiples. All others
// are hurried.
const OrdinaryEvery = 8

// tempoOf is that of a seed. A hurried life has in hours what an ordinary one has
// in days, so that many things come together; an ordinary one has nights, days
// without a bridge, and backups of yesterday.
func tempoOf(seed uint64) tempo {
	if seed%OrdinaryEvery == 0 {
		const day = 24 * time.Hour
		return tempo{
			life: span{day, 8 * day}, visits: 4 * time.Hour, rarely: day,
			faults: span{2 * time.Hour, 2 * day}, long: day, telemetry: span{5 * time.Minute, 15 * time.Minute},
		}
	}
	return tempo{
		life: span{2 * time.Hour, 8 * time.Hour}, visits: 25 * time.Minute, rarely: 2 * time.Hour,
		faults: span{10 * time.Minute, 3 * time.Hour}, long: 30 * time.Minute, telemetry: span{30 * time.Second, 5 * time.Minute},
	}
}

// Draw makes the plan of a seed. faults says which kinds may happen; nil: a few
// of all, drawn too.
func Draw(seed uint64, faults []Kind) Plan {
	rng, t := newRandom(seed, "plan"), tempoOf(seed)
	p := Plan{
		Seed: seed, CPs: 1 + rng.IntN(3), Connectors: 1 + rng.IntN(2), Partitions: 1 + rng.IntN(2),
		For:             rng.between(t.life),
		Policy:          Policy{Resume: rng.IntN(2) == 0, ReservedPlugStarts: rng.IntN(4) == 0, FreeVend: rng.IntN(4) == 0},
		ReservationLife: rng.between(span{30 * time.Second, 15 * time.Minute}), Telemetry: rng.between(t.telemetry),
		Segment: 8<<10 + int64(rng.IntN(24<<10)), Quota: 4 << 20, RetainBytes: 256<<10 + int64(rng.IntN(512<<10)),
		RetainFor: rng.between(span{4 * time.Hour, 48 * time.Hour}),
		Restart:   span{0, rng.between(span{time.Second, 10 * time.Minute})}, Lossy: rng.IntN(6) == 0,
	}
	for range p.CPs + 4 {
		p.Starts = append(p.Starts, [...]time.Duration{0, rng.between(span{0, 30 * time.Second}), rng.between(span{0, 5 * time.Minute})}[rng.IntN(3)])
	}
	p.drawPeople(rng, t)
	if faults == nil {
		all := Faults()
		for range rng.IntN(7) {
			faults = append(faults, all[rng.IntN(len(all))])
		}
	}
	p.drawFaults(rng, t, faults)
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return p
}

// drawPeople draws who comes.
func (p *Plan) drawPeople(rng random, t tempo) {
	add := func(every time.Duration, s func(at time.Duration) Step) {
		for at := rng.between(span{0, 2 * every}); at < p.For; at += rng.between(span{every / 4, 2 * every}) {
			p.Steps = append(p.Steps, s(at))
		}
	}
	drivers := 1 + rng.IntN(4)
	add(t.visits/time.Duration(p.CPs), func(at time.Duration) Step {
		return Step{At: at, Kind: Visit, Target: rng.IntN(drivers), N: rng.IntN(p.CPs+1) - 1}
	})
	for _, k := range []Kind{Stranger, StopAll, StopOne, Reserve, Cancel, StartHere, StopSession, Break, BreakByHand, Settle} {
		if rng.IntN(2) == 0 {
			continue
		}
		add(t.rarely, func(at time.Duration) Step {
			return Step{At: at, Kind: k, Target: rng.IntN(p.CPs), N: rng.IntN(1 << 16), For: rng.between(span{time.Second, 10 * time.Minute})}
		})
	}
}

func (p *Plan) drawFaults(rng random, t tempo, kinds []Kind) {
	for _, k := range kinds {
		every := rng.between(t.faults)
		for at := rng.between(span{0, every}); at < p.For; at += rng.between(span{every / 4, 2 * every}) {
			s := Step{At: at, Kind: k, Target: rng.IntN(p.CPs), N: rng.IntN(1 << 16), For: rng.between(span{0, 2 * time.Minute})}
			switch rng.IntN(4) {
			case 0:
				s.For = rng.between(span{0, t.long})
			case 1:
				s.For = rng.between(span{0, 5 * time.Second})
			}
			p.Steps = append(p.Steps, s)
		}
	}
}

// restartOf is how long a killed part stays away.
func (p *Plan) restartOf(rng random) time.Duration {
	if rng.IntN(2) == 0 {
		return rng.between(span{0, min(p.Restart.most, 5*time.Second)})
	}
	return rng.between(p.Restart)
}
