package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/internal/rebuild"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/wire"
)

// ExportSettings returns, as JSON, what the database at path has and no record
// contains: tariffs, which charging points are admitted, what operators
// decided, cards, groups, accounts and tokens. A Central may run on the database meanwhile.
func ExportSettings(ctx context.Context, path string) (raw []byte, err error) {
	s, err := store.OpenSnapshot(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	tariffs, err1 := s.TariffRows(ctx)
	cps, err2 := s.CPs(ctx)
	availability, err3 := s.AvailabilityWanted(ctx)
	settled, err4 := s.SettledTickets(ctx)
	accounts, err5 := s.Accounts(ctx, "", 0)
	tokens, err6 := s.Tokens(ctx)
	named, err7 := s.AllCPSettings(ctx)
	issued, err8 := s.AllCards(ctx)
	groups, err9 := s.SupplyGroups(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9); err != nil {
		return nil, err
	}
	out := rebuild.Settings{ExportedAt: charge.At(time.Now())}
	for _, t := range tariffs {
		out.Tariffs = append(out.Tariffs, rebuild.NewTariff(t.Tariff, t.MadeAt))
	}
	for _, id := range slices.Sorted(maps.Keys(cps)) {
		p := rebuild.Point{CPID: id, Admitted: cps[id].Admitted}
		if i := slices.IndexFunc(named, func(s view.CPSettings) bool { return s.CPID == id }); i >= 0 {
			p.Name, p.Place, p.Site, p.Version, p.ChangedAt = named[i].Name, named[i].Place, named[i].Site, named[i].Version, named[i].ChangedAt
		}
		out.Points = append(out.Points, p)
		gaps, err := s.GapsOf(ctx, id)
		if err != nil {
			return nil, err
		}
		for i := range gaps {
			h := &gaps[i]
			out.Gaps = append(out.Gaps, rebuild.Gap{CPID: h.CPID, Journal: h.Journal, First: h.First, Last: h.Last, Cause: h.Cause})
		}
	}
	for _, w := range availability {
		out.Availability = append(out.Availability, rebuild.Availability{CPID: w.CPID, Connector: w.Connector, Available: w.Available, AskedAt: w.RequestedAt})
	}
	for i := range settled {
		out.Settled = append(out.Settled, rebuild.NewSettled(&settled[i]))
	}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, rebuild.NewAccount(a))
	}
	for _, c := range issued {
		out.Cards = append(out.Cards, rebuild.NewCard(c))
	}
	for i := range groups {
		out.Groups = append(out.Groups, rebuild.NewGroup(&groups[i]))
	}
	for i := range tokens {
		if tokens[i].RevokedAt == 0 {
			out.Tokens = append(out.Tokens, rebuild.NewToken(&tokens[i]))
		}
	}
	return out.Encode()
}

// Summary is the result of Rebuild.
type Summary = rebuild.Summary

// Rebuild creates a database at the path into, which must not exist, from
// exported settings (nil: none) and from all records in Kafka. It only reads
// from Kafka, and waits for it as long as necessary. Records that Kafka has
// deleted are sent again by the agents once a Central runs on the result. Until
// it is complete, the file is called into.part.
func Rebuild(ctx context.Context, cfg Config, deps Deps, settings []byte, into string) (sum Summary, err error) {
	if _, err := os.Lstat(into); !errors.Is(err, fs.ErrNotExist) {
		return sum, fmt.Errorf("rebuild: %s: %w; choose a new name", into, fs.ErrExist)
	}
	var s rebuild.Settings
	if settings != nil {
		if s, err = rebuild.DecodeSettings(settings); err != nil {
			return sum, err
		}
	}
	part := into + ".part"
	db, err := openEmpty(ctx, part)
	if err != nil {
		return sum, fmt.Errorf("rebuild: %w", err)
	}
	defer func() { err = errors.Join(err, removeDatabase(part)) }()
	if sum, err = rebuildInto(ctx, cfg, deps, s, db); err != nil {
		return sum, errors.Join(fmt.Errorf("rebuild: %w", err), db.Close())
	}
	if err := db.Close(); err != nil {
		return sum, fmt.Errorf("rebuild: %w", err)
	}
	_, err = store.Backup(ctx, part, into) // which gives the file its name only once it is complete on disk
	return sum, err
}

// openEmpty opens a new database in place of the file that a killed rebuild
// left. It fails if another rebuild is running, which has the file locked.
func openEmpty(ctx context.Context, path string) (*store.Store, error) {
	db, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(db.Close(), removeDatabase(path)); err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Options{Path: path})
}

