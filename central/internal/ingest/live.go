package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// staleAfter is how long the bridge may be silent before the way to all charging
// points counts as stale.
const staleAfter = 5 * time.Second

// bridgeForgottenAfter is after what silence a bridge counts as taken out of service, if
// another one is heard.
const bridgeForgottenAfter = time.Minute

// maxFacts is how many facts are kept for who reads them late.
const maxFacts = 256

// Live is the present state of the whole network for whoever shows it: what
// the writer committed, with the latest telemetry over it. It is a cache with a
// mutex; all methods may be called concurrently and none waits for I/O.
type Live struct {
	clock func() time.Time

	mu sync.Mutex
	// mu guards what follows.
	central  charge.Epoch
	since    charge.Time // since when Central is up or not
	joined   bool        // nobody else spoke as Central when this one began
	waitsFor string      // why it has not joined yet
	fencedBy charge.Epoch
	database string       // trouble, "" when none
	alarm    ledger.Alarm // that the database cannot hold; without an ID: none

	kafka            Part
	troubles         []Trouble         // what Central itself cannot write or read while Kafka is up
	heartbeatsUnread string            // why the bridge cannot be heard by this Central; "" when it can
	bridge           *wire.BridgeAlive // as heard last; nil: never
	bridges          map[string]bridgeState
	pipeline         ledger.Pipeline
	points           map[charge.CPID]*livePoint
	counters         map[string]int64
	bad              int64 // telemetry that could not be read
	lost             int64
	alarms           int64
	twice            int64
	// lastAlarm says in words which alarms are open; "" when none is.
	lastAlarm string
	tariffs   map[charge.TariffVersion]ledger.Tariff
	fallback  ledger.Tariff

	checkedAt     charge.Time // when pulse judged last
	facts         []Fact
	n             uint64
	changed       chan struct{}
	activeChanged chan struct{} // closed when Active changes
}

// bridgeState is the last sign of life of one of the bridges.
type bridgeState struct {
	alive  *wire.BridgeAlive
	at     charge.Time
	offset int64 // of the record
}

type livePoint struct {
	view        pointView
	seenAt      charge.Time
	telemetry   *wire.Telemetry
	telemetryAt charge.Time     // of tele
	lastKnown   ledger.Liveness // the last link that was known
	notified    ledger.Liveness // as last told

	link              ledger.Liveness // as last judged
	linkSince         charge.Time     // when shown began
	silenceReportedAt charge.Time     // when the writer was told last that it is silent during a session
}

// NewLive returns a view of a network of which nothing is known. fallback is
// the tariff of sessions that name none.
func NewLive(fallback ledger.Tariff) *Live {
	now := charge.At(time.Now())
	return &Live{
		clock:    time.Now,
		pipeline: ledger.Pipeline{Started: now, HeartbeatTimeout: staleAfter}, since: now, waitsFor: "starting", fallback: fallback,
		kafka:  Part{Name: "kafka", State: PartUnknown, Since: now, Reason: "not asked yet"},
		points: map[charge.CPID]*livePoint{}, bridges: map[string]bridgeState{}, counters: map[string]int64{}, changed: make(chan struct{}), activeChanged: make(chan struct{}),
	}
}

// KafkaView is Kafka as Central meets it.
type KafkaView struct {
	Up     bool
	Reason string // in words: why it is not up, or what is remarkable while it is
	// Troubles are what Central cannot write or read while Kafka is up, the oldest
	// first.
	Troubles []Trouble
	// HeartbeatsUnread says why signs of life are not read; "" when they are.
	HeartbeatsUnread string
}

// Trouble is something that a part cannot do although what it needs is up.
type Trouble struct {
	Since  charge.Time
	Reason string // in words, without figures that change by themselves
}

// SetClock gives Central another wall clock than the system's. It must be called
// before anything else.
func (l *Live) SetClock(now func() time.Time) { l.clock = now }

// now is the moment by Central's wall clock, which may be set forward and back.
func (l *Live) now() charge.Time { return charge.At(l.clock()) }

