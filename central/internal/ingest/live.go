package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// staleAfter is how old the last heartbeat of the bridges may be until the
// links of all charging points are unknown: without a bridge nothing of them
// can arrive. The bridge sends one per second.
const staleAfter = 5 * time.Second

// bridgeForgottenAfter is how long a bridge may be silent, while another one
// sends heartbeats, until it counts as taken out of service.
const bridgeForgottenAfter = time.Hour

// maxFacts is how many facts are kept for readers that connect later.
const maxFacts = 1024

// Live is the present state of the whole network, for the page and for health:
// what the writer committed, with the latest telemetry over it. It is a cache
// with a mutex. All methods may be called concurrently; none waits for I/O.
type Live struct {
	clock func() time.Time
	demo  bool // the page offers to cut parts

	mu sync.Mutex
	// mu guards what follows.
	central charge.Epoch
	// since is when the state of Central itself changed last.
	since charge.Time
	// joined is set when the writer becomes active for the first time; waitsFor
	// is what it waits for until then.
	joined   bool
	waitsFor reason.Reason
	fencedBy charge.Epoch  // zero: not fenced
	database reason.Reason // why it cannot be written; zero if it can
	// alarm is an alarm that cannot be stored because the database is damaged;
	// without an ID there is none.
	alarm ledger.Alarm

	kafka view.Part
	// troubles are what Central cannot write or read although Kafka is up.
	troubles []Trouble
	// heartbeatsUnread is why this Central cannot read the heartbeats of the
	// bridge; zero if it can.
	heartbeatsUnread reason.Reason
	bridge           *wire.BridgeAlive // latest heartbeat of a bridge that does not stand by; nil: none yet
	bridges          map[string]bridgeState
	// pipeline decides whether data of charging points can arrive at all: by any
	// bridge.
	pipeline ledger.Pipeline
	// ways are the pipelines by each bridge, or by the bridges that share a session,
	// of which one is active. Which way a charging point uses is not known.
	ways     map[string]*way
	points   map[charge.CPID]*livePoint
	counters map[string]int64
	// badTelemetry counts telemetry that could not be decoded.
	badTelemetry int64
	lost         int64
	alarms       int64
	twice        int64
	// lastAlarm describes the open alarms; "" if there is none.
	lastAlarm string
	tariffs   ledger.Tariffs
	fallback  ledger.Tariff

	bridgeLetters []view.BridgeDeadLetter // the latest, the latest first

	checkedAt charge.Time // when checkLinks ran last
	facts     []view.Fact
	lastFact  uint64
	// changed is closed and replaced when a state changes, activeChanged when
	// Active does.
	changed       chan struct{}
	activeChanged chan struct{}
}

// way is a pipeline by one bridge, or by several that share a session.
type way struct {
	ledger.Pipeline
	active *wire.BridgeAlive // latest heartbeat of the bridge that does not stand by; nil: none yet
}

// wayOf names the way that a bridge belongs to.
func wayOf(b *wire.BridgeAlive) string {
	if b.Lease != nil {
		return "session " + b.Lease.Session
	}
	return "bridge " + b.Bridge
}

// bridgeState is the latest heartbeat of one bridge.
type bridgeState struct {
	heartbeat *wire.BridgeAlive
	at        charge.Time
	offset    int64 // of its Kafka record
}

// livePoint is a charging point in Live. A charging point that is known only by
// its telemetry has an empty view.
type livePoint struct {
	view        pointView
	seenAt      charge.Time
	telemetry   *wire.Telemetry
	telemetryAt charge.Time // when telemetry was received
	readerSince charge.Time // when its card reader ceased to answer; 0: it answers
	series      map[charge.ConnectorID]*series
	lastKnown   ledger.Liveness // the last link that was not unknown
	notified    ledger.Liveness // the link of which readers were notified last

	link              ledger.Liveness // as evaluated last
	linkSince         charge.Time     // when link began
	silenceReportedAt charge.Time     // when the writer was last informed of its silence during a session
}

