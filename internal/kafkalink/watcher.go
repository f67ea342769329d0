package kafkalink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/reason"
)

const (
	// outageInterval is the pause between checks while Kafka does not answer or
	// topics are missing. It is short so that the first event is in Kafka within
	// a second of its return.
	outageInterval = 250 * time.Millisecond
	// checkInterval is the pause between checks while all is well.
	checkInterval = time.Second
	probeTimeout  = 3 * time.Second
)

// TopicSpec is a topic as this program needs it.
type TopicSpec struct {
	Name       string
	Partitions int
	// Replication is the number of replicas; 0 means 1.
	Replication int
	// MinInSync is how many replicas must have a batch before it is acknowledged
	// (min.insync.replicas); 0 leaves it to the broker.
	MinInSync int
	// Retention is how long records are kept; 0 leaves it to the broker.
	Retention time.Duration
	// MaxMessageBytes limits a batch of this topic (max.message.bytes); 0 leaves
	// it to the broker.
	MaxMessageBytes int
}

func (s TopicSpec) validate() error {
	if s.Name == "" || s.Partitions < 1 {
		return fmt.Errorf("topic %q with %d partitions: needs a name and at least 1", s.Name, s.Partitions)
	}
	return nil
}

// request returns the topic as a request to create it.
func (s TopicSpec) request() kafka.TopicConfig {
	t := kafka.TopicConfig{Topic: s.Name, NumPartitions: s.Partitions, ReplicationFactor: max(1, s.Replication)}
	set := func(name string, value int64) {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: strconv.FormatInt(value, 10)})
	}
	if s.Retention > 0 {
		set("retention.ms", s.Retention.Milliseconds())
		// Kafka deletes whole segments that are no longer written, and begins a new
		// one only after 7 days by default.
		set("segment.ms", min(max(s.Retention/4, 10*time.Minute), 7*24*time.Hour).Milliseconds())
	}
	if s.MaxMessageBytes > 0 {
		set("max.message.bytes", int64(s.MaxMessageBytes))
	}
	if s.MinInSync > 0 {
		set("min.insync.replicas", int64(s.MinInSync))
	}
	return t
}

// TopicState is the state of a topic in Kafka.
type TopicState struct {
	Name string `json:"name"`
	// Want is the configured number of partitions, with which a missing topic is
	// created; 0 for a topic that is only read.
	Want int `json:"want,omitempty"`
	// Partitions is the real number; 0 while the topic does not exist as far as
	// is known.
	Partitions int `json:"partitions"`
	// Since is when the topic was last observed to appear or disappear, or when
	// the watcher was made.
	Since time.Time `json:"since"` // when Up last changed, or the watcher was made
	// Error is why the topic does not exist.
	Error string `json:"error,omitempty"`
}

// Exists reports whether the topic exists.
func (t TopicState) Exists() bool { return t.Partitions > 0 }

// Differs reports that the real number of partitions is not the configured one.
// The topic is used with the partitions that it has; the configured number only
// creates.
func (t TopicState) Differs() bool { return t.Want > 0 && t.Exists() && t.Partitions != t.Want }

// Warning returns what an operator may want to change about the topic; zero if
// there is nothing.
func (t TopicState) Warning() reason.Reason {
	if !t.Differs() {
		return reason.Reason{}
	}
	return reason.Reason{Code: reason.TopicDiffers, Topic: t.Name, Count: int64(t.Partitions), Wanted: int64(t.Want)}
}

// WatcherState is the state of a TopicWatcher, for pages and logs.
type WatcherState struct {
	Up    bool      `json:"up"`
	Since time.Time `json:"since"` // when Up last changed, or the watcher was made
	// LastError is why Kafka did not answer last time; it stays while up.
	LastError string       `json:"last_error,omitempty"`
	Topics    []TopicState `json:"topics"` // in the order of the configuration
}

// String describes the state for a person.
func (s WatcherState) String() string {
	at := s.Since.UTC().Format(time.RFC3339)
	if s.Up {
		return "Kafka answers since " + at
	}
	if s.LastError == "" {
		return "waiting for Kafka since " + at
	}
	return "waiting for Kafka since " + at + ": " + s.LastError
}

// Why returns why Kafka does not answer.
func (s WatcherState) Why() reason.Reason {
	return reason.Reason{Code: reason.KafkaDown, Detail: s.LastError}
}

// Warnings returns what an operator may want to change about the topics. None of
// them is a failure.
func (s WatcherState) Warnings() []reason.Reason {
	var all []reason.Reason
	for _, t := range s.Topics {
		if w := t.Warning(); !w.IsZero() {
			all = append(all, w)
		}
	}
	return all
}

