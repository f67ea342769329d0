package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// Record adds a record that was applied. A record that is stored already is a
// constraint error: a record is applied once. Records are gathered and written
// bulkRows at a time, the rest before the commit.
func (tx *Tx) Record(in ledger.Input, hash string, receivedAt charge.Time) error {
	if err := tx.readWritten(); err != nil {
		return err
	}
	tx.recorded++
	r := &in.Record
	tx.w.records = append(tx.w.records, string(r.CPID), string(r.Journal), int64(r.Seq), hash, int64(receivedAt), in.Raw, tx.w.written+tx.recorded)
	if len(tx.w.records) < bulkRows*tx.w.tables.records.width {
		return nil
	}
	return tx.flush()
}

// writtenCounter is the name of the counter of all records ever written. It
// numbers records in the order in which they were applied, over all charging
// points.
const writtenCounter = "records_written"

// readWritten reads the counter before the first record that this process writes;
// later the writer counts by itself.
func (tx *Tx) readWritten() error {
	if tx.w.writtenKnown {
		return nil
	}
	err := tx.w.conn.QueryRowContext(tx.ctx, "SELECT value FROM counters WHERE name=?", writtenCounter).Scan(&tx.w.written)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		tx.err = err
		return fmt.Errorf("read the order of records: %w", err)
	}
	tx.w.writtenKnown = true
	return nil
}

// finish writes what the transaction gathered; Write calls it before the commit.
func (tx *Tx) finish() error {
	err := tx.flush()
	if err == nil && tx.recorded > 0 {
		err = tx.Count(writtenCounter, tx.recorded)
	}
	return errors.Join(err, tx.err)
}

// flush writes the records that were gathered for a full statement.
func (tx *Tx) flush() error {
	rows := tx.w.records
	tx.w.records = tx.w.records[:0]
	return wrap("write records", tx.rows(tx.w.tables.records, rows))
}

// maxForked is how many records of one quarantined identity are kept: enough to
// see what happened; a device in quarantine may send without end.
const maxForked = 1000

// Forked keeps a record of a quarantined identity for the operator, up to
// maxForked. Records beyond that are dropped without an error.
func (tx *Tx) Forked(in ledger.Input, hash string, receivedAt charge.Time) error {
	r := &in.Record
	return wrap("keep forked record", tx.exec("INSERT OR IGNORE INTO forked_records ("+forkedCols+") SELECT ?,?,?,?,?,? "+
		"WHERE (SELECT count(*) FROM forked_records WHERE cp_id=?)<?",
		string(r.CPID), string(r.Journal), int64(r.Seq), hash, int64(receivedAt), in.Raw, string(r.CPID), maxForked))
}

// BridgeDead stores how many dead letters a run of a bridge has reported. The
// number never decreases: an older heartbeat that is read again changes nothing.
func (tx *Tx) BridgeDead(bridge string, started charge.Time, n int64, at charge.Time) error {
	return wrap("note dead letters of a bridge", tx.exec("INSERT INTO bridge_runs (bridge,started_at,dead_letters,at) VALUES (?,?,?,?) "+
		"ON CONFLICT (bridge,started_at) DO UPDATE SET dead_letters=max(dead_letters,excluded.dead_letters),at=excluded.at",
		bridge, int64(started), n, int64(at)))
}

// BridgeDead returns how many dead letters a run of a bridge has reported; 0 if it
// is not known.
func (s *Store) BridgeDead(ctx context.Context, bridge string, started charge.Time) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT coalesce(max(dead_letters),0) FROM bridge_runs WHERE bridge=? AND started_at=?", bridge, int64(started)).Scan(&n)
	return n, wrap("read dead letters of a bridge", err)
}

// Outbox adds a message that is to be published on Kafka, after all that are
// there. headers may be nil.
func (tx *Tx) Outbox(topic, key string, headers map[string]string, value []byte, at charge.Time) error {
	raw := []byte("{}")
	if len(headers) > 0 {
		var err error
		if raw, err = json.Marshal(headers); err != nil {
			return fmt.Errorf("write outbox: %w", err)
		}
	}
	return wrap("write outbox", tx.exec(tx.w.tables.outbox.one, topic, key, string(raw), notNil(value), int64(at)))
}

// OutboxSent deletes messages that Kafka has acknowledged. A process killed
// between the acknowledgement and this commit publishes them twice.
func (tx *Tx) OutboxSent(ids []int64) error {
	for _, id := range ids {
		if err := tx.exec("DELETE FROM outbox WHERE id=?", id); err != nil {
			return fmt.Errorf("delete from outbox: %w", err)
		}
	}
	return nil
}

// Outgoing is a message of the outbox.
type Outgoing struct {
	ID      int64 // grows in the order of writing, never used twice
	Topic   string
	Key     string
	Headers map[string]string
	Value   []byte
}

// OutboxTopics returns the topics for which there are messages.
func (s *Store) OutboxTopics(ctx context.Context) ([]string, error) {
	// From each topic to the next one by the index, however many messages they have.
	return collect(ctx, s, "read topics of the outbox", func(rows *sql.Rows) (t string, err error) { return t, rows.Scan(&t) },
		"WITH RECURSIVE topics(t) AS (SELECT min(topic) FROM outbox UNION ALL SELECT (SELECT min(topic) FROM outbox WHERE topic>t) FROM topics WHERE t IS NOT NULL) "+
			"SELECT t FROM topics WHERE t IS NOT NULL")
}

