package world

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Policy is what the owners of the charging points configured; see
// connector.Policy. It is the same for all charging points of a run.
type Policy struct {
	// A session survives a restart of the agent.
	Resume bool `json:"resume,omitempty"`
	// Plugging in at a reserved connector starts the session.
	ReservedPlugStarts bool `json:"reserved_plug_starts,omitempty"`
	// Plugging in starts a session without an order.
	FreeVend bool `json:"free_vend,omitempty"`
}

// Plan describes a run: the size of the network, its configuration, and the steps
// of people and faults. It is drawn from a seed. Steps have random sources of
// their own, so that removing one leaves the others as they are.
type Plan struct {
	Seed       uint64
	CPs        int
	Connectors int           // of each charging point
	Partitions int           // of each Kafka topic at the beginning
	For        time.Duration // until the heal
	Policy     Policy

	ReservationLife time.Duration
	Telemetry       time.Duration // interval

	// Options of the journal, small enough for segments and retention to matter
	// within hours: see journal.Options.
	Segment     int64
	Quota       int64
	RetainBytes int64
	RetainFor   time.Duration

	// How long a component that was killed stays down; see restartOf.
	Restart span
	// First starts: MQTT, Kafka, bridge, Central, then the agents; used cyclically.
	Starts []time.Duration
	// Lines of agents lose, duplicate and reorder messages during the whole run.
	Lossy bool

	// The fuse of all charging points, and the safe current of each connector, per phase.
	// 0: they share none, and nothing limits their current.
	Fuse, Safe charge.MilliAmps

	Steps []Step // in the order of their times
}

// Step is one action of a person, or one fault, that is applied to the network.
type Step struct {
	At   time.Duration
	Kind Kind
	// Index of a charging point, or of a driver for Visit; taken modulo their number.
	Target int
	// A random number with a meaning of the kind's own, e.g. which connector.
	N int
	// How long it lasts, for kinds that last.
	For time.Duration
}

// String formats the step for a report.
func (s Step) String() string {
	return fmt.Sprintf("%s %s target=%d n=%d for=%s", clock(s.At), s.Kind, s.Target, s.N, s.For)
}

// clock formats a time since the beginning of the run as hours:minutes:seconds.
func clock(d time.Duration) string {
	d = d.Round(time.Millisecond)
	return fmt.Sprintf("%02d:%02d:%02d.%03d", d/time.Hour, d/time.Minute%60, d/time.Second%60, d/time.Millisecond%1000)
}

// Kind is what a step does. Its text seeds the random source of the step, so it
// must not change.
type Kind string

// What people do.
const (
	// A driver requests, arrives, charges and leaves.
	Visit    Kind = "visit"
	Stranger Kind = "stranger" // a person plugs in without a request
	// An operator makes everything unavailable, and available again.
	StopAll Kind = "stop_all"
	// The same for one charging point or connector.
	StopOne Kind = "stop_one"
	// An operator reserves for a driver, and the driver may come.
	Reserve     Kind = "reserve"
	Cancel      Kind = "cancel"       // an operator cancels a reservation
	StartHere   Kind = "start_here"   // an operator starts a session
	StopSession Kind = "stop_session" // an operator stops a session
	// An operator settles a session of a silent charging point, as soon as there is one.
	Settle      Kind = "settle"
	Break       Kind = "break"         // the hardware breaks, and is repaired
	BreakByHand Kind = "break_by_hand" // the same by the command SIMULATE
	// A card is held to the reader; operators issue, block and delete cards.
	Tap       Kind = "tap"
	IssueCard Kind = "issue_card"
	BlockCard Kind = "block_card"
	// An operator makes, changes or deletes the group of all charging points.
	ChangeGroup Kind = "change_group"
)

