package ingest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

func TestFromPlugToTicket(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		l.deliver(wire.TopicEvents, a.All...)
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
		tickets, err := l.store.Tickets(t.Context(), view.Query{})
		if err != nil || len(tickets) != 1 || tickets[0].Energy != 2100 || tickets[0].Cost != (money.Amount{Minor: 195, Currency: "EUR"}) {
			t.Errorf("tickets: got %+v %v, want one of 2100 Wh and 195 cents", tickets, err)
		}
		if next, _, _, err := l.store.Offset(t.Context(), wire.TopicEvents, 0); err != nil || next != int64(len(a.All)) {
			t.Errorf("offset: got %d %v, want %d", next, err, len(a.All))
		}
		n := l.live.Network()
		if len(n.CPs) != 1 || n.Books.Applied != int64(a.Seq) || n.Books.Announced != int64(a.Seq) || n.Books.Unacked != 0 {
			t.Errorf("books: %+v", n.Books)
		}
	})
}

func TestAcksLeaveAtOnceThenCoalesced(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		for n := range 12 {
			a.Charge(n)
		}
		begin := time.Now()
		for _, d := range a.All {
			l.deliver(wire.TopicEvents, d)
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		acks, _, _ := l.out.count()
		if most := int(time.Since(begin)/(100*time.Millisecond)) + 1; acks > most || acks < 5 {
			t.Errorf("got %d acknowledgements in %s, want between 5 and %d", acks, time.Since(begin), most)
		}
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("the last acknowledgement: got %d, want %d", got, a.Seq)
		}
	})
}

// The same records, once in order and then repeatedly, out of order and over
// several runs, make the same ledger.
func TestReplayAndRestartChangeNothing(t *testing.T) {
	dir, calm := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, b := journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")
		for n := range 3 {
			a.Charge(n)
			b.Charge(n)
			a.Boot()
		}
		undisturbed := central(t, calm)
		undisturbed.deliver(wire.TopicEvents, append(append([]journaltest.Message{}, a.All...), b.All...)...)
		synctest.Wait()
		want := undisturbed.hash()
		undisturbed.end()

		for i := range a.All { // each run reads one more record, after all earlier ones
			l := central(t, dir)
			l.deliver(wire.TopicEvents, a.All[:i+1]...)
			l.deliver(wire.TopicEvents, b.All[min(i, len(b.All)-1)], b.All[min(i/2, len(b.All)-1)])
			synctest.Wait()
			l.end()
		}
		l := central(t, dir)
		for range 2 {
			l.deliver(wire.TopicEvents, b.All...)
			l.deliver(wire.TopicEvents, a.All...)
		}
		synctest.Wait()
		if got := l.hash(); got != want {
			t.Errorf("accounts: got %s, want %s", got, want)
		}
		if got, want := l.counters()["applied"], int64(len(a.All)+len(b.All)); got != want {
			t.Errorf("applied: got %d, want %d", got, want)
		}
		l.end()
	})
}

// Central was killed between a commit and the acknowledgement. The next run
// acknowledges every charging point.
func TestARunBeginsByAcknowledgingEachPoint(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first := newInstance(t, options(dir), config())
		first.w.Join(charge.Epoch{})
		synctest.Wait()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		first.deliver(wire.TopicEvents, a.All...)
		synctest.Wait()
		before := first.hash()
		first.end()
		second := central(t, dir)
		defer second.end()
		synctest.Wait()
		if got := second.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged after the restart: got %d, want %d", got, a.Seq)
		}
		first.mu.Lock()
		defer first.mu.Unlock()
		if a, b := first.out.acksOf["CP_1"].Central, second.out.acksOf["CP_1"].Central; !a.Less(b) {
			t.Errorf("epochs: got %s then %s, want a higher one", a, b)
		}
		if got := second.hash(); got != before {
			t.Errorf("accounts: got %s, want %s", got, before)
		}
	})
}

