package ledger_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const minute charge.Time = 60_000

// twins returns two devices with one identity. The second started later, on a
// copy of the storage of the first.
func twins(t *testing.T) (a, b *ledgertest.ChargingPoint, bk *ledgertest.Book) {
	t.Helper()
	a, bk = ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	a.Boot()
	a.Plug(1)
	b = ledgertest.NewChargingPoint("CP", 1, morning+minute)
	b.Boots, b.Storage = 10, append(b.Storage, a.Storage...)
	b.Boot()
	for _, r := range append(a.Storage, b.Log...) {
		if out, _ := bk.Apply(r); out.Verdict != ledger.Applied {
			t.Fatalf("record %s/%d: %s", r.Journal, r.Seq, out.Verdict)
		}
	}
	return a, b, bk
}

func write(b *ledgertest.ChargingPoint, bk *ledgertest.Book, now charge.Time) ledger.Verdict {
	b.Now, bk.Env.Now = now, now
	out, _ := bk.Apply(b.Write(1, "", &wire.StatusChanged{Status: charge.StatusPreparing}))
	return out.Verdict
}

// Two journals that both grow, more than ten minutes after the later one was
// opened, belong to two devices with one identity.
func TestTwoGrowingJournalsAreAFork(t *testing.T) {
	t.Parallel()
	a, b, bk := twins(t)
	for _, at := range []charge.Time{2, 5, 9} { // a few records may be late
		if v := write(a, bk, morning+at*minute); v != ledger.Applied {
			t.Fatalf("the first device at %d min: %s", at, v)
		}
		if v := write(b, bk, morning+at*minute); v != ledger.Applied {
			t.Fatalf("the second device at %d min: %s", at, v)
		}
	}
	write(b, bk, morning+11*minute)
	if v := write(a, bk, morning+12*minute); v != ledger.Forked {
		t.Fatalf("both grow after ten minutes: %s, want forked", v)
	}
	if !bk.CP.Forked() || len(bk.OpenAlarms(ledger.AlarmFork)) == 0 {
		t.Fatal("no quarantine, or no alarm")
	}
	if v := write(b, bk, morning+13*minute); v != ledger.Forked {
		t.Fatalf("a record in quarantine: %s, want forked", v)
	}
	if len(bk.Tickets) != 0 {
		t.Fatal("billed in quarantine")
	}
	bk.Save(ledger.Release(bk.CP))
	if bk.CP.Forked() {
		t.Fatal("not released")
	}
}

// Once one of two devices is switched off, the other is current and can be
// commanded without a restart, although the one that is off started later.
func TestAfterAForkTheConnectedDeviceIsCurrent(t *testing.T) {
	t.Parallel()
	a, b, bk := twins(t)
	bk.ApplyPresence(a.Presence(wire.Position{}, epoch(1)))
	bk.ApplyPresence(b.Presence(wire.Position{}, epoch(1)))
	if bk.ApplyPresence(a.Presence(wire.Position{}, epoch(1))); bk.CP.CurrentJournal != b.Journal {
		t.Fatalf("%s is current before the fork is detected, want the later boot", bk.CP.CurrentJournal)
	}
	write(a, bk, morning+10*minute)
	write(b, bk, morning+12*minute)
	if v := write(a, bk, morning+13*minute); v != ledger.Forked {
		t.Fatalf("both grow: %s", v)
	}
	bk.ApplyPresence(a.Presence(wire.Position{}, epoch(1)))
	bk.Save(ledger.Release(bk.CP))
	if bk.CP.CurrentJournal != a.Journal || !bk.CP.Online || bk.CP.Forked() {
		t.Errorf("%s is current, online %v, quarantine %v; want %s", bk.CP.CurrentJournal, bk.CP.Online, bk.CP.Forked(), a.Journal)
	}
}

// A record that was written before the other journal was opened is only late.
func TestALateRecordIsNoFork(t *testing.T) {
	t.Parallel()
	a, b, bk := twins(t)
	a.Now = morning + 1
	late := a.Write(1, "", &wire.StatusChanged{Status: charge.StatusPreparing})
	write(b, bk, morning+30*minute)
	if out, _ := bk.Apply(late); out.Verdict != ledger.Applied || !out.Late {
		t.Fatalf("got %+v, want it applied as late", out)
	}
}

