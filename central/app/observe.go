package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/obs"
	"github.com/carga-ev/carga/internal/wire"
)

const metricPrefix = "carga_central_"

// caughtUp is how many records may wait in a partition before Central counts
// as being behind: about a second's worth.
const caughtUp = 1000

// counters is what Central counts beside its books.
type counters struct {
	commit *obs.Durations // how long each transaction took
	age    *obs.Durations // from the charging point's stamp to the commit

	mu sync.Mutex
	// mu guards what follows.
	ended map[commandResult]int64
}

type commandResult struct {
	kind  wire.CommandType
	state orders.CommandState
}

func newCounters() *counters {
	const ms = time.Millisecond
	return &counters{
		commit: obs.NewDurations(ms, 2*ms, 5*ms, 10*ms, 25*ms, 50*ms, 100*ms, 250*ms, 500*ms, time.Second, 2500*ms),
		age: obs.NewDurations(50*ms, 100*ms, 250*ms, 500*ms, time.Second, 2*time.Second, 5*time.Second, 10*time.Second,
			time.Minute, 10*time.Minute, time.Hour, day),
		ended: map[commandResult]int64{},
	}
}

func (w *counters) commandEnded(kind wire.CommandType, how orders.CommandState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[commandResult{kind, how}]++
}

func (w *counters) commands() obs.Family {
	f := obs.Family{Name: metricPrefix + "commands_total", Kind: obs.Counter, Help: "Commands that ended in this life, by what they are and how they ended."}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range []wire.CommandType{
		wire.CommandReserve, wire.CommandCancel, wire.CommandStart, wire.CommandStop, wire.CommandSetAvailability, wire.CommandSimulate,
	} { // zeros too, so that the first one is seen to come
		for _, how := range []orders.CommandState{orders.Done, orders.Failed, orders.Rejected, orders.Expired, orders.Superseded} {
			f.Samples = append(f.Samples, obs.Sample{
				Labels: []obs.Label{{Name: "kind", Value: string(kind)}, {Name: "result", Value: string(how)}}, Value: float64(w.ended[commandResult{kind, how}]),
			})
		}
	}
	return f
}

// watch makes the watch of a Central.
func (c *components) newWatch(log *slog.Logger) {
	c.counters = newCounters()
	c.watch = obs.NewWatch(metricPrefix, c.checkHealth, c.families, log)
}

func (c *components) writerHooks() ingest.Hooks {
	return ingest.Hooks{
		Iterated: c.watch.Loop("writer").Turn, Pulsed: c.watch.Loop("pulse").Turn,
		Committed: c.counters.commit.Observe, RecordAge: c.counters.age.Observe, CommandEnded: c.counters.commandEnded,
	}
}

// checkHealth says whether Central can do its work now.
func (c *components) checkHealth(r *obs.Registry) {
	own := c.live.State()
	r.Judge("database", own.Database == "", own.Database)
	r.Judge("active", own.Inactive == "", own.Inactive)
	r.Note("alarms", own.Alarms == "", own.Alarms)
	k := c.kafka.keeper.State()
	reason := ""
	if !k.Up {
		reason = k.String()
	}
	r.Put(obs.Health{Name: "kafka", Up: k.Up, Since: k.Since, Reason: cmp.Or(reason, strings.Join(k.Warnings(), "; "))})
	lanes := kafkalink.Troubles(k, []kafkalink.Stats{c.kafka.durable.Stats(), c.kafka.lossy.Stats()}, nil)
	cannot := ""
	if len(lanes) > 0 {
		cannot = lanes[0].Reason
	}
	r.Judge("kafka_lanes", cannot == "", cannot)
	for _, p := range c.live.Network().Parts { // another program's state informs, and does not count
		if p.Name == "bridge" {
			r.Put(obs.Health{Name: p.Name, Up: p.State == ingest.PartUp, Since: p.Since.Std(), Reason: p.Reason, Informs: true})
		}
	}
	words := behind(c.kafka.committedReaders(), own.Inactive)
	r.Judge("kafka_readers", words == "", words)
}