// NewLive returns a view of a network of which nothing is known. fallback is
// the tariff of sessions that name no known version.
func NewLive(fallback ledger.Tariff) *Live {
	now := charge.At(time.Now())
	return &Live{
		clock:    time.Now,
		pipeline: ledger.Pipeline{Started: now, HeartbeatTimeout: staleAfter}, since: now, waitsFor: reason.Reason{Code: reason.Starting}, fallback: fallback,
		kafka:  because(view.Part{Name: "kafka", State: view.PartUnknown, Since: now}, reason.Reason{Code: reason.NotAsked}),
		points: map[charge.CPID]*livePoint{}, bridges: map[string]bridgeState{}, ways: map[string]*way{}, counters: map[string]int64{}, changed: make(chan struct{}), activeChanged: make(chan struct{}),
	}
}

// KafkaView is the state of Kafka as Central observes it.
type KafkaView struct {
	Up  bool
	Why []reason.Reason // why it is not up, or warnings while it is
	// Troubles are what Central cannot write or read although Kafka is up, the
	// oldest first.
	Troubles []Trouble
	// HeartbeatsUnread is why heartbeats of the bridge are not read; zero if they
	// are.
	HeartbeatsUnread reason.Reason
}

// Trouble is something that a part cannot do although everything it needs is
// up.
type Trouble struct {
	Since charge.Time
	Why   reason.Reason // readers are notified of each new one
}

// SetDemo makes the page offer to cut parts. It must be called before any other
// method.
func (l *Live) SetDemo() { l.demo = true }

// SetClock replaces the system's wall clock, for tests. It must be called
// before any other method.
func (l *Live) SetClock(now func() time.Time) { l.clock = now }

// now returns the time by Central's wall clock, which may be set forward and
// back.
func (l *Live) now() charge.Time { return charge.At(l.clock()) }

// SetKafka stores the state of Kafka.
func (l *Live) SetKafka(v KafkaView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := view.PartDown
	if v.Up {
		state = view.PartUp
	}
	if l.kafka.State != state {
		l.kafka.Since = l.now()
	}
	if l.kafka.State != state || v.Up && !slices.Equal(l.kafka.Why, v.Why) || l.heartbeatsUnread != v.HeartbeatsUnread || !slices.Equal(l.troubles, v.Troubles) {
		l.notifyChanged()
	}
	l.kafka.State, l.troubles, l.heartbeatsUnread = state, v.Troubles, v.HeartbeatsUnread
	l.kafka.Because(v.Why...)
}

// SetWaiting stores what keeps Central from being active.
func (l *Live) SetWaiting(why reason.Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waitsFor != why {
		l.waitsFor = why
		l.notifyChanged()
	}
}

// Telemetry stores the latest values of a charging point. Nothing is billed by
// them. Telemetry that cannot be decoded is counted and dropped.
func (l *Live) Telemetry(key string, value []byte) {
	t, err := wire.DecodeTelemetry(value)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || string(t.CPID) != key {
		l.badTelemetry++
		return
	}
	p := l.point(t.CPID)
	l.noteReader(p, &t.Health, now)
	p.telemetry, p.telemetryAt, p.seenAt = &t, now, now
	p.addSeries(&t, now)
}

// noteReader notes whether the card reader of a charging point answers. The time is
// computed once: its age by the clocks of two machines would change with each message.
func (l *Live) noteReader(p *livePoint, h *wire.Health, now charge.Time) {
	switch {
	case (h.Reader == "") == (p.readerSince == 0):
		return
	case h.Reader == "":
		p.readerSince = 0
	default:
		p.readerSince = now.Add(-time.Duration(h.ReaderMS) * time.Millisecond)
	}
	l.notifyChanged()
}

// point returns a charging point, a new one if it is unknown. The caller holds
// mu, as for all unexported methods below that do not lock it.
func (l *Live) point(id charge.CPID) *livePoint {
	p := l.points[id]
	if p == nil {
		p = &livePoint{view: pointView{CP: view.CP{ID: id}}}
		l.points[id] = p
	}
	return p
}