// Outbox returns up to limit messages to a topic with an ID above after, oldest first.
func (s *Store) Outbox(ctx context.Context, topic string, after int64, limit int) ([]Outgoing, error) {
	return collect(ctx, s, "read outbox", func(rows *sql.Rows) (o Outgoing, err error) {
		var headers string
		if err := rows.Scan(&o.ID, &o.Topic, &o.Key, &headers, &o.Value); err != nil {
			return o, err
		}
		return o, json.Unmarshal([]byte(headers), &o.Headers)
	}, "SELECT id,topic,key,headers,value FROM outbox WHERE topic=? AND id>? ORDER BY id LIMIT ?", topic, after, limit)
}

// Offset stores how far a partition was read: next is the offset of the record to
// read next, crc the fingerprint of the record before it. The fingerprint shows
// whether the topic was deleted and created again, or Kafka lost its end.
func (tx *Tx) Offset(topic string, partition int, next int64, crc uint32) error {
	return wrap("write offset", tx.exec(tx.w.tables.offsets.one, topic, partition, next, int64(crc)))
}

// Offset returns how far a partition was read; known is false if it never was.
func (s *Store) Offset(ctx context.Context, topic string, partition int) (next int64, crc uint32, known bool, err error) {
	var c int64
	err = s.ro.QueryRowContext(ctx, "SELECT next,last_crc FROM offsets WHERE topic=? AND partition=?", topic, partition).Scan(&next, &c)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, false, nil
	}
	return next, uint32(c), err == nil, wrap("read offset", err)
}

// Count adds n to a counter. Counters start at 0 and live as long as the
// database.
func (tx *Tx) Count(name string, n int64) error {
	return wrap("count", tx.exec(tx.w.tables.counters.one, name, n))
}

// Counters returns all counters by name.
func (s *Store) Counters(ctx context.Context) (map[string]int64, error) {
	type pair struct {
		name string
		n    int64
	}
	pairs, err := collect(ctx, s, "read counters", func(rows *sql.Rows) (p pair, err error) {
		return p, rows.Scan(&p.name, &p.n)
	}, "SELECT name,value FROM counters")
	all := make(map[string]int64, len(pairs))
	for _, p := range pairs {
		all[p.name] = p.n
	}
	return all, err
}

// Setting stores a value under a name, in place of the one before.
func (tx *Tx) Setting(name, value string) error {
	return wrap("write setting", tx.exec(tx.w.tables.settings.one, name, value))
}

// Setting returns the value under a name; "" if there is none.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT value FROM settings WHERE name=?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, wrap("read setting", err)
}

// Epoch stores the epoch of this Central, in place of the one before. It is
// written at each start, before anything is sent.
func (tx *Tx) Epoch(e charge.Epoch, at charge.Time) error {
	return wrap("note epoch", tx.exec("INSERT INTO epoch (one,number,run,made_at) VALUES (1,?,?,?) "+
		"ON CONFLICT (one) DO UPDATE SET number=excluded.number,run=excluded.run,made_at=excluded.made_at", int64(e.Number), e.Run, int64(at)))
}

// Epoch returns the epoch that was stored last; zero if this Central has never
// run.
func (s *Store) Epoch(ctx context.Context) (e charge.Epoch, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT number,run FROM epoch").Scan(&e.Number, &e.Run)
	if errors.Is(err, sql.ErrNoRows) {
		return e, nil
	}
	return e, wrap("read epoch", err)
}

// tariffCols are the columns of a version of the prices.
const tariffCols = "version,start_fee_e4,per_kwh_e4,per_minute_e4,per_idle_minute_e4,tax_e4,currency,valid_from"

// tariffFields are the fields of a version in the order of tariffCols.
func tariffFields(t *ledger.Tariff) []any {
	return []any{&t.Version, &t.StartFee, &t.PerKWh, &t.PerMinute, &t.PerIdleMinute, &t.Tax, &t.Currency, &t.ValidFrom}
}

// Tariff adds a version of the prices, made at a moment and valid from then on unless
// it names another one. If the version is stored already, its prices must be the
// same: tickets name the version they were priced by, so a version never changes.
func (tx *Tx) Tariff(t ledger.Tariff, at charge.Time) error {
	if t.ValidFrom == 0 {
		t.ValidFrom = at
	}
	if err := tx.exec("INSERT OR IGNORE INTO tariffs ("+tariffCols+",made_at) VALUES (?,?,?,?,?,?,?,?,?)",
		string(t.Version), int64(t.StartFee), int64(t.PerKWh), int64(t.PerMinute), int64(t.PerIdleMinute), int64(t.Tax),
		string(t.Currency), int64(t.ValidFrom), int64(at)); err != nil {
		return fmt.Errorf("write tariff: %w", err)
	}
	var got ledger.Tariff
	if err := tx.w.conn.QueryRowContext(tx.ctx, "SELECT "+tariffCols+" FROM tariffs WHERE version=?", string(t.Version)).
		Scan(tariffFields(&got)...); err != nil {
		return fmt.Errorf("write tariff: %w", err)
	}
	if !got.SamePrices(t) {
		return fmt.Errorf("tariff %s is in the database with other prices (%s start, %s per kWh, %s): a version never changes, give the new prices a new version",
			t.Version, got.StartFee.Decimal(got.Currency), got.PerKWh.Decimal(got.Currency), got.Currency)
	}
	return nil
}

// Tariffs returns all versions of the prices, in the order in which they become
// valid.
func (s *Store) Tariffs(ctx context.Context) ([]ledger.Tariff, error) {
	return collect(ctx, s, "read tariffs", func(rows *sql.Rows) (t ledger.Tariff, err error) {
		return t, rows.Scan(tariffFields(&t)...)
	}, "SELECT "+tariffCols+" FROM tariffs ORDER BY valid_from,version")
}

// collect returns all rows of a query, read outside of a transaction of the
// writer; doing names the query in an error.
func collect[T any](ctx context.Context, s *Store, doing string, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	all, err := scanAll(ctx, s.ro, scan, query, args...)
	return all, wrap(doing, err)
}