// SetKafka says how Kafka is met.
func (l *Live) SetKafka(v KafkaView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := PartDown
	if v.Up {
		state = PartUp
	}
	if l.kafka.State != state {
		l.kafka.Since = l.now()
	}
	if l.kafka.State != state || l.kafka.Reason != v.Reason && v.Up || l.heartbeatsUnread != v.HeartbeatsUnread || !slices.Equal(l.troubles, v.Troubles) {
		l.notifyChanged()
	}
	l.kafka.State, l.kafka.Reason, l.troubles, l.heartbeatsUnread = state, v.Reason, v.Troubles, v.HeartbeatsUnread
}

// SetWaiting says in words what keeps Central from being active.
func (l *Live) SetWaiting(words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waitsFor != words {
		l.waitsFor = words
		l.notifyChanged()
	}
}

// Telemetry takes the latest values of a charging point. What cannot be read
// is counted; nothing is accounted by it.
func (l *Live) Telemetry(key string, value []byte) {
	t, err := wire.DecodeTelemetry(value)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || string(t.CPID) != key {
		l.bad++
		return
	}
	p := l.point(t.CPID)
	p.telemetry, p.telemetryAt, p.seenAt = &t, now, now
}

func (l *Live) point(id charge.CPID) *livePoint {
	p := l.points[id]
	if p == nil {
		p = &livePoint{view: pointView{ID: id}}
		l.points[id] = p
	}
	return p
}

// notifyChanged tells who waits that a state changed.
func (l *Live) notifyChanged() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Changed is closed when a state, not only a number, changed after it was
// handed out.
func (l *Live) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Facts returns what happened after fact n, oldest first, and the number of the
// last. n 0 asks for all that are kept.
func (l *Live) Facts(n uint64) ([]Fact, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.facts {
		if l.facts[i].N > n {
			return slices.Clone(l.facts[i:]), l.n
		}
	}
	return nil, l.n
}

func (l *Live) publishFacts(facts []Fact) {
	if len(facts) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range facts {
		l.n++
		f.N = l.n
		l.facts = append(l.facts, f)
	}
	if over := len(l.facts) - maxFacts; over > 0 {
		l.facts = slices.Delete(l.facts, 0, over)
	}
	l.notifyChanged()
}

// setLoaded takes what the database said.
func (l *Live) setLoaded(self charge.Epoch, counters map[string]int64, tariffs map[charge.TariffVersion]ledger.Tariff) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.central, l.counters, l.tariffs = self, counters, tariffs
	l.notifyChanged()
}

func (l *Live) addCounts(counts map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, n := range counts {
		l.counters[name] += n
	}
}

// Counter is one of the counters that live as long as the database.
func (l *Live) Counter(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counters[name]
}

// setBooks takes over how much is lost, how many alarms are open, and the latest
// of these.
func (l *Live) setBooks(lost, alarms, twice int64, last ledger.Alarm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost, l.alarms, l.twice, l.lastAlarm = lost, alarms, twice, ""
	if alarms > 0 {
		l.lastAlarm = fmt.Sprintf("%d open; the latest: %s: %s", alarms, last.Kind, last.Detail)
	}
}

func (l *Live) self() charge.Epoch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.central
}

// outranked reports whether an epoch is above that of this Central, and not that of
// the one that fenced it already.
func (l *Live) outranked(id charge.Epoch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.central.Less(id) && l.fencedBy.Less(id)
}

// Active reports whether this Central reads, orders, acknowledges and bills.
func (l *Live) Active() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined && l.fencedBy.IsZero()
}

// join says that nobody else speaks as Central.
func (l *Live) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined = true
	l.notifyActive()
}

// setFencedBy sets who fenced this Central, zero for nobody, and answers who did
// before. From then on Active says so.
func (l *Live) setFencedBy(by charge.Epoch) (was charge.Epoch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.fencedBy = l.fencedBy, by
	if was.IsZero() != by.IsZero() {
		l.notifyActive()
	}
	return was
}

