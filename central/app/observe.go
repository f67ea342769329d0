package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// metricPrefix begins the names of all metrics of Central.
const metricPrefix = "carga_central_"

// maxLag is how many records may wait in a partition before Central counts as
// lagging: about what is read in a second.
const maxLag = 1000

// counters are measurements of this run, beside the totals in the database.
// They start again at zero with the process, as Prometheus counters may.
type counters struct {
	commit *metrics.Durations // how long each transaction took
	age    *metrics.Durations // from the charging point's timestamp to the commit

	mu sync.Mutex
	// ended counts commands by type and final state; mu guards it.
	ended map[commandResult]int64
}

// commandResult is a type of command and the state in which it ended.
type commandResult struct {
	kind  wire.CommandType
	state orders.CommandState
}

// newCounters returns counters with buckets for transactions (milliseconds to
// seconds) and for the age of records (fractions of a second, or days after an
// outage).
func newCounters() *counters {
	const ms = time.Millisecond
	return &counters{
		commit: metrics.NewDurations(ms, 2*ms, 5*ms, 10*ms, 25*ms, 50*ms, 100*ms, 250*ms, 500*ms, time.Second, 2500*ms),
		age: metrics.NewDurations(50*ms, 100*ms, 250*ms, 500*ms, time.Second, 2*time.Second, 5*time.Second, 10*time.Second,
			time.Minute, 10*time.Minute, time.Hour, day),
		ended: map[commandResult]int64{},
	}
}

// commandEnded implements ingest.Hooks.CommandEnded.
func (w *counters) commandEnded(kind wire.CommandType, how orders.CommandState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[commandResult{kind, how}]++
}

// commands returns the metric of ended commands. It has a sample for every
// combination, zeros included, so that a rate is defined from the first one on.
func (w *counters) commands() metrics.Family {
	f := metrics.Family{Name: metricPrefix + "commands_total", Kind: metrics.Counter, Help: "Commands that ended since the start, by type and result."}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range []wire.CommandType{
		wire.CommandReserve, wire.CommandCancel, wire.CommandStart, wire.CommandStop, wire.CommandSetAvailability, wire.CommandSimulate,
		wire.CommandReset, wire.CommandUnlock, wire.CommandIdentify,
	} {
		for _, how := range []orders.CommandState{orders.Done, orders.Failed, orders.Rejected, orders.Expired, orders.Superseded} {
			f.Samples = append(f.Samples, metrics.Sample{
				Labels: []metrics.Label{{Name: "kind", Value: string(kind)}, {Name: "result", Value: string(how)}}, Value: float64(w.ended[commandResult{kind, how}]),
			})
		}
	}
	return f
}

// newWatch creates the health and the metrics of a Central.
func (c *components) newWatch(log *slog.Logger) {
	c.counters = newCounters()
	c.watch = observe.NewServer(metricPrefix, c.checkHealth, c.families, log)
}

// writerHooks connects the writer's measurements to health and metrics.
func (c *components) writerHooks() ingest.Hooks {
	return ingest.Hooks{
		Iterated: c.watch.Loop("writer").Beat, Pulsed: c.watch.Loop("pulse").Beat,
		Committed: c.counters.commit.Observe, RecordAge: c.counters.age.Observe, CommandEnded: c.counters.commandEnded,
	}
}

// checkHealth reports whether Central can do its work now, check by check.
func (c *components) checkHealth(r *health.Registry) {
	own := c.live.State()
	r.Set("database", own.Database == "", own.Database)
	r.Set("active", own.Inactive == "", own.Inactive)
	r.SetInformational("alarms", own.Alarms == "", own.Alarms)
	k := c.kafka.topics.State()
	words := ""
	if !k.Up {
		words = k.String()
	}
	r.Put(health.Status{Name: "kafka", Up: k.Up, Since: k.Since, Reason: cmp.Or(words, reason.Join(k.Warnings()))})
	lanes := kafkalink.Troubles(k, []kafkalink.Stats{c.kafka.durable.Stats(), c.kafka.lossy.Stats()}, nil)
	cannot := ""
	if len(lanes) > 0 {
		cannot = lanes[0].Reason.String()
	}
	r.Set("kafka_lanes", cannot == "", cannot)
	for _, p := range c.live.Network().Parts { // another program's state informs; it does not count
		if p.Name == "bridge" {
			r.Put(health.Status{Name: p.Name, Up: p.State == view.PartUp, Since: p.Since.Std(), Reason: p.Reason, Informational: true})
		}
	}
	words = lagReason(c.kafka.committedReaders(), own.Inactive)
	r.Set("kafka_readers", words == "", words)
}

// lagReason describes why Central does not know the latest records; "" if it does.
func lagReason(readers []kafkalink.ReaderState, idle string) string {
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
	case lag > maxLag:
		return fmt.Sprintf("%d records of %s/%d wait to be read", lag, worst.Topic, worst.Partition)
	}
	return ""
}