// behind says in words why Central does not know the latest; "" when it does.
func behind(readers []kafkalink.ReaderState, idle string) string {
	if len(readers) == 0 {
		if idle == "" {
			idle = "the topics are not there"
		}
		return "nothing is read yet: " + idle
	}
	lag, silent := int64(0), 0
	var worst kafkalink.ReaderState
	for _, r := range readers {
		if !r.Reading {
			silent++
		}
		if l := r.Lag(); l > lag || worst.Topic == "" || !r.Reading && worst.Reading {
			lag, worst = max(lag, l), r
		}
	}
	switch {
	case silent > 0:
		words := fmt.Sprintf("%d of %d partitions are not read", silent, len(readers))
		if worst.LastError != "" {
			words += ": " + worst.LastError
		}
		return words
	case lag > caughtUp:
		return fmt.Sprintf("%d records of %s/%d wait to be read", lag, worst.Topic, worst.Partition)
	}
	return ""
}

// families are the metrics of Central, read from its books and its view of the
// network.
func (c *components) families() []obs.Family {
	n := c.live.Network()
	one := func(name string, kind obs.Kind, help string, value int64) obs.Family {
		return obs.One(metricPrefix+name, kind, help, float64(value))
	}
	b := &n.Books
	all := []obs.Family{
		obs.Timed(metricPrefix+"event_age_seconds", "Age of records when they were committed, from the charging point's stamp; only of those whose clock is synced.", c.counters.age),
		obs.Timed(metricPrefix+"commit_seconds", "How long each transaction of the database took.", c.counters.commit),
		obs.By(metricPrefix+"records_total", obs.Counter, "Deliveries of journal records since the database was made, by what came of them.", "result",
			obs.At("applied", float64(b.Applied)), obs.At("duplicate", float64(b.Duplicates)), obs.At("mismatched", float64(b.Mismatched)), obs.At("forked", float64(b.Forked)),
			obs.At("unusable", float64(b.Unusable)), obs.At("dead_letter", float64(b.DeadLetters))),
		one("sequence_gaps_total", obs.Counter, "Deliveries dropped because what they follow is not known yet; they come again.", b.Gaps),
		one("unacked_records", obs.Gauge, "Records that charging points hold and that are not here yet.", b.Unacked),
		one("lost_records", obs.Gauge, "Records in holes: they can never come.", b.Lost),
		one("alarms", obs.Gauge, "Alarms that are open.", b.Alarms),
		one("driver_requests_total", obs.Counter, "Messages of drivers since the database was made.", c.live.Counter(ingest.CountRequests)),
		c.refusals(),
		one("bad_telemetry_total", obs.Counter, "Telemetry that could not be read.", b.BadTelemetry),
		obs.By(metricPrefix+"energy_watt_hours", obs.Gauge, "Energy since the database was made, by where it is accounted.", "books",
			obs.At("billed", float64(b.Billed)), obs.At("running", float64(b.Running)), obs.At("unaccounted", float64(b.Unaccounted))),
		c.counters.commands(),
		one("sse_clients", obs.Gauge, "Live streams that are open.", int64(c.web.Streams())),
		one("outbox_under_way", obs.Gauge, "Rows of the outbox given to Kafka and not acknowledged.", int64(c.outbox.Pending())),
	}
	all = append(all, points(n.CPs)...)
	return append(all, c.kafka.families()...)
}

// refusals counts drivers' messages that could not be used.
func (c *components) refusals() obs.Family {
	f := obs.Family{
		Name: metricPrefix + "driver_requests_refused_total", Kind: obs.Counter,
		Help: "Messages of drivers that could not be used, since the database was made, by the reason that was told.",
	}
	for _, reason := range orders.Refusals() {
		f.Samples = append(f.Samples, obs.Sample{
			Labels: []obs.Label{{Name: "reason", Value: reason}}, Value: float64(c.live.Counter(ingest.CountRefused + reason)),
		})
	}
	return f
}