// notifyActive tells who waits that Active changed.
func (l *Live) notifyActive() {
	l.since = l.now()
	close(l.activeChanged)
	l.activeChanged = make(chan struct{})
	l.notifyChanged()
}

// activeChange is closed when Central becomes active, or stops to be.
func (l *Live) activeChange() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.activeChanged
}

func (l *Live) setDatabase(trouble string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.database != trouble {
		if (l.database == "") != (trouble == "") {
			l.since = l.now()
		}
		l.database = trouble
		l.notifyChanged()
	}
}

// halt says that the database is damaged. Its alarm cannot be written into it,
// so it is held here.
func (l *Live) halt(trouble string) {
	l.setDatabase(trouble)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarm = ledger.Alarm{ID: string(AlarmDatabase), Kind: AlarmDatabase, At: l.now(), Detail: trouble}
	l.notifyChanged()
}

// Alarm is the one that cannot be written into the database, because that is
// damaged; ok is false when there is none.
func (l *Live) Alarm() (a ledger.Alarm, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alarm, l.alarm.ID != ""
}

// show takes what the writer committed of a charging point.
func (l *Live) show(v pointView) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.point(v.ID)
	if !p.view.same(&v) {
		l.notifyChanged()
	}
	p.view = v
}

// pointSeen notes a sign of life.
func (l *Live) pointSeen(id charge.CPID, d *KafkaRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.point(id)
	p.seenAt = max(p.seenAt, l.receivedAt(d))
}

// receivedAt is when something was heard: now, unless it waited in the log from
// before this Central began.
func (l *Live) receivedAt(d *KafkaRecord) charge.Time {
	now := l.now()
	if d.BeforeStart {
		return min(now, d.ReceivedAt)
	}
	return now
}

// bridgeHeartbeat takes a sign of life. It comes twice: at once, and by the reader that
// waits for the database.
func (l *Live) bridgeHeartbeat(b *wire.BridgeAlive, d *KafkaRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.receivedAt(d)
	was := l.bridges[b.Bridge]
	// The same is heard by two readers. Which is newer no clock says alone: the
	// bridge's may be set back, and the log may be another one.
	old := was.alive != nil && was.alive.StartedAt == b.StartedAt && b.At < was.alive.At && d.Offset <= was.offset
	if at < l.pipeline.LastHeartbeat() || old {
		return
	}
	if l.bridge == nil || l.bridge.MQTT.Up != b.MQTT.Up || was.alive == nil ||
		!slices.Equal(was.alive.Troubles, b.Troubles) || !slices.Equal(was.alive.Warnings, b.Warnings) {
		l.notifyChanged()
	}
	l.bridge = b
	l.bridges[b.Bridge] = bridgeState{b, at, d.Offset}
	l.pipeline.BridgeHeartbeat(b.MQTT.Up, b.MQTT.Since, at)
	l.pipeline.Refresh(l.now())
}

// dropSilentBridges forgets those that were silent for long beside one that is heard.
func (l *Live) dropSilentBridges(now charge.Time) {
	for name, b := range l.bridges {
		if b.alive != l.bridge && now > b.at.Add(bridgeForgottenAfter) {
			delete(l.bridges, name)
		}
	}
}

// evaluate says whether a charging point is there.
func (l *Live) evaluate(p *livePoint, now charge.Time) (ledger.Liveness, charge.Time) {
	s := ledger.Heartbeat{LastSeenAt: p.seenAt}
	if p.telemetry != nil {
		s.Interval = time.Duration(p.telemetry.IntervalMS) * time.Millisecond
	}
	if !p.view.Online && p.view.PresenceAt >= p.seenAt {
		s.WillAt = min(p.view.PresenceAt, now)
	}
	return l.pipeline.Liveness(s, p.lastKnown, now)
}

func (l *Live) liveness(id charge.CPID, now charge.Time) (link ledger.Liveness, since charge.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.points[id]
	if p == nil {
		return ledger.Unknown, l.pipeline.Started
	}
	return l.evaluate(p, now)
}

// silenceRepeat is after what time the writer is told once more that a charging
// point is silent: it may have lost the first one with a transaction.
const silenceRepeat = time.Minute