// families returns the metrics of Central, from the totals and the view of the
// network.
func (c *components) families() []metrics.Family {
	n := c.live.Network()
	one := func(name string, kind metrics.Kind, help string, value int64) metrics.Family {
		return metrics.One(metricPrefix+name, kind, help, float64(value))
	}
	b := &n.Books
	all := []metrics.Family{
		metrics.Timed(metricPrefix+"event_age_seconds", "Age of records when they were committed, from the charging point's stamp; only of those whose clock is synced.", c.counters.age),
		metrics.Timed(metricPrefix+"commit_seconds", "How long each transaction of the database took.", c.counters.commit),
		metrics.By(metricPrefix+"records_total", metrics.Counter, "Deliveries of journal records since the database was made, by what came of them.", "result",
			metrics.At("applied", float64(b.Applied)), metrics.At("duplicate", float64(b.Duplicates)), metrics.At("mismatched", float64(b.Mismatched)), metrics.At("forked", float64(b.Forked)),
			metrics.At("unusable", float64(b.Unusable)), metrics.At("dead_letter", float64(b.DeadLetters))),
		one("out_of_order_records_total", metrics.Counter, "Deliveries dropped because the record before them is missing; the agent sends them again.", b.OutOfOrder),
		one("unacked_records", metrics.Gauge, "Records that charging points hold and that are not here yet.", b.Unacked),
		one("lost_records", metrics.Gauge, "Records in gaps: they can never come.", b.Lost),
		one("alarms", metrics.Gauge, "Alarms that are open.", b.Alarms),
		one("driver_requests_total", metrics.Counter, "Messages of drivers since the database was made.", c.live.Counter(ingest.CountRequests)),
		c.refusals(),
		one("bad_telemetry_total", metrics.Counter, "Telemetry that could not be read.", b.BadTelemetry),
		metrics.By(metricPrefix+"energy_watt_hours", metrics.Gauge, "Energy since the database was made, by where it is accounted.", "books",
			metrics.At("billed", float64(b.Billed)), metrics.At("running", float64(b.Running)), metrics.At("unaccounted", float64(b.Unaccounted))),
		c.counters.commands(),
		one("sse_clients", metrics.Gauge, "Live streams that are open.", int64(c.web.Streams())),
		one("outbox_under_way", metrics.Gauge, "Rows of the outbox given to Kafka and not acknowledged.", int64(c.outbox.Pending())),
	}
	all = append(all, pointFamilies(n.CPs)...)
	return append(all, c.kafka.families()...)
}

// refusals counts drivers' messages that were refused, by reason.
func (c *components) refusals() metrics.Family {
	f := metrics.Family{
		Name: metricPrefix + "driver_requests_refused_total", Kind: metrics.Counter,
		Help: "Messages of drivers that could not be used, since the database was made, by the reason in the answer.",
	}
	for _, word := range orders.Refusals() {
		f.Samples = append(f.Samples, metrics.Sample{
			Labels: []metrics.Label{{Name: "reason", Value: word}}, Value: float64(c.live.Counter(ingest.CountRefused + word)),
		})
	}
	return f
}

// pointFamilies counts charging points and connectors by state. No charging point has
// a label of its own, so the number of series does not grow with the network.
func pointFamilies(cps []view.CP) []metrics.Family {
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
	f := metrics.Family{Name: metricPrefix + "connectors", Kind: metrics.Gauge, Help: "Connectors by their status as last reported."}
	for _, s := range charge.Statuses() {
		f.Samples = append(f.Samples, metrics.Sample{Labels: []metrics.Label{{Name: "status", Value: string(s)}}, Value: float64(states[s])})
	}
	return []metrics.Family{
		metrics.By(metricPrefix+"cps", metrics.Gauge, "Charging points by whether they are online.", "state",
			metrics.At("online", float64(links[ledger.Online])), metrics.At("offline", float64(links[ledger.Offline])), metrics.At("unknown", float64(links[ledger.Unknown]))),
		f,
		metrics.One(metricPrefix+"power_watts", metrics.Gauge, "Power drawn at all charging points that are online.", float64(power)),
	}
}

// committedReaders returns the states of the readers with committed offsets,
// except that of drivers' requests.
func (l *kafkaIO) committedReaders() []kafkalink.ReaderState { return l.readerStates(3) }

// readerStates returns the states of the first n topics' readers, partition by
// partition.
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

// families returns the metrics of reading and writing Kafka. Figures of the two
// producers are added up: an operator asks whether Central can write, not
// through which of them.
func (l *kafkaIO) families() []metrics.Family {
	lag := metrics.Family{Name: metricPrefix + "consumer_lag_records", Kind: metrics.Gauge, Help: "Records in Kafka that wait to be read here."}
	for _, r := range l.readerStates(len(l.cfg.Kafka.Topics.all())) {
		lag.Samples = append(lag.Samples, metrics.Sample{
			Labels: []metrics.Label{{Name: "topic", Value: r.Topic}, {Name: "partition", Value: strconv.Itoa(r.Partition)}}, Value: float64(r.Lag()),
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
	return []metrics.Family{
		lag,
		metrics.By(metricPrefix+"kafka_records_total", metrics.Counter, "Records for Kafka, by what came of them.", "result",
			metrics.At("produced", float64(d.Produced+p.Produced)), metrics.At("poisoned", float64(d.Poisoned+p.Poisoned)), metrics.At("conflated", float64(d.Conflated+p.Conflated))),
		metrics.One(metricPrefix+"kafka_retries_total", metrics.Counter, "Attempts to write to Kafka that failed and were made again.", float64(d.Retries+p.Retries)),
		metrics.One(metricPrefix+"kafka_lanes", metrics.Gauge, "Lanes to Kafka, one for each partition written.", float64(len(d.Lanes)+len(p.Lanes))),
		metrics.One(metricPrefix+"kafka_lanes_blocked", metrics.Gauge, "Lanes to Kafka that hold a record for more than 10 seconds, or had one refused in the last minute.", float64(blocked)),
		metrics.One(metricPrefix+"kafka_oldest_seconds", metrics.Gauge, "Age of the oldest record that is not yet in Kafka.", oldest),
		metrics.One(metricPrefix+"kafka_waiting_records", metrics.Gauge, "Records that wait to be written to Kafka.", float64(d.Records+p.Records)),
	}
}