// points counts charging points and connectors by their state; none of them has
// a label of its own.
func points(cps []ingest.Point) []obs.Family {
	links := map[ledger.Liveness]int64{}
	states := map[charge.Status]int64{}
	var power charge.Watts
	for i := range cps {
		links[cps[i].Link]++
		for j := range cps[i].Connectors {
			k := &cps[i].Connectors[j]
			states[k.Status]++
			if cps[i].Link == ledger.Online {
				power += k.Power
			}
		}
	}
	f := obs.Family{Name: metricPrefix + "connectors", Kind: obs.Gauge, Help: "Connectors by their status as last reported."}
	for _, s := range charge.Statuses() {
		f.Samples = append(f.Samples, obs.Sample{Labels: []obs.Label{{Name: "status", Value: string(s)}}, Value: float64(states[s])})
	}
	return []obs.Family{
		obs.By(metricPrefix+"cps", obs.Gauge, "Charging points by whether they are heard.", "state",
			obs.At("online", float64(links[ledger.Online])), obs.At("offline", float64(links[ledger.Offline])), obs.At("unknown", float64(links[ledger.Unknown]))),
		f,
		obs.One(metricPrefix+"power_watts", obs.Gauge, "Power drawn at all charging points that are heard.", float64(power)),
	}
}

// committedReaders are the readers of what is committed.
func (l *kafkaIO) committedReaders() []kafkalink.ReaderState { return l.readerStates(3) }

// readerStates are those of the first n topics that are read, partition by partition.
func (l *kafkaIO) readerStates(n int) []kafkalink.ReaderState {
	l.readingMu.Lock()
	reading := l.reading
	l.readingMu.Unlock()
	var all []kafkalink.ReaderState
	for _, r := range reading[:min(n, len(reading))] {
		all = append(all, r.States()...)
	}
	return all
}

func (l *kafkaIO) families() []obs.Family {
	lag := obs.Family{Name: metricPrefix + "consumer_lag_records", Kind: obs.Gauge, Help: "Records in Kafka that wait to be read here."}
	for _, r := range l.readerStates(len(l.cfg.Kafka.Topics.all())) {
		lag.Samples = append(lag.Samples, obs.Sample{
			Labels: []obs.Label{{Name: "topic", Value: r.Topic}, {Name: "partition", Value: strconv.Itoa(r.Partition)}}, Value: float64(r.Lag()),
		})
	}
	d, p := l.durable.Stats(), l.lossy.Stats()
	blocked, oldest := 0, 0.0
	for _, b := range append(d.Blocked(), p.Blocked()...) {
		blocked += b.Lanes
	}
	for _, n := range append(d.Lanes, p.Lanes...) {
		oldest = max(oldest, n.OldestAge.Seconds())
	}
	return []obs.Family{
		lag,
		obs.By(metricPrefix+"kafka_records_total", obs.Counter, "Records for Kafka, by what came of them.", "result",
			obs.At("produced", float64(d.Produced+p.Produced)), obs.At("poisoned", float64(d.Poisoned+p.Poisoned)), obs.At("conflated", float64(d.Conflated+p.Conflated))),
		obs.One(metricPrefix+"kafka_retries_total", obs.Counter, "Attempts to write to Kafka that failed and were made again.", float64(d.Retries+p.Retries)),
		obs.One(metricPrefix+"kafka_lanes", obs.Gauge, "Lanes to Kafka, one for each partition written.", float64(len(d.Lanes)+len(p.Lanes))),
		obs.One(metricPrefix+"kafka_lanes_blocked", obs.Gauge, "Lanes to Kafka that hold a record for more than 10 seconds, or had one refused in the last minute.", float64(blocked)),
		obs.One(metricPrefix+"kafka_oldest_seconds", obs.Gauge, "Age of the oldest record that is not yet in Kafka.", oldest),
		obs.One(metricPrefix+"kafka_waiting_records", obs.Gauge, "Records that wait to be written to Kafka.", float64(d.Records+p.Records)),
	}
}