// notifyChanged wakes the readers that wait on Changed.
func (l *Live) notifyChanged() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next change of a state; a
// change of numbers alone does not close it.
func (l *Live) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Facts returns the facts after number n, oldest first, and the number of the
// last one. n 0 returns all that are kept.
func (l *Live) Facts(n uint64) ([]view.Fact, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.facts {
		if l.facts[i].N > n {
			return slices.Clone(l.facts[i:]), l.lastFact
		}
	}
	return nil, l.lastFact
}

// publishFacts numbers new facts and keeps the last maxFacts.
func (l *Live) publishFacts(facts []view.Fact) {
	if len(facts) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range facts {
		l.lastFact++
		f.N = l.lastFact
		l.facts = append(l.facts, f)
	}
	if over := len(l.facts) - maxFacts; over > 0 {
		l.facts = slices.Delete(l.facts, 0, over)
	}
	l.notifyChanged()
}

// setLoaded stores what was loaded from the database.
func (l *Live) setLoaded(self charge.Epoch, counters map[string]int64, tariffs ledger.Tariffs) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.central, l.counters, l.tariffs = self, counters, tariffs
	l.notifyChanged()
}

// setTariffs stores all versions of the prices.
func (l *Live) setTariffs(all ledger.Tariffs) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tariffs = all
}

// addCounts adds what was committed to the counters.
func (l *Live) addCounts(counts map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, n := range counts {
		l.counters[name] += n
	}
}

// Counter returns one of the counters that live as long as the database.
func (l *Live) Counter(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counters[name]
}

// setBooks stores the number of lost records, of open alarms and of alarms
// about double billing, and the latest open alarm.
func (l *Live) setBooks(lost, alarms, twice int64, last ledger.Alarm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost, l.alarms, l.twice, l.lastAlarm = lost, alarms, twice, ""
	if alarms > 0 {
		l.lastAlarm = fmt.Sprintf("%d open; the latest: %s: %s", alarms, last.Kind, last.Detail)
	}
}

// self returns this Central's epoch; zero before it has one.
func (l *Live) self() charge.Epoch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.central
}

// outranked reports whether an epoch is above this Central's and above the one
// that fenced it already.
func (l *Live) outranked(id charge.Epoch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.central.Less(id) && l.fencedBy.Less(id)
}

// Active reports whether this Central reads records, sends commands,
// acknowledges and bills.
func (l *Live) Active() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined && l.fencedBy.IsZero()
}

// join makes this Central active, unless it is fenced.
func (l *Live) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined = true
	l.notifyActive()
}

// fenced reports whether another Central took over.
func (l *Live) fenced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.fencedBy.IsZero()
}

// setFencedBy stores the epoch that fenced this Central, zero for none, and
// returns the one before.
func (l *Live) setFencedBy(by charge.Epoch) (was charge.Epoch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.fencedBy = l.fencedBy, by
	if was.IsZero() != by.IsZero() {
		l.notifyActive()
	}
	return was
}

// notifyActive wakes those that wait for a change of Active.
func (l *Live) notifyActive() {
	l.since = l.now()
	close(l.activeChanged)
	l.activeChanged = make(chan struct{})
	l.notifyChanged()
}

// activeChange returns a channel that is closed when Active changes.
func (l *Live) activeChange() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.activeChanged
}

// setDatabase stores why the database cannot be written; zero if it can.
func (l *Live) setDatabase(trouble reason.Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.database != trouble {
		if l.database.IsZero() != trouble.IsZero() {
			l.since = l.now()
		}
		l.database = trouble
		l.notifyChanged()
	}
}

// setDamaged stores that the database is damaged. The alarm about it cannot be stored
// there, so it is kept here.
func (l *Live) setDamaged(trouble reason.Reason) {
	l.setDatabase(trouble)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarm = ledger.Alarm{ID: string(view.AlarmDatabase), Kind: view.AlarmDatabase, At: l.now(), Detail: trouble.String(), Why: trouble}
	l.notifyChanged()
}

