package ledger_test

import (
	"fmt"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// day is a long day of one charging point: sessions with samples.
func day(records int) []ledger.Input {
	b := ledgertest.NewChargingPoint("CP_001", 1, morning)
	b.Boot()
	for n := 0; len(b.Log) < records; n++ {
		b.Plug(1)
		b.Grant(1, charge.SessionID(fmt.Sprintf("s%d", n)), "driver1", "")
		b.Begin(1)
		for range 20 {
			b.Now += 30_000
			b.Flow(1, 100)
			b.Sample(1)
		}
		b.Unplug(1)
	}
	in := make([]ledger.Input, len(b.Log))
	for i, r := range b.Log {
		in[i] = ledger.Input{Raw: ledgertest.Raw(r), Record: r}
	}
	return in
}

// The fold itself, with its hash and the decoding of the data.
func BenchmarkApply(b *testing.B) {
	in := day(5000)
	bk := ledgertest.NewBook("CP_001", morning)
	bk.Env.Session, bk.Env.HashOf = nil, nil
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(in) {
			i, bk.CP = 0, ledger.NewCP("CP_001")
		}
		if out, _ := ledger.Apply(bk.CP, &bk.Env, in[i]); out.Verdict != ledger.Applied {
			b.Fatalf("record %d: %s", i, out.Verdict)
		}
		i++
	}
}

// What of it is decoding and hashing.
func BenchmarkDecodeAlone(b *testing.B) {
	in := day(5000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := in[i%len(in)].Record.Payload(); err != nil {
			b.Fatal(err)
		}
		_ = wire.Hash(in[i%len(in)].Raw)
		i++
	}
}

// A record that is known already.
func BenchmarkDuplicate(b *testing.B) {
	in := day(200)
	bk := ledgertest.NewBook("CP_001", morning)
	for _, r := range in {
		ledger.Apply(bk.CP, &bk.Env, r)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		ledger.Apply(bk.CP, &bk.Env, in[i%len(in)])
		i++
	}
}