// WatcherConfig configures a TopicWatcher.
type WatcherConfig struct {
	Create []TopicSpec // created if missing
	Watch  []string    // only watched
	// Tick, if set, is called in each iteration of Run, which is at least every
	// few seconds, whatever Kafka does. It must not block.
	Tick func()
	Log  *slog.Logger
}

// TopicWatcher creates and watches topics, and knows whether Kafka answers.
// Lanes and readers wait on its channels, so that all of them continue as soon
// as Kafka is back. Its methods may be called concurrently, before and after
// Run, too.
type TopicWatcher struct {
	client  *Client
	tick    func()
	log     *slog.Logger
	specs   map[string]TopicSpec
	names   []string
	suspect chan struct{} // capacity 1: a lane or reader has seen an error

	mu sync.Mutex
	// mu guards everything that follows.
	state        WatcherState
	index        map[string]int   // of state.Topics
	leaders      map[string][]int // broker ids by topic and partition; noLeader if it has none
	changedCh    chan struct{}    // closed and replaced when a topic changed or Kafka answers again
	outageLogged bool             // the present outage has been logged
}

// NewTopicWatcher checks the configuration; it does no I/O.
func NewTopicWatcher(c *Client, cfg WatcherConfig) (*TopicWatcher, error) {
	w := &TopicWatcher{
		client: c, tick: cfg.Tick, log: cfg.Log, specs: map[string]TopicSpec{}, suspect: make(chan struct{}, 1),
		index: map[string]int{}, leaders: map[string][]int{}, changedCh: make(chan struct{}), state: WatcherState{Since: time.Now()},
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.tick == nil {
		w.tick = func() {}
	}
	add := func(name string, want int) {
		if _, known := w.index[name]; known {
			return
		}
		w.index[name] = len(w.names)
		w.names = append(w.names, name)
		w.state.Topics = append(w.state.Topics, TopicState{Name: name, Want: want, Since: w.state.Since})
	}
	for _, s := range cfg.Create {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		w.specs[s.Name] = s
		add(s.Name, s.Partitions)
	}
	for _, name := range cfg.Watch {
		add(name, 0)
	}
	return w, nil
}

// Run creates and watches the topics until ctx ends.
func (w *TopicWatcher) Run(ctx context.Context) error {
	doubt := true
	for {
		w.tick()
		pause := checkInterval
		if doubt = !w.check(ctx, doubt); doubt {
			pause = outageInterval
		}
		suspected, ok := w.pause(ctx, pause)
		if !ok {
			return nil
		}
		doubt = doubt || suspected
	}
}

// pause waits for the next check. Suspect ends the pause early, but not before
// outageInterval is over.
func (w *TopicWatcher) pause(ctx context.Context, d time.Duration) (suspected, ok bool) {
	early := time.NewTimer(outageInterval)
	defer early.Stop()
	select {
	case <-early.C:
	case <-ctx.Done():
		return false, false
	}
	late := time.NewTimer(d - outageInterval)
	defer late.Stop()
	select {
	case <-late.C:
		select {
		case <-w.suspect:
			suspected = true
		default:
		}
	case <-w.suspect:
		suspected = true
	case <-ctx.Done():
		return false, false
	}
	return suspected, true
}

// Suspect requests an early check: the caller has seen an error that an outage
// or outdated metadata would explain. It never blocks.
func (w *TopicWatcher) Suspect() {
	select {
	case w.suspect <- struct{}{}:
	default:
	}
}

// check queries Kafka once, with new connections if in doubt, and creates
// missing topics. It reports whether Kafka answered and all topics to create
// exist.
func (w *TopicWatcher) check(ctx context.Context, doubt bool) (settled bool) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if doubt {
		w.client.dropConns()
	}
	meta, err := w.fetchMetadata(ctx)
	if err != nil && !doubt { // an old connection may have ended meanwhile
		w.client.dropConns()
		meta, err = w.fetchMetadata(ctx)
	}
	if err != nil {
		w.setDown(err)
		return false
	}
	missing := w.update(meta)
	if len(missing) > 0 {
		w.create(ctx, missing)
	}
	return len(missing) == 0
}

// fetchMetadata returns the metadata of the topics, if the broker answers now.
// It requests the API versions first, since kafka-go answers metadata from a
// cache.
func (w *TopicWatcher) fetchMetadata(ctx context.Context) (*kafka.MetadataResponse, error) {
	versions, err := w.client.api.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err == nil {
		err = versions.Error
	}
	if err != nil {
		return nil, err
	}
	return w.client.api.Metadata(ctx, &kafka.MetadataRequest{Topics: w.names})
}