func TestOtherBytesAreAFork(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		seq  int
		old  string
		want ledger.Verdict
	}{
		{"of the last record", 2, `"uptime_ms":0`, ledger.Forked},
		{"of a first record, which follows nothing", 1, `"uptime_ms":0`, ledger.Mismatched},
		{"of a record of another boot", 3, `"uptime_ms":0`, ledger.Forked},
		{"from a sender without the chain", 2, `"prev":"`, ledger.Mismatched},
		{"none", 1, "", ledger.Duplicate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
			b.Boot()
			b.Plug(1)
			b.Boot()
			for _, r := range b.Log {
				bk.Apply(r)
			}
			raw := ledgertest.Raw(b.Log[tc.seq-1])
			switch tc.old {
			case "":
			case `"prev":"`:
				raw = bytes.Replace(raw, []byte(b.Log[tc.seq-1].Prev), bytes.Repeat([]byte("ab"), 32), 1)
			default:
				raw = []byte(strings.Replace(string(raw), tc.old, `"uptime_ms":9`, 1))
			}
			r, err := wire.DecodeRecord(raw)
			if err != nil {
				t.Fatal(err)
			}
			if out, _ := ledger.Apply(bk.CP, &bk.Env, ledger.Input{Raw: raw, Record: r}); out.Verdict != tc.want {
				t.Fatalf("got %s, want %s", out.Verdict, tc.want)
			}
		})
	}
}

// stray returns the next record of a charging point as a sender without its chain
// would write it.
func stray(b *ledgertest.ChargingPoint) wire.Record {
	r := b.Log[len(b.Log)-1]
	r.Seq, r.Type, r.Connector, r.Data = r.Seq+1, wire.TypePluggedIn, 1, []byte("{}")
	r.Prev = strings.Repeat("ab", 32)
	return r
}

// A record that does not follow the one known before it is dropped and raises an
// alarm; the right one after it is applied.
func TestAWrongPrevIsDropped(t *testing.T) {
	t.Parallel()
	for _, boot := range []bool{false, true} {
		b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
		bk.Apply(b.Boot())
		if boot {
			b.Boot()
		} else {
			b.Plug(1)
		}
		r := b.Log[1]
		r.Prev = strings.Repeat("ab", 32)
		if out, _ := bk.Apply(r); out.Verdict != ledger.Mismatched || bk.CP.Forked() || len(bk.OpenAlarms(ledger.AlarmMismatch)) != 1 {
			t.Fatalf("boot %v: got %s, want it dropped with an alarm", boot, out.Verdict)
		}
		if out, _ := bk.Apply(b.Log[1]); out.Verdict != ledger.Applied {
			t.Fatalf("boot %v: the right one: got %s, want applied", boot, out.Verdict)
		}
		bk.Env.Now += 11 * minute
		if bk.Apply(b.Boot()); len(bk.OpenAlarms(ledger.AlarmMismatch)) != 0 {
			t.Error("the alarm is open longer than ten minutes after the last one")
		}
	}
}

// Records that do not fit prove a second device only if they keep coming for ten
// minutes and no other record of the charging point is applied.
func TestRecordsThatKeepNotFittingAreAFork(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		every  charge.Time // minutes between records that do not fit
		grows  bool        // records of the charging point are applied as well
		copies bool        // all are copies of one message, which the bridge received once
		want   bool
	}{
		{"they keep coming", 1, false, false, true},
		{"one an hour", 60, false, false, false},
		{"other records are applied", 1, true, false, false},
		{"one message is written again and again", 1, false, true, false},
	} {
		b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
		bk.Apply(b.Boot())
		for i := range charge.Time(20) {
			b.Now = bk.Env.Now
			r, received := stray(b), bk.Env.Now
			if tc.copies {
				received = morning
			}
			_, changes := ledger.Apply(bk.CP, &bk.Env, ledger.Input{Raw: ledgertest.Raw(r), Record: r, ReceivedAt: received})
			bk.Save(changes)
			if i < 9 && bk.CP.Forked() {
				t.Errorf("%s: quarantined after %d minutes", tc.name, i)
			}
			if i%5 == 3 {
				bk.CP = bk.Load() // Central restarts
			}
			if tc.grows {
				bk.Apply(b.Write(1, "", &wire.StatusChanged{Status: charge.StatusPreparing}))
			}
			bk.Env.Now += tc.every * minute
		}
		if bk.CP.Forked() != tc.want {
			t.Errorf("%s: quarantined %v, want %v", tc.name, bk.CP.Forked(), tc.want)
		}
		bk.Save(ledger.Release(bk.CP))
		if bk.Apply(stray(b)); bk.CP.Forked() {
			t.Errorf("%s: quarantined again at once", tc.name)
		}
	}
}