// Alarm returns the alarm that cannot be stored because the database is
// damaged; ok is false if there is none.
func (l *Live) Alarm() (a ledger.Alarm, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alarm, l.alarm.ID != ""
}

// show replaces the view of a charging point by the committed one.
func (l *Live) show(v pointView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.point(v.ID)
	if !p.view.same(&v) {
		l.notifyChanged()
	}
	p.view = v
}

// pointSeen notes that something of a charging point was received.
func (l *Live) pointSeen(id charge.CPID, d *KafkaRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.point(id)
	p.seenAt = max(p.seenAt, l.receivedAt(d))
}

// receivedAt returns when a record was received: now, or, if it waited in the
// log from before this run, when the bridge had it.
func (l *Live) receivedAt(d *KafkaRecord) charge.Time {
	now := l.now()
	if d.BeforeStart {
		return min(now, d.ReceivedAt)
	}
	return now
}

// bridgeHeartbeat stores the heartbeat of a bridge. It is called twice for
// each: through ObserveRecord, and through Submit, whose reader may be late.
func (l *Live) bridgeHeartbeat(b *wire.BridgeAlive, d *KafkaRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.receivedAt(d)
	was := l.bridges[b.Bridge]
	// A heartbeat is old only if both its time and its offset are: the bridge's
	// clock may have been set back, and the log may have been replaced.
	old := was.heartbeat != nil && was.heartbeat.StartedAt == b.StartedAt && b.At < was.heartbeat.At && d.Offset <= was.offset
	if at < l.pipeline.LastHeartbeat() || old {
		return
	}
	if was.heartbeat == nil || was.heartbeat.MQTT.Up != b.MQTT.Up || was.heartbeat.StandsBy() != b.StandsBy() ||
		!slices.Equal(was.heartbeat.Troubles, b.Troubles) || !slices.Equal(was.heartbeat.Warnings, b.Warnings) {
		l.notifyChanged()
	}
	l.bridges[b.Bridge] = bridgeState{b, at, d.Offset}
	w := l.ways[wayOf(b)]
	if w == nil {
		w = &way{Pipeline: ledger.Pipeline{Started: l.pipeline.Started, HeartbeatTimeout: staleAfter}}
		l.ways[wayOf(b)] = w
	}
	if b.StandsBy() { // another bridge does its work, or none does
		return
	}
	l.bridge, w.active = b, b
	for _, p := range []*ledger.Pipeline{&l.pipeline, &w.Pipeline} {
		p.BridgeHeartbeat(b.MQTT.Up, b.MQTT.Since, at)
		p.Refresh(l.now())
	}
}

// dropSilentBridges forgets bridges that have been silent for
// bridgeForgottenAfter while another one sends heartbeats, and the ways of which
// no bridge is left.
func (l *Live) dropSilentBridges(now charge.Time) {
	used := map[string]bool{}
	for name, b := range l.bridges {
		if b.heartbeat != l.bridge && now > b.at.Add(bridgeForgottenAfter) {
			delete(l.bridges, name)
		} else {
			used[wayOf(b.heartbeat)] = true
		}
	}
	maps.DeleteFunc(l.ways, func(name string, _ *way) bool { return !used[name] })
}

// evaluate returns whether a charging point is online, and since when.
func (l *Live) evaluate(p *livePoint, now charge.Time) (ledger.Liveness, charge.Time) {
	s := ledger.Contact{LastSeenAt: p.seenAt}
	if p.telemetry != nil {
		s.Interval = time.Duration(p.telemetry.IntervalMS) * time.Millisecond
	}
	if !p.view.Online && p.view.PresenceAt >= p.seenAt {
		s.WillAt = min(p.view.PresenceAt, now)
	}
	link, since := l.pipeline.Liveness(s, p.lastKnown, now)
	if len(l.ways) < 2 {
		return link, since
	}
	// Each way has its opinion: what arrives proves that a charging point is there;
	// silence proves it gone only if every way is fresh.
	rank := map[ledger.Liveness]int{ledger.Online: 2, ledger.Unknown: 1, ledger.Offline: 0}
	first := true
	for _, w := range l.ways {
		if one, at := w.Liveness(s, p.lastKnown, now); first || rank[one] > rank[link] || one == link && at < since {
			link, since, first = one, at, false
		}
	}
	return link, since
}

