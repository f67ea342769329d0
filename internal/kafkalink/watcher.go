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
)

const (
	// outageInterval spaces the attempts while Kafka is away: the first event must
	// be through within a second of its return.
	outageInterval = 250 * time.Millisecond
	// checkInterval spaces the checks while all is well.
	checkInterval = time.Second
	probeTimeout  = 3 * time.Second
)

// TopicSpec is a topic as this part wants it.
type TopicSpec struct {
	Name       string
	Partitions int
	// Replication is the number of copies; 0 means 1.
	Replication int
	// MinInSync is how many copies must have a batch; 0 leaves it to the broker.
	MinInSync int
	// Retention is how long records are kept; 0 leaves it to the broker.
	Retention time.Duration
	// MaxMessageBytes bounds a batch of this topic; 0 leaves it to the broker.
	MaxMessageBytes int
}

func (s TopicSpec) validate() error {
	if s.Name == "" || s.Partitions < 1 {
		return fmt.Errorf("topic %q with %d partitions: needs a name and at least 1", s.Name, s.Partitions)
	}
	return nil
}

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

// TopicState is what is known of a topic.
type TopicState struct {
	Name string `json:"name"`
	// Want is the configured partition count, with which a missing topic is
	// created; 0 for a topic that is only read.
	Want int `json:"want,omitempty"`
	// Partitions is the real count; 0 while the topic has not been seen.
	Partitions int `json:"partitions"`
	// Since is when it was last seen to come or go, or the Keeper was made.
	Since time.Time `json:"since"`
	// Error says why the topic is not there.
	Error string `json:"error,omitempty"`
}

// Exists reports whether the topic exists.
func (t TopicState) Exists() bool { return t.Partitions > 0 }

// Differs reports that the real partition count is not the configured one. The
// topic is used with the partitions it has; the configured count only creates.
func (t TopicState) Differs() bool { return t.Want > 0 && t.Exists() && t.Partitions != t.Want }

// Warning says in words what an operator may want to change about the topic; ""
// when there is nothing.
func (t TopicState) Warning() string {
	if !t.Differs() {
		return ""
	}
	return fmt.Sprintf("topic %s has %d partitions and %d are configured: it is used with those it has", t.Name, t.Partitions, t.Want)
}

// WatcherState is what a Keeper knows, for pages and logs.
type WatcherState struct {
	Up    bool      `json:"up"`
	Since time.Time `json:"since"` // when Up last changed, or the Keeper was made
	// LastError is why Kafka did not answer last; it stays while up.
	LastError string       `json:"last_error,omitempty"`
	Topics    []TopicState `json:"topics"` // in the order of the configuration
}

// String says the state in words for a person.
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

// Warnings says in words what an operator may want to change about the topics,
// one sentence each; none is a failure.
func (s WatcherState) Warnings() []string {
	var all []string
	for _, t := range s.Topics {
		if words := t.Warning(); words != "" {
			all = append(all, words)
		}
	}
	return all
}

// WatcherConfig says what is kept.
type WatcherConfig struct {
	Create []TopicSpec // made if missing
	Watch  []string    // only watched
	// Tick, if set, is called at each turn of Run, which is every few seconds
	// whatever Kafka does. It must not wait.
	Tick func()
	Log  *slog.Logger
}

// TopicWatcher makes and watches topics, and knows whether Kafka answers. Methods are
// safe for concurrent use, also before and after Run.
type TopicWatcher struct {
	client  *Client
	tick    func()
	log     *slog.Logger
	specs   map[string]TopicSpec
	names   []string
	suspect chan struct{} // capacity 1: somebody met an error

	mu sync.Mutex
	// mu guards everything that follows.
	state        WatcherState
	index        map[string]int // of state.Topics
	changedCh    chan struct{}  // closed and replaced when waiting may be over
	outageLogged bool           // the present wait has been logged
}

// NewTopicWatcher checks the configuration; it does no I/O.
func NewTopicWatcher(c *Client, cfg WatcherConfig) (*TopicWatcher, error) {
	k := &TopicWatcher{
		client: c, tick: cfg.Tick, log: cfg.Log, specs: map[string]TopicSpec{}, suspect: make(chan struct{}, 1),
		index: map[string]int{}, changedCh: make(chan struct{}), state: WatcherState{Since: time.Now()},
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.tick == nil {
		k.tick = func() {}
	}
	add := func(name string, want int) {
		if _, known := k.index[name]; known {
			return
		}
		k.index[name] = len(k.names)
		k.names = append(k.names, name)
		k.state.Topics = append(k.state.Topics, TopicState{Name: name, Want: want, Since: k.state.Since})
	}
	for _, s := range cfg.Create {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		k.specs[s.Name] = s
		add(s.Name, s.Partitions)
	}
	for _, name := range cfg.Watch {
		add(name, 0)
	}
	return k, nil
}

// Run keeps the topics until ctx ends.
func (k *TopicWatcher) Run(ctx context.Context) error {
	doubt := true
	for {
		k.tick()
		pause := checkInterval
		if doubt = !k.check(ctx, doubt); doubt {
			pause = outageInterval
		}
		suspected, ok := k.pause(ctx, pause)
		if !ok {
			return nil
		}
		doubt = doubt || suspected
	}
}

// pause waits for the next check. Suspicion makes it come early, though not
// before awayInterval is over.
func (k *TopicWatcher) pause(ctx context.Context, d time.Duration) (suspected, ok bool) {
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
		case <-k.suspect:
			suspected = true
		default:
		}
	case <-k.suspect:
		suspected = true
	case <-ctx.Done():
		return false, false
	}
	return suspected, true
}