// removeDatabase deletes a database and the files that SQLite keeps beside it.
func removeDatabase(path string) error {
	var errs []error
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// rebuildInto reads Kafka's topics into db, in this order: central-events, to
// know which tickets were published; monitor-events, for the journals that
// charging points announced; and cp-events, as often as records of it became
// applicable by others.
func rebuildInto(ctx context.Context, cfg Config, deps Deps, settings rebuild.Settings, db *store.Store) (sum Summary, err error) {
	log := deps.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t, now := &cfg.Kafka.Topics, time.Now()
	r, err := rebuild.New(ctx, rebuild.Config{
		Default: cfg.Tariff.ledger(), Admit: cfg.Network.AdmitAutomatically, Central: t.CentralEvents.Name,
		PublishAfter: charge.At(now.Add(-t.CentralEvents.Retention)), Now: charge.At(now),
	}, rebuildStore{db}, settings)
	if err != nil {
		return sum, err
	}
	ctx, cancel := context.WithCancel(ctx)
	a, err := newKafkaLog(ctx, cfg, deps, log)
	if err != nil {
		cancel()
		return sum, err
	}
	defer a.close()
	defer cancel()
	if err := a.readAll(ctx, t.CentralEvents.Name, func(_ context.Context, b []rebuild.Delivered) error { r.Published(b); return nil }); err != nil {
		return sum, err
	}
	if err := a.readAll(ctx, t.Monitor.Name, r.Presences); err != nil {
		return sum, err
	}
	for again := true; again; {
		if err := a.readAll(ctx, t.Events.Name, r.Records); err != nil {
			return sum, err
		}
		if again, err = r.NextPass(ctx); err != nil {
			return sum, err
		}
	}
	return r.Finish(ctx)
}

// rebuildStore is the new database as package rebuild needs it.
type rebuildStore struct{ *store.Store }

var _ rebuild.Store = rebuildStore{}

// Write implements rebuild.Store.
func (s rebuildStore) Write(ctx context.Context, fn func(rebuild.Tx) error) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// kafkaLog reads topics from their first record to their end.
type kafkaLog struct {
	client  *kafkalink.Client
	topics  *kafkalink.TopicWatcher
	log     *slog.Logger
	running sync.WaitGroup
}

// newKafkaLog connects to Kafka. A topic that does not exist is created: it is
// as empty as the one that was lost. The caller must end ctx and then call
// close.
func newKafkaLog(ctx context.Context, cfg Config, deps Deps, log *slog.Logger) (*kafkaLog, error) {
	k, t := &cfg.Kafka, &cfg.Kafka.Topics
	all := []kafkalink.TopicSpec{k.Spec(&t.Events), k.Spec(&t.Monitor), k.Spec(&t.CentralEvents)}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	a := &kafkaLog{log: log}
	var err error
	if a.client, err = kafkalink.NewClient(kafkalink.ClientConfig{Brokers: k.Brokers, ClientID: k.ClientID, Topics: names, Dial: deps.Dial}); err != nil {
		return nil, err
	}
	if a.topics, err = kafkalink.NewTopicWatcher(a.client, kafkalink.WatcherConfig{Create: all, Log: log}); err != nil {
		a.client.Close()
		return nil, err
	}
	a.running.Go(func() {
		if err := a.topics.Run(ctx); err != nil && ctx.Err() == nil {
			log.Error("Kafka cannot be watched", slog.String("err", err.Error()))
		}
	})
	return a, nil
}

// close waits for the goroutines, so the context of newKafkaLog must have
// ended.
func (a *kafkaLog) close() {
	a.running.Wait()
	a.client.Close()
}

// readAll passes every record of a topic to handle, each partition in its
// order, up to the end that its reader saw first. An error of handle ends it.
func (a *kafkaLog) readAll(ctx context.Context, topic string, handle func(context.Context, []rebuild.Delivered) error) error {
	n, err := a.topics.Wait(ctx, topic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	open := map[int]bool{} // the partitions that are not read to their end; mu guards it
	for p := range n {
		open[p] = true
	}
	done := func(p int) {
		mu.Lock()
		defer mu.Unlock()
		if delete(open, p); len(open) == 0 {
			cancel(errAllRead)
		}
	}
	r := kafkalink.NewTopicReader(a.client, a.topics, topic, func(p int) kafkalink.ReaderConfig {
		return a.readerToEnd(ctx, handle, cancel, func() { done(p) })
	})
	r.OnPartitions(func(now int) {
		if now < n {
			cancel(fmt.Errorf("topic %s was made again with %d partitions instead of %d while it was read: start again", topic, now, n))
		}
	})
	_ = r.Run(ctx) // it ends with its context alone
	if cause := context.Cause(ctx); !errors.Is(cause, errAllRead) {
		return cause
	}
	return nil
}

// errAllRead cancels the readers when all of them have reached the end.
var errAllRead = errors.New("all is read")

// readerToEnd returns the configuration of a reader that calls done once, at
// the end that it saw first.
func (a *kafkaLog) readerToEnd(ctx context.Context, handle func(context.Context, []rebuild.Delivered) error,
	fail context.CancelCauseFunc, done func(),
) kafkalink.ReaderConfig {
	end, over := int64(-1), false
	reached := func(next int64) {
		if next >= end && !over {
			over = true
			done()
		}
	}
	return kafkalink.ReaderConfig{
		Start: kafkalink.FromFirst(), Log: a.log,
		Opened: func(o kafkalink.Opened) {
			if end < 0 {
				end = o.End
			}
			reached(o.Next)
		},
		Handle: func(_ context.Context, b kafkalink.Batch) error {
			batch := make([]rebuild.Delivered, 0, len(b.Messages))
			for i := range b.Messages {
				m := &b.Messages[i]
				batch = append(batch, rebuild.Delivered{
					Topic: b.Topic, Partition: b.Partition, Offset: m.Offset, CRC: kafkalink.Fingerprint(m.Key, m.Value), Key: string(m.Key),
					Value: m.Value, Kind: string(m.Header(wire.HeaderKind)), ReceivedAt: receivedAt(m),
				})
			}
			if err := handle(ctx, batch); err != nil {
				fail(err)
				return err
			}
			reached(b.Next)
			return nil
		},
	}
}