// Faults that the nemesis injects (nemesis.go).
const (
	// The process ends at once; the disk keeps what was written.
	KillAgent Kind = "kill_agent"
	// The same in the middle of an operation of the journal.
	KillAtOp Kind = "kill_agent_at_disk_operation"
	// The charging point loses power; unsynced sectors are torn.
	PowerCut Kind = "power_cut"
	// The same in the middle of an operation of the journal.
	PowerAtOp    Kind = "power_cut_at_disk_operation"
	PowerFlicker Kind = "power_flicker" // many cuts in a few seconds
	KillBridge   Kind = "kill_bridge"   // all it held in memory is gone
	KillCentral  Kind = "kill_central"  // all Centrals
	// During a transaction that may or may not be durable.
	KillAtCommit Kind = "kill_central_in_a_commit"
	// The broker restarts with what it kept on disk.
	KillMQTT Kind = "kill_mqtt"
	// The broker restarts empty: no retained messages, no session.
	WipeMQTT  Kind = "wipe_mqtt"
	KillKafka Kind = "kill_kafka" // unreachable for a while
	// Records that were acknowledged and not flushed are gone.
	CutKafka Kind = "kafka_loses_its_tail"
	NewKafka Kind = "kafka_replaced" // empty logs whose offsets begin at 0
	// Retention deletes records, read or not.
	OldKafka Kind = "kafka_deletes_old"
	// Lines are cut one by one, and healed in another order.
	Clog      Kind = "clog"
	Noise     Kind = "noise"            // a line loses, duplicates and reorders
	DiskFull  Kind = "disk_full"        // ENOSPC
	DiskWrite Kind = "disk_write_fails" // EIO
	DiskSync  Kind = "disk_sync_fails"  // EIO; what was to be synced is lost
	DiskRead  Kind = "disk_read_fails"  // EIO
	DiskSlow  Kind = "disk_slow"        // commits last up to 4 s
	// Syncs report success, and are lost with the next power cut.
	DiskDropsSyncs Kind = "disk_lies"
	// The disk is replaced by an older image of itself.
	DiskBack  Kind = "disk_rolled_back"
	DiskEmpty Kind = "disk_replaced" // the disk is replaced by an empty one
	// Of an agent, by minutes, an hour or ten years.
	ClockJump Kind = "clock_jump"
	// An agent has no wall clock until Central sends the time.
	ClockLost    Kind = "clock_lost"
	CentralClock Kind = "central_clock_jump" // of all Centrals, by up to 20 minutes
	// Of Central, of an agent and of the bridge, one or several.
	DaysAhead Kind = "clocks_days_ahead"
	// An agent accepted an epoch that no Central here ever had.
	HighEpoch Kind = "agent_obeys_a_high_epoch"
	DBFull    Kind = "db_full" // Central's database refuses commits
	// Central restarts from a backup of its database.
	Restore Kind = "central_restored"
	// A second Central starts from a backup beside the first.
	TwoCentrals Kind = "two_centrals"
	// Two Centrals start from the same backup, in place of the first.
	Twins Kind = "central_restored_twice_at_once"
	// Messages that cannot be decoded, on every topic.
	Poison Kind = "poison"
	// A Byzantine charging point, see byzantine.go.
	Nonsense Kind = "charging_point_reports_nonsense"
	// Records in the name of a charging point whose chain the sender does not know.
	Forged    Kind = "records_of_a_stranger"
	GrowKafka Kind = "kafka_topics_get_partitions" // keys move to other partitions
)

// Faults returns all kinds of faults. Their order matters: Draw picks by index.

// Faults are all kinds of what goes wrong.
func Faults() []Kind {
	return []Kind{
		KillAgent, KillAtOp, PowerCut, PowerAtOp, PowerFlicker, KillBridge, KillCentral, KillAtCommit, KillMQTT, WipeMQTT, KillKafka, CutKafka,
		NewKafka, OldKafka, Clog, Noise, DiskFull, DiskWrite, DiskSync, DiskRead, DiskSlow, DiskDropsSyncs, DiskBack, DiskEmpty, ClockJump, ClockLost,
		CentralClock, DBFull, Restore, TwoCentrals, Poison, GrowKafka, DaysAhead, HighEpoch, Twins,
		Forged, Nonsense,
	}
}

// tempo is how much happens in a run, and for how long.
type tempo struct {
	life span // duration until the heal
	// Between two visits of drivers, per charging point.
	visits time.Duration
	// Between two other actions of people, per kind.
	rarely    time.Duration
	faults    span          // between two faults of a kind
	long      time.Duration // maximum duration of one fault in four
	telemetry span          // interval of telemetry messages
}

// OrdinaryEvery selects the seeds with an ordinary tempo: its multiples. All
// other seeds are hurried.
const OrdinaryEvery = 8

// tempoOf returns the tempo of a seed. A hurried run has in hours what an ordinary
// one has in days, so that many things coincide; an ordinary one has nights, days
// without a bridge, and backups of yesterday.
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

// Draw makes the plan of a seed. faults are the kinds of faults to inject; nil
// draws up to six of all. The order of the draws is part of what a seed means.
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
	p.drawCards(t)
	p.drawGroup(t)
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return p
}

// drawPeople adds what people do: visits always, every other kind in half of the runs.
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

// drawFaults adds the faults of the given kinds. A quarter of them last long, a
// quarter a few seconds only, and the others up to two minutes.
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

// restartOf draws how long a killed component stays down: often so briefly that
// the others hardly notice.
func (p *Plan) restartOf(rng random) time.Duration {
	if rng.IntN(2) == 0 {
		return rng.between(span{0, min(p.Restart.most, 5*time.Second)})
	}
	return rng.between(p.Restart)
}