func TestPoisonAtTheHeadBlocksNoOtherRecord(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		bad := []journaltest.Message{
			{Key: "CP_2", Value: nil},
			{Key: "CP_2", Value: []byte("\x00")},
			{Key: "CP_2", Value: []byte(`{"v":1} trailing`)},
			{Key: "", Value: []byte("{}")},
			{Key: "CP/3\n", Value: []byte(strings.Repeat("[", 100_000))},
			{Key: "CP_2", Value: a.All[0].Value}, // in another's name
		}
		l.deliver(wire.TopicEvents, append(bad, a.All...)...)
		l.deliver(wire.TopicMonitor, journaltest.Message{Key: "x/y", Kind: wire.KindValuePresence, Value: []byte("{}")},
			journaltest.Message{Kind: "news", Value: []byte("?")}, journaltest.Message{Kind: wire.KindValueBridgeAlive, Value: []byte("{")},
			journaltest.Message{Kind: wire.KindValueCentralAlive})
		l.deliver(wire.TopicDriverEvents, journaltest.Message{Key: "ann", Value: []byte("no")}, journaltest.Message{Value: []byte(`{"username":7}`)})
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
		if got := l.counters()["dead_letters"]; got != 11 {
			t.Errorf("dead letters: got %d, want 11", got)
		}
		if got := l.counters()["unknown_kinds"]; got != 1 {
			t.Errorf("unknown kinds: got %d, want 1", got)
		}
		rows, err := l.store.Outbox(t.Context(), wire.TopicDeadLetters, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Headers[wire.HeaderReason] == "" || r.Headers[wire.HeaderOrigin] == "" {
				t.Errorf("dead letter without its reason or origin: %+v", r.Headers)
			}
		}
		if letters := len(rows); letters != 11 {
			t.Errorf("dead letters to publish: got %d, want 11", letters)
		}
		if next, _, _, err := l.store.Offset(t.Context(), wire.TopicEvents, 0); err != nil || next != int64(len(bad)+len(a.All)) {
			t.Errorf("offset: got %d %v", next, err)
		}
	})
}

// A row that the schema refuses is isolated among many, and its input becomes a
// dead letter; all others are written.
func TestARefusedRowIsIsolated(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		// A row of the test has the record's key, so writing the record fails.
		a, b := journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")
		a.Charge(1)
		b.Charge(1)
		l.deliver(wire.TopicEvents, a.All[0])
		synctest.Wait()
		if err := l.store.Write(t.Context(), func(tx *store.Tx) error {
			return tx.Record(ledger.Input{Record: wire.Record{CPID: "CP_1", Journal: a.Journal, Seq: 3}, Raw: []byte{1}}, "x", 1)
		}); err != nil {
			t.Fatal(err)
		}
		l.deliver(wire.TopicEvents, append(append([]journaltest.Message{}, a.All[1:]...), b.All...)...)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := l.out.acked("CP_2"); got != b.Seq {
			t.Errorf("the other charging point: acknowledged %d, want %d", got, b.Seq)
		}
		if got := l.out.acked("CP_1"); got != 2 {
			t.Errorf("its own: acknowledged %d, want 2", got)
		}
		if got := l.counters()["dead_letters"]; got != 1 {
			t.Errorf("dead letters: got %d, want 1", got)
		}
		if next, _, _, err := l.store.Offset(t.Context(), wire.TopicEvents, 0); err != nil || next != int64(len(a.All)+len(b.All)) {
			t.Errorf("offset: got %d %v, want %d", next, err, len(a.All)+len(b.All))
		}
	})
}

func TestALockedDatabaseDelaysAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		unlock := storetest.Lock(t, l.store.Path())
		l.deliver(wire.TopicEvents, a.All...)
		time.Sleep(30 * time.Second)
		if acks, _, _ := l.out.count(); acks != 0 {
			t.Errorf("%d acknowledgements left without a commit", acks)
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorCancel{ReservationID: "r"}}); !errors.Is(err, ingest.ErrStorage) {
			t.Errorf("an operator meanwhile: got %v, want ErrStorage", err)
		}
		p := self(l)
		if p.State != view.PartDown || !strings.Contains(p.Reason, "locked") {
			t.Errorf("central: got %+v, want it down because the database is locked", p)
		}
		_, _, alive := l.out.count()
		time.Sleep(30 * time.Second)
		if _, _, now := l.out.count(); now < alive+29 {
			t.Errorf("%d heartbeats in 30 s", now-alive)
		}
		unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
		if p := self(l); p.State != view.PartUp {
			t.Errorf("central: got %+v, want it up again", p)
		}
	})
}

func self(l *instance) view.Part {
	for _, p := range l.live.Network().Parts {
		if p.Name == "central" {
			return p
		}
	}
	return view.Part{}
}

func TestAFullDiskHealsItself(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newInstance(t, store.Options{Path: options(dir).Path, MaxPages: 150}, config())
		l.w.Join(charge.Epoch{})
		defer l.end()
		// Something else fills the disk.
		var ids []int64
		for err := error(nil); err == nil; {
			err = l.store.Write(t.Context(), func(tx *store.Tx) error { return tx.Outbox("t", "k", nil, make([]byte, 3000), 1) })
		}
		a := journaltest.New(t, "CP_1")
		for n := range 20 {
			a.Charge(n)
		}
		l.deliver(wire.TopicEvents, a.All...)
		time.Sleep(10 * time.Second)
		if acks, _, _ := l.out.count(); acks != 0 {
			t.Errorf("%d acknowledgements left without a commit", acks)
		}
		if p := self(l); !strings.Contains(p.Reason, "full") {
			t.Errorf("central: got %+v, want a full disk", p)
		}
		rows, err := l.store.Outbox(t.Context(), "t", 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		if err := l.store.Write(t.Context(), func(tx *store.Tx) error { return tx.OutboxSent(ids) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
	})
}

func TestAPresenceIsAnsweredWithWhereItsJournalStands(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		l.deliver(wire.TopicMonitor, a.Presence(1, charge.Epoch{}))
		synctest.Wait()
		l.out.mu.Lock()
		if n := len(l.out.acks); n != 1 || l.out.acks[0].Journal != nil {
			t.Errorf("got %+v, want one acknowledgement without a journal", l.out.acks)
		}
		l.out.mu.Unlock()
		n := l.live.Network()
		if len(n.CPs) != 1 || !n.CPs[0].Admitted || n.Books.Announced != int64(a.Seq) || n.Books.Unacked != int64(a.Seq) {
			t.Errorf("a point that announced %d records: books %+v", a.Seq, n.Books)
		}
		l.deliver(wire.TopicEvents, a.All...)
		time.Sleep(time.Second)
		l.deliver(wire.TopicMonitor, a.Presence(a.Seq+1, charge.Epoch{}))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
	})
}

// A presence alone does not fill the books: of a journal that no record shows, no more
// counts than an agent sends at once.
func TestAPresenceDoesNotFillTheBooks(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Seq = 900_021
		l.deliver(wire.TopicMonitor, a.Presence(1, charge.Epoch{}))
		synctest.Wait()
		if b := l.live.Network().Books; b.Announced > 64 || b.Unacked > 64 {
			t.Errorf("a presence named 900021 records of an unknown journal: books %+v", b)
		}
	})
}

func TestAnUnknownPointWaitsForAdmissionAndItsRecordsAreKept(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Admit = false
		l := newInstance(t, options(dir), cfg)
		l.w.Join(charge.Epoch{})
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		l.deliver(wire.TopicEvents, a.All...)
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
		if n := l.live.Network(); len(n.CPs) != 1 || n.CPs[0].Admitted {
			t.Errorf("got %+v, want one that is not admitted", n.CPs)
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Admit{CPID: "CP_1", Admitted: true}); err != nil {
			t.Error(err)
		}
		if n := l.live.Network(); !n.CPs[0].Admitted {
			t.Error("it was not admitted")
		}
		if r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Admit{CPID: "CP_9", Admitted: true}); err != nil || r.Refused != wire.RefusedUnknownCP {
			t.Errorf("an unknown one: got %+v %v, want it refused as unknown", r, err)
		}
	})
}