// update records the metadata and returns the topics to create.
func (w *TopicWatcher) update(meta *kafka.MetadataResponse) []kafka.TopicConfig {
	w.mu.Lock()
	defer w.mu.Unlock()
	var missing []kafka.TopicConfig
	changed := !w.state.Up
	for _, t := range meta.Topics {
		i, known := w.index[t.Name]
		if !known {
			continue
		}
		was := w.state.Topics[i]
		now := TopicState{Name: t.Name, Want: was.Want, Since: was.Since}
		if t.Error == nil {
			now.Partitions = len(t.Partitions)
			w.leaders[t.Name] = leadersOf(t.Partitions)
		} else {
			now.Error = t.Error.Error()
		}
		if spec, ours := w.specs[t.Name]; ours && errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			missing = append(missing, spec.request())
			now.Error = was.Error // the error of the attempt to create it
		}
		if now.Exists() != was.Exists() {
			now.Since = time.Now()
		}
		if now != was {
			changed = true
			w.logTopic(was, now)
		}
		w.state.Topics[i] = now
	}
	if !w.state.Up {
		w.state.Up, w.state.Since, w.outageLogged = true, time.Now(), false
		w.log.Info("Kafka answers")
	}
	if changed {
		w.notifyLocked()
	}
	return missing
}

// logTopic logs a transition of a topic.
// noLeader is the broker id of a partition without a leader.
const noLeader = -1

// leadersOf lists the broker ids of the leaders by partition.
func leadersOf(partitions []kafka.Partition) []int {
	all := make([]int, len(partitions))
	for i := range all {
		all[i] = noLeader
	}
	for _, p := range partitions {
		if p.ID >= 0 && p.ID < len(all) && p.Error == nil && p.Leader.Host != "" {
			all[p.ID] = p.Leader.ID
		}
	}
	return all
}

// leader is the broker that leads a partition, by the last metadata.
func (w *TopicWatcher) leader(topic string, partition int) (broker int, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.leaders[topic]
	if partition >= len(all) || all[partition] == noLeader {
		return noLeader, false
	}
	return all[partition], true
}

func (w *TopicWatcher) logTopic(before, now TopicState) {
	topic := slog.String("topic", now.Name)
	switch {
	case now.Differs():
		w.log.Warn("topic has another number of partitions than configured; it is used with those it has",
			topic, slog.Int("configured", now.Want), slog.Int("real", now.Partitions))
	case now.Exists():
		w.log.Info("topic exists", topic, slog.Int("partitions", now.Partitions))
	case before.Exists():
		w.log.Warn("topic no longer exists", topic)
	}
}

// create requests the missing topics. Their existence is learned with the next
// check.
func (w *TopicWatcher) create(ctx context.Context, missing []kafka.TopicConfig) {
	res, err := w.client.api.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range missing {
		result := err
		if res != nil {
			result = res.Errors[t.Topic]
		}
		text := ""
		if result != nil && !errors.Is(result, kafka.TopicAlreadyExists) {
			text = "create: " + result.Error()
		}
		state := &w.state.Topics[w.index[t.Topic]]
		if text != "" && text != state.Error {
			w.log.Warn("topic could not be created", slog.String("topic", t.Topic), slog.String("err", result.Error()))
		}
		state.Error = text
	}
}

// setDown records that Kafka does not answer, and logs it once per outage.
func (w *TopicWatcher) setDown(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return
	}
	if w.state.Up {
		w.state.Up, w.state.Since = false, time.Now()
	}
	w.state.LastError = err.Error()
	attrs := []any{slog.Time("since", w.state.Since), slog.String("err", w.state.LastError)}
	if w.outageLogged {
		w.log.Debug("still waiting for Kafka", attrs...)
		return
	}
	w.outageLogged = true
	w.log.Info("waiting for Kafka", attrs...)
}

func (w *TopicWatcher) notifyLocked() {
	close(w.changedCh)
	w.changedCh = make(chan struct{})
}

// State returns the present state.
func (w *TopicWatcher) State() WatcherState {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state
	s.Topics = append([]TopicState(nil), s.Topics...)
	return s
}

// Topic returns the state of a topic, and a channel that is closed when any
// topic has changed or Kafka answers again.
func (w *TopicWatcher) Topic(name string) (TopicState, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, known := w.index[name]
	if !known {
		return TopicState{Name: name, Error: "not among the watched topics"}, w.changedCh
	}
	return w.state.Topics[i], w.changedCh
}

// changed returns a channel that is closed when any topic has changed or Kafka
// answers again.
func (w *TopicWatcher) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changedCh
}

// Wait waits until a topic exists, and returns its real number of partitions.
func (w *TopicWatcher) Wait(ctx context.Context, name string) (int, error) {
	for {
		t, wake := w.Topic(name)
		if t.Exists() {
			return t.Partitions, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