// liveness returns whether a charging point is online, and since when.
func (l *Live) liveness(id charge.CPID, now charge.Time) (link ledger.Liveness, since charge.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.points[id]
	if p == nil {
		return ledger.Unknown, l.pipeline.Started
	}
	return l.evaluate(p, now)
}

// silenceRepeat is when the writer is informed again of a silent charging
// point, because the first time may have been lost with a failed commit.
const silenceRepeat = time.Minute

// checkLinks evaluates all links. It returns the charging points that came back
// online, and those with open sessions that have been silent for after, unless
// the ledger has noted their silence.
func (l *Live) checkLinks(now charge.Time, after time.Duration) (back []charge.CPID, silent []silentIn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now < l.checkedAt {
		l.clockSetBack(now)
	}
	l.checkedAt = now
	l.pipeline.Refresh(now)
	for _, w := range l.ways {
		w.Refresh(now)
	}
	l.dropSilentBridges(now)
	moved := false
	for id, p := range l.points {
		link, since := l.linkState(p, now)
		if link == ledger.Offline && p.view.HasSession && !p.view.Silent && now >= max(since, l.pipeline.Started).Add(after) &&
			now >= p.silenceReportedAt.Add(silenceRepeat) {
			p.silenceReportedAt = now
			silent = append(silent, silentIn{id, since})
		}
		if link != p.notified {
			moved = true
			if link == ledger.Online {
				back = append(back, id)
			}
		}
		if p.notified = link; link != ledger.Unknown {
			p.lastKnown = link
		}
	}
	if moved {
		l.notifyChanged()
	}
	slices.Sort(back)
	return back, silent
}

// clockSetBack corrects times of reception that are in the future because the
// clock was set back. Otherwise a charging point would stay online until that
// time although nothing of it is received.
func (l *Live) clockSetBack(now charge.Time) {
	l.pipeline.ClockSetBack(now)
	for _, w := range l.ways {
		w.ClockSetBack(now)
	}
	l.since, l.kafka.Since = min(l.since, now), min(l.kafka.Since, now)
	for _, p := range l.points {
		p.seenAt, p.telemetryAt, p.readerSince = min(p.seenAt, now), min(p.telemetryAt, now), min(p.readerSince, now)
	}
	for name, b := range l.bridges {
		b.at = min(b.at, now)
		l.bridges[name] = b
	}
}

// Network returns a snapshot of everything, which shares nothing with Live.
func (l *Live) Network() view.Network {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	n := view.Network{At: now, Central: l.central, Demo: l.demo, Parts: l.parts(now), Bridges: l.bridgeStates(now), CPs: make([]view.CP, 0, len(l.points))}
	b := &n.Books
	for _, id := range slices.Sorted(maps.Keys(l.points)) {
		p := l.points[id]
		v := l.snapshot(p, now)
		b.Announced += p.view.Known + p.view.Unacked
		b.Unacked += v.Unacked
		b.Billed += p.view.Billed
		b.Running += p.view.Running
		b.Unaccounted += p.view.Unaccounted
		n.CPs = append(n.CPs, v)
	}
	b.Applied, b.Duplicates, b.OutOfOrder = l.counters[countApplied], l.counters[countDuplicates], l.counters[countOutOfOrder]
	b.DeadLetters, b.Lost, b.Alarms, b.Unusable = l.counters[countDeadLetters], l.lost, l.alarms, l.counters[countUnusable]
	b.DeadLetters += l.counters[countBridgeDeadLetters]
	b.Twice, b.Mismatched = l.twice, l.counters[countMismatched]
	b.Forked, b.BadTelemetry = l.counters[countForked], l.badTelemetry
	if l.alarm.ID != "" {
		b.Alarms++
	}
	return n
}