func TestBeforeItIsActiveNothingLeaves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newInstance(t, options(dir), config())
		defer l.end()
		a := journaltest.New(t, "CP_1")
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			l.deliver(wire.TopicEvents, a.All...)
		}()
		time.Sleep(time.Minute)
		if acks, commands, alive := l.out.count(); acks+commands+alive != 0 {
			t.Errorf("got %d acknowledgements, %d commands, %d heartbeats, want none", acks, commands, alive)
		}
		l.w.Join(charge.Epoch{})
		<-taken
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("acknowledged: got %d, want %d", got, a.Seq)
		}
	})
}

func TestAnyBytesAreHandled(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		for i, d := range a.All { // every record cut and changed
			for _, k := range []int{1, len(d.Value) / 2, len(d.Value) - 1} {
				cut := d
				cut.Value = d.Value[:k]
				flip := d
				flip.Value = []byte(strings.Replace(string(d.Value), fmt.Sprintf(`"seq":%d`, i+1), fmt.Sprintf(`"seq":%d`, i+k), 1))
				l.deliver(wire.TopicEvents, cut, flip)
			}
		}
		synctest.Wait()
		if next, _, _, err := l.store.Offset(t.Context(), wire.TopicEvents, 0); err != nil || next != l.next[wire.TopicEvents] {
			t.Errorf("offset: got %d %v, want %d", next, err, l.next[wire.TopicEvents])
		}
	})
}

func TestTelemetryIsShownWithItsAge(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		l.deliver(wire.TopicEvents, a.All[:5]...) // up to the first reading
		synctest.Wait()
		tele := wire.Telemetry{V: 1, CPID: "CP_1", Journal: a.Journal, At: charge.At(time.Now()), IntervalMS: 1000, Connectors: []wire.ConnectorTelemetry{
			{Connector: 1, Status: charge.StatusCharging, SessionID: "CP_1-1", Start: 1000, Register: 3000, Power: 9000},
		}}
		raw, err := tele.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.live.Telemetry("CP_1", raw)
		l.live.Telemetry("CP_2", raw) // in another's name
		l.live.Telemetry("CP_1", nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		n := l.live.Network()
		k := n.CPs[0].Connectors[0]
		if k.Power != 9000 || k.Energy != 2000 || k.Cost != "1.90" || k.Currency != "EUR" || n.At.Sub(k.ValuesAt) < 2*time.Second || n.Books.BadTelemetry != 2 {
			t.Errorf("got %+v, bad %d; want 9000 W, 2000 Wh, 190 cents, 2 s old, 2 bad", k, n.Books.BadTelemetry)
		}
		l.out.mu.Lock()
		defer l.out.mu.Unlock()
		if len(l.out.progress) == 0 || l.out.progress[0].Username != "ann" || *l.out.progress[0].EnergyKWh != 2000 {
			t.Errorf("progress: got %+v, want 2 kWh of ann", l.out.progress)
		}
	})
}

func TestALockedDatabaseAtTheStartIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		unlock := storetest.Lock(t, s.Path())
		l := startInstance(t, s, config())
		defer l.end()
		time.Sleep(time.Minute)
		if p := self(l); !strings.Contains(p.Reason, "locked") {
			t.Errorf("central: got %+v, want it to wait for the lock", p)
		}
		unlock()
		l.w.Join(charge.Epoch{})
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		synctest.Wait()
		if got := l.out.acked("CP_1"); got != 1 {
			t.Errorf("acknowledged: got %d, want 1", got)
		}
	})
}