// A pause ends a series of records that do not fit, whichever of them comes first
// after it: one that claims to be a known record does not bridge it.
func TestAPauseEndsASeriesThatDoesNotFit(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	bk.Apply(b.Boot())
	bk.Apply(b.Write(1, "", &wire.StatusChanged{Status: charge.StatusPreparing}))
	bk.Apply(stray(b))
	bk.Env.Now += 20 * minute
	known := b.Log[1]
	known.UptimeMS++
	known.Prev = strings.Repeat("ab", 32)
	for _, r := range []wire.Record{known, stray(b)} {
		if out, _ := bk.Apply(r); out.Verdict != ledger.Mismatched {
			t.Fatalf("record %d twenty minutes later: got %s, want it dropped", r.Seq, out.Verdict)
		}
	}
}

// A record that turns up late must fit what is known on both of its sides.
func TestALateRecordMustFit(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	b.Boot()
	for range 4 {
		b.Write(1, "", &wire.StatusChanged{Status: charge.StatusPreparing})
	}
	bk.Apply(b.Log[0])
	b.Storage = b.Storage[3:]
	bk.ApplyPresence(b.Presence(wire.Position{}, charge.Epoch{}))
	for _, r := range b.Log[3:] {
		bk.Apply(r)
	}
	for _, i := range []int{1, 2} {
		forged := b.Log[i]
		if forged.UptimeMS++; i == 1 {
			forged.Prev = strings.Repeat("ab", 32)
		}
		if out, _ := bk.Apply(forged); out.Verdict != ledger.Mismatched {
			t.Errorf("record %d with other bytes: got %s, want it dropped", forged.Seq, out.Verdict)
		}
		if out, _ := bk.Apply(b.Log[i]); out.Verdict != ledger.Applied || !out.Late {
			t.Errorf("record %d: got %s, want applied", b.Log[i].Seq, out.Verdict)
		}
	}
}

// Records of unknown types and with unusable data are applied and acknowledged,
// and change no account.
func TestUnknownAndUnusableRecords(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	bk.Apply(b.Boot())
	b.Write(1, "", &wire.PluggedIn{})
	r := b.Storage[1]
	r.Type, r.Data = "firmware_dreamt", []byte(`{"of":"sheep"}`)
	if out, _ := bk.Apply(r); out.Verdict != ledger.Applied || out.Payload != nil || out.Unusable != nil {
		t.Fatalf("unknown type: %+v", out)
	}
	r2 := r
	r2.Seq, r2.Prev, r2.Type, r2.Data, r2.SessionID = 3, wire.Hash(ledgertest.Raw(r)), wire.TypeChargingStopped, []byte(`{"register_wh":"NaN"}`), "s1"
	if out, _ := bk.Apply(r2); out.Verdict != ledger.Applied || out.Unusable == nil {
		t.Fatalf("unusable data: %+v", out)
	}
	if a := ledger.AckFor(bk.CP, &bk.Env, r.Journal); a.Seq != 3 || len(bk.Tickets) != 0 {
		t.Fatalf("acknowledgement %+v, tickets %v", a, bk.Tickets)
	}
	if a := ledger.AckFor(bk.CP, &bk.Env, "unknown"); a.Journal != nil || a.Seq != 0 {
		t.Fatalf("acknowledgement for an unknown journal: %+v, want null", a)
	}
}