// checkLinks judges all links. It returns those charging points that are back, and
// those that have sessions open and were not heard for the time after, of which
// the ledger does not know that yet.
func (l *Live) checkLinks(now charge.Time, after time.Duration) (back []charge.CPID, silent []silentIn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now < l.checkedAt {
		l.clockSetBack(now)
	}
	l.checkedAt = now
	l.pipeline.Refresh(now)
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

// clockSetBack takes back what was heard by a clock that was ahead: until that date a
// charging point would be online though nothing is heard of it.
func (l *Live) clockSetBack(now charge.Time) {
	l.pipeline.ClockSetBack(now)
	l.since, l.kafka.Since = min(l.since, now), min(l.kafka.Since, now)
	for _, p := range l.points {
		p.seenAt, p.telemetryAt = min(p.seenAt, now), min(p.telemetryAt, now)
	}
	for name, b := range l.bridges {
		b.at = min(b.at, now)
		l.bridges[name] = b
	}
}

// Network returns a snapshot of everything; it shares nothing with Live.
func (l *Live) Network() Network {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	n := Network{At: now, Central: l.central, Parts: l.parts(now), CPs: make([]Point, 0, len(l.points))}
	b := &n.Books
	for _, id := range slices.Sorted(maps.Keys(l.points)) {
		p := l.points[id]
		v := l.snapshot(p, now)
		b.Announced += p.view.Known + p.view.Missing
		b.Unacked += v.Unacked
		b.Billed += p.view.Billed
		b.Running += p.view.Running
		b.Unaccounted += p.view.Unaccounted
		n.CPs = append(n.CPs, v)
	}
	b.Applied, b.Duplicates, b.Gaps = l.counters[countApplied], l.counters[countDuplicates], l.counters[countGaps]
	b.DeadLetters, b.Lost, b.Alarms, b.Unusable = l.counters[countDeadLetters], l.lost, l.alarms, l.counters[countUnusable]
	b.DeadLetters += l.counters[countBridgeDeadLetters]
	b.Twice, b.Mismatched = l.twice, l.counters[countMismatched]
	b.Forked, b.BadTelemetry = l.counters[countForked], l.bad
	if l.alarm.ID != "" {
		b.Alarms++
	}
	return n
}

// linkState judges a charging point and says since when it is so: the moment is kept
// while the state lasts, for that of its last sign of life moves on.
func (l *Live) linkState(p *livePoint, now charge.Time) (ledger.Liveness, charge.Time) {
	link, at := l.evaluate(p, now)
	if link != p.link {
		if at == 0 { // never heard in this life
			at = l.pipeline.Started
		}
		p.link, p.linkSince = link, min(at, now)
	}
	return p.link, p.linkSince
}

func (l *Live) snapshot(p *livePoint, now charge.Time) Point {
	link, since := l.linkState(p, now)
	v := &p.view
	out := Point{
		ID: v.ID, Name: v.Name, Place: v.Place, Admitted: v.Admitted, Simulated: v.Simulated, Link: link, LinkSince: since,
		SeenAt: p.seenAt, Unacked: v.Missing, Alarm: v.Alarm, Agent: v.Agent,
		Connectors: make([]Connector, 0, len(v.Connectors)),
	}
	if p.telemetry != nil {
		if p.telemetry.Journal == v.Present {
			out.Unacked = p.telemetry.Health.Unacked
		}
		out.Alarm = cmp.Or(out.Alarm, p.telemetry.Health.Alarm)
	}
	for i := range v.Connectors {
		out.Connectors = append(out.Connectors, l.connector(p, &v.Connectors[i], now))
	}
	return out
}

func (l *Live) connector(p *livePoint, k *connectorView, now charge.Time) Connector {
	out := k.Connector
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
		out.Cost = l.tariff(k.tariff).Cost(out.Energy, k.started)
	}
	return out
}

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

func (l *Live) tariff(v charge.TariffVersion) ledger.Tariff {
	if t, ok := l.tariffs[v]; ok {
		return t
	}
	return l.fallback
}