// linkState evaluates a charging point and returns since when it has that
// state. The time is stored at the change: the time of the last reception moves
// on while the state lasts.
func (l *Live) linkState(p *livePoint, now charge.Time) (ledger.Liveness, charge.Time) {
	link, at := l.evaluate(p, now)
	if link != p.link {
		if at == 0 { // nothing received in this run
			at = l.pipeline.Started
		}
		p.link, p.linkSince = link, min(at, now)
	}
	return p.link, p.linkSince
}

// snapshot returns a charging point as it is shown.
func (l *Live) snapshot(p *livePoint, now charge.Time) view.CP {
	v := &p.view
	out := v.CP
	out.Link, out.LinkSince = l.linkState(p, now)
	out.LastSeenAt, out.Connectors = p.seenAt, make([]view.Connector, 0, len(v.Connectors))
	if p.telemetry != nil {
		if p.telemetry.Journal == v.Present {
			out.Unacked = p.telemetry.Health.Unacked
		}
		out.Alarm = cmp.Or(out.Alarm, p.telemetry.Health.Alarm)
		out.ReaderTrouble, out.ReaderSince = p.telemetry.Health.Reader, p.readerSince
	}
	for i := range v.Connectors {
		k, _ := l.connector(p, &v.Connectors[i], now)
		out.Connectors = append(out.Connectors, k)
	}
	return out
}

// connector returns a connector as it is shown: the committed one, without a
// reservation that has expired since, and with the values of telemetry.
// Telemetry may be late, so register and energy never go back behind the
// committed ones. Only a connector with a session has a cost.
func (l *Live) connector(p *livePoint, k *connectorView, now charge.Time) (out view.Connector, cost money.Amount) {
	out = k.Connector
	out.Faults = slices.Clone(k.Faults)
	if out.ReservedUntil != 0 && now >= out.ReservedUntil {
		out.Status, out.ReservationID, out.ReservedUntil, out.Username = k.statusAfter, "", 0, k.sessionUser
	}
	if t := telemetryOf(p, k.Connector.Connector); t != nil {
		out.Power, out.ValuesAt, out.Register = t.Power, p.telemetryAt, max(out.Register, t.Register)
		if out.SessionID != "" && t.SessionID == out.SessionID {
			out.Energy = max(out.Energy, t.Register-k.startRegister)
		}
	}
	if out.SessionID != "" {
		u := k.usage // up to the last record, with the energy of now
		u.Energy = out.Energy
		cost = l.tariff(k).Cost(u)
		out.Cost, out.Currency = cost.Decimal(), cost.Currency
		if k.limitAmount > 0 {
			out.LimitCost = money.Amount{Minor: k.limitAmount, Currency: cost.Currency}.Decimal()
		}
	}
	return out, cost
}

// telemetryOf returns the telemetry of a connector; nil if there is none of the
// present boot.
func telemetryOf(p *livePoint, id charge.ConnectorID) *wire.ConnectorTelemetry {
	if p.telemetry == nil || p.telemetry.Journal != p.view.Present {
		return nil // of another boot
	}
	for i := range p.telemetry.Connectors {
		if t := &p.telemetry.Connectors[i]; t.Connector == id {
			return t
		}
	}
	return nil
}

// running returns what an open session is priced by now, by its latest telemetry.
func (l *Live) running(s *ledger.Session) ledger.Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.points[s.CPID]
	if p == nil {
		return s.Usage()
	}
	t := telemetryOf(p, s.Connector)
	if t == nil || t.SessionID != s.ID {
		return s.Usage()
	}
	return s.UsageAt(p.telemetry.Journal, p.telemetry.UptimeMS, t.Register)
}

// tariff returns the tariff of the session of a connector.
func (l *Live) tariff(k *connectorView) ledger.Tariff {
	env := ledger.Env{Tariff: l.tariffs.Find, TariffAt: l.tariffs.At, Default: l.tariffs.Present(l.now(), l.fallback)}
	return env.TariffOf(k.tariff, k.authorizedAt)
}
