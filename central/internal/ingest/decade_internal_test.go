package ingest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"maps"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/growth"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// realDB is the real database as the writer needs it.
type realDB struct{ *store.Store }

func (d realDB) Write(ctx context.Context, fn func(Tx) error) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (d realDB) Trouble(err error) (reason.Reason, Remedy) {
	why, r := store.Diagnose(err)
	return why, Remedy(r)
}

// allSent is a Sender to which Kafka confirms at once.
type allSent struct{}

func (allSent) Ack(charge.Epoch, charge.CPID, []byte)                                         {}
func (allSent) Command(_ charge.Epoch, _ charge.CPID, _ charge.CommandID, _ []byte, s func()) { s() }
func (allSent) Progress(string, charge.SessionID, []byte)                                     {}
func (allSent) Heartbeat([]byte)                                                              {}

// grows are the tables that keep history, and why. All others are bounded.
var grows = map[string]string{
	"journals": "one row per boot: without it a late record of that boot could not be distinguished from a new one",
	"pruned":   "one row per boot whose bytes are gone",
	"sessions": "accounts",
	"tickets":  "accounts",
}

// manualWriter is a Writer without Run: the test passes a few batches per three
// days, so that ten years pass in seconds.
type manualWriter struct {
	t     *testing.T
	w     *Writer
	s     *store.Store
	p     *journaltest.Point
	next  map[string]int64
	round int
}

func (d *manualWriter) commit(inputs ...input) {
	d.t.Helper()
	if err := d.w.commit(d.t.Context(), inputs); err != nil {
		d.t.Fatal(err)
	}
	d.w.pacer.send(time.Now(), d.w.sendAck)
	for {
		notes, _ := d.w.drainQueue()
		if len(notes) == 0 {
			return
		}
		if err := d.w.commit(d.t.Context(), notes); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *manualWriter) decode(topic string, msgs ...journaltest.Message) []input {
	all := make([]input, 0, len(msgs))
	for _, m := range msgs {
		all = append(all, d.w.decode(KafkaRecord{
			Topic: topic, Offset: d.next[topic], CRC: crc32.ChecksumIEEE(m.Value), Key: m.Key, Kind: m.Kind, Value: m.Value,
			ReceivedAt: charge.At(time.Now()),
		}))
		d.next[topic]++
	}
	return all
}

// threeDays is three days: a boot, two sessions, a driver's request, an operator's
// orders to stop and resume the charging point, and the passing of time.
func (d *manualWriter) threeDays() {
	d.t.Helper()
	d.round++
	time.Sleep(3 * 24 * time.Hour)
	d.p.All = d.p.All[:0]
	d.p.Boot()
	d.p.Charge(2 * d.round)
	d.p.Charge(2*d.round + 1)
	d.commit(d.decode(wire.TopicMonitor, d.bridge(), d.p.Presence(1, d.w.self))...)
	d.commit(d.decode(wire.TopicEvents, d.p.All...)...)
	select {
	case want := <-d.w.LogWanted(): // the first boot follows one that is not known: the agent sends again
		d.w.LogRead(want.N)
		d.commit(tickIn{})
		d.commit(d.decode(wire.TopicEvents, d.p.All...)...)
	default:
	}
	r := wire.DriverRequest{
		MessageID: fmt.Sprint("m", d.round), EventType: wire.DriverAuthorization, Username: "ann", ClientID: "c",
		Timestamp: wire.Seconds(charge.At(time.Now())),
	}
	raw, err := r.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	d.commit(d.decode(wire.TopicDriverEvents, journaltest.Message{Key: "ann", Value: raw})...)
	for _, available := range []bool{false, true} {
		once := IdempotencyKey{Key: fmt.Sprint("k", d.round, available), Request: sha256.Sum256([]byte{1})}
		d.commit(&operatorIn{op: Order{orders.OperatorAvailability{Target: orders.Target{CPID: d.p.CP}, Available: available}}, key: once})
	}
	for range 3 { // commands without a result expire
		time.Sleep(2 * time.Minute)
		d.commit(tickIn{})
	}
	for d.cleanup(); d.w.cleanupAfter == cleanupPause; d.cleanup() {
	}
	topics, err := d.s.OutboxTopics(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	sent := outboxSentIn{}
	for _, topic := range topics {
		rows, err := d.s.Outbox(d.t.Context(), topic, 0, 10_000)
		if err != nil {
			d.t.Fatal(err)
		}
		for i := range rows {
			sent.ids = append(sent.ids, rows[i].ID)
		}
	}
	d.commit(sent)
}

// bridge is the heartbeat of the bridge, so that the charging point counts as
// online and is sent commands.
func (d *manualWriter) bridge() journaltest.Message {
	now := charge.At(time.Now())
	up := wire.Dependency{Up: true, Since: now}
	b := wire.BridgeAlive{V: 1, Bridge: "b", At: now, StartedAt: now, MQTT: up, Kafka: up}
	raw, err := b.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	return journaltest.Message{Key: "b", Kind: wire.KindValueBridgeAlive, Value: raw}
}

func (d *manualWriter) cleanup() {
	d.w.cleanupAfter = 0
	d.commit(cleanupIn{})
}

// allocations is how many allocations one more boot with its sessions costs.
func (d *manualWriter) allocations() uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d.threeDays()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// rows counts the rows of each table.
func (d *manualWriter) rows() map[string]int {
	d.t.Helper()
	return storetest.Rows(d.t, d.s.Path())
}

// Ten years of boots, sessions and requests: memory stays as it was after the
// first year, a boot costs what it cost then, and only tables that keep history
// grow.
func TestTenYearsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newManualWriter(t)
		w := d.w
		const year = 365 / 3
		for range year {
			d.threeDays()
		}
		first, firstRows, firstWork := growth.Elements(w), d.rows(), d.allocations()
		const years = 10
		for range (years - 1) * year {
			d.threeDays()
		}
		last, lastRows, lastWork := growth.Elements(w), d.rows(), d.allocations()
		for _, line := range growth.More(first, last, 50) {
			t.Errorf("after %d years the writer%s", years, line)
		}
		t.Logf("allocations of a boot with its sessions: %d in year 2, %d in year %d", firstWork, lastWork, years)
		if lastWork > firstWork*5/4 {
			t.Errorf("a boot with its sessions cost %d allocations after a year and %d after %d", firstWork, lastWork, years)
		}
		for _, name := range slices.Sorted(maps.Keys(lastRows)) {
			t.Logf("%-16s %6d rows after a year, %6d after %d", name, firstRows[name], lastRows[name], years)
			if n := lastRows[name]; n > firstRows[name]+50 && grows[name] == "" {
				t.Errorf("table %s grew from %d rows to %d", name, firstRows[name], n)
			}
		}
		if lastRows["commands"] == 0 || lastRows["reservations"] == 0 {
			t.Error("no command was sent, or no driver was served: the test covers less than it should")
		}
		if known := w.cps["CP_1"].KnownRecords; known != int64(17*d.round+1) {
			t.Errorf("%d records are known, want 17 each third day and the first boot: %d", known, 17*d.round+1)
		}
		// A restart loads what the running one has.
		again, err := d.s.Recent(t.Context(), keepJournals)
		if err != nil {
			t.Fatal(err)
		}
		if cp := again["CP_1"]; cp.KnownRecords != w.cps["CP_1"].KnownRecords || len(cp.Journals) > keepJournals {
			t.Errorf("loaded: %d records known in %d journals", cp.KnownRecords, len(cp.Journals))
		}
	})
}