// Suspect asks for an early check: the caller met an error that Kafka's absence
// or an old layout explains. It never blocks.
func (k *TopicWatcher) Suspect() {
	select {
	case k.suspect <- struct{}{}:
	default:
	}
}

// check asks Kafka once, with new connections if in doubt, and makes what is
// missing. It reports whether Kafka answered and all topics to write are there.
func (k *TopicWatcher) check(ctx context.Context, doubt bool) (settled bool) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if doubt {
		k.client.dropConns()
	}
	meta, err := k.fetchMetadata(ctx)
	if err != nil && !doubt { // an old connection may have ended meanwhile
		k.client.dropConns()
		meta, err = k.fetchMetadata(ctx)
	}
	if err != nil {
		k.setDown(err)
		return false
	}
	missing := k.update(meta)
	if len(missing) > 0 {
		k.create(ctx, missing)
	}
	return len(missing) == 0
}

// fetchMetadata returns the metadata of the topics, if the broker answers now: metadata
// alone comes from a cache.
func (k *TopicWatcher) fetchMetadata(ctx context.Context) (*kafka.MetadataResponse, error) {
	versions, err := k.client.api.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err == nil {
		err = versions.Error
	}
	if err != nil {
		return nil, err
	}
	return k.client.api.Metadata(ctx, &kafka.MetadataRequest{Topics: k.names})
}

// update takes over what the metadata says and returns the topics to make.
func (k *TopicWatcher) update(meta *kafka.MetadataResponse) []kafka.TopicConfig {
	k.mu.Lock()
	defer k.mu.Unlock()
	var missing []kafka.TopicConfig
	changed := !k.state.Up
	for _, t := range meta.Topics {
		i, known := k.index[t.Name]
		if !known {
			continue
		}
		was := k.state.Topics[i]
		now := TopicState{Name: t.Name, Want: was.Want, Since: was.Since}
		if t.Error == nil {
			now.Partitions = len(t.Partitions)
		} else {
			now.Error = t.Error.Error()
		}
		if spec, ours := k.specs[t.Name]; ours && errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			missing = append(missing, spec.request())
			now.Error = was.Error // what creating it said
		}
		if now.Exists() != was.Exists() {
			now.Since = time.Now()
		}
		if now != was {
			changed = true
			k.logTopic(was, now)
		}
		k.state.Topics[i] = now
	}
	if !k.state.Up {
		k.state.Up, k.state.Since, k.outageLogged = true, time.Now(), false
		k.log.Info("Kafka answers")
	}
	if changed {
		k.notifyLocked()
	}
	return missing
}

func (k *TopicWatcher) logTopic(before, now TopicState) {
	topic := slog.String("topic", now.Name)
	switch {
	case now.Differs():
		k.log.Warn("topic has another number of partitions than configured, it is used with those it has",
			topic, slog.Int("configured", now.Want), slog.Int("real", now.Partitions))
	case now.Exists():
		k.log.Info("topic is there", topic, slog.Int("partitions", now.Partitions))
	case before.Exists():
		k.log.Warn("topic is gone", topic)
	}
}

func (k *TopicWatcher) create(ctx context.Context, missing []kafka.TopicConfig) {
	res, err := k.client.api.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range missing {
		result := err
		if res != nil {
			result = res.Errors[t.Topic]
		}
		text := ""
		if result != nil && !errors.Is(result, kafka.TopicAlreadyExists) {
			text = "create: " + result.Error()
		}
		state := &k.state.Topics[k.index[t.Topic]]
		if text != "" && text != state.Error {
			k.log.Warn("topic could not be made", slog.String("topic", t.Topic), slog.String("err", result.Error()))
		}
		state.Error = text
	}
}

func (k *TopicWatcher) setDown(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return
	}
	if k.state.Up {
		k.state.Up, k.state.Since = false, time.Now()
	}
	k.state.LastError = err.Error()
	attrs := []any{slog.Time("since", k.state.Since), slog.String("err", k.state.LastError)}
	if k.outageLogged {
		k.log.Debug("still waiting for Kafka", attrs...)
		return
	}
	k.outageLogged = true
	k.log.Info("waiting for Kafka", attrs...)
}

func (k *TopicWatcher) notifyLocked() {
	close(k.changedCh)
	k.changedCh = make(chan struct{})
}

// State returns what is known now.
func (k *TopicWatcher) State() WatcherState {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	s.Topics = append([]TopicState(nil), s.Topics...)
	return s
}

// Topic returns what is known of a topic, and a channel that is closed when
// something has changed or Kafka is back.
func (k *TopicWatcher) Topic(name string) (TopicState, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, known := k.index[name]
	if !known {
		return TopicState{Name: name, Error: "not among the kept topics"}, k.changedCh
	}
	return k.state.Topics[i], k.changedCh
}

// changed returns a channel that is closed when something has changed or Kafka
// is back.
func (k *TopicWatcher) changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changedCh
}

// Wait waits until a topic has been seen and returns its real partition count.
func (k *TopicWatcher) Wait(ctx context.Context, name string) (int, error) {
	for {
		t, wake := k.Topic(name)
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
