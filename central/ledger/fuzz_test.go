package ledger_test

import (
	"fmt"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// dishonest reads bytes as a sequence of records that no correct agent writes.
type dishonest struct {
	bytes []byte
	past  []wire.Record
}

func (d *dishonest) next(n int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	v := int(d.bytes[0]) % n
	d.bytes = d.bytes[1:]
	return v
}

func (d *dishonest) payload() wire.Payload {
	reg := charge.WattHours(d.next(200))
	switch d.next(14) {
	case 0:
		p := &wire.Registered{Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable, Register: &reg, Available: true}}}
		if d.next(2) == 1 {
			p.Connectors[0].SessionID = d.session()
		}
		if d.next(3) > 0 {
			p.After = &wire.Position{Journal: d.journal(), Seq: charge.Seq(1 + d.next(4))}
		}
		if d.next(3) == 0 {
			p.Damaged = []wire.Damaged{{Journal: d.journal(), First: charge.Seq(1 + d.next(3)), Last: charge.Seq(d.next(5))}}
			if r := &p.Damaged[0]; r.Last != 0 {
				r.Last = max(r.Last, r.First)
			}
		}
		return p
	case 1, 2:
		return &wire.Authorized{By: wire.GrantOrder, Register: reg}
	case 3:
		return &wire.ChargingStarted{Register: reg}
	case 4, 5:
		return &wire.ChargingStopped{Reason: charge.StopRemote, Start: reg, Register: reg + charge.WattHours(d.next(50))}
	case 6:
		return &wire.MeterRead{Register: reg}
	case 7:
		return &wire.Suspended{By: "ev", Register: reg}
	case 8:
		return &wire.Unplugged{}
	case 9:
		return &wire.FaultRaised{Fault: charge.FaultMeter}
	case 10:
		return &wire.FaultCleared{Fault: charge.FaultMeter}
	case 11:
		return &wire.ReservationEnded{ReservationID: "r1", Reason: charge.ReservationExpired}
	case 12:
		return &wire.StatusChanged{Status: charge.Statuses()[d.next(9)]}
	}
	return &wire.PluggedIn{}
}

func (d *dishonest) journal() charge.JournalID {
	return charge.JournalID(fmt.Sprintf("j%d", d.next(3)))
}

func (d *dishonest) session() charge.SessionID {
	return charge.SessionID(fmt.Sprintf("s%d", d.next(3)))
}

func (d *dishonest) record() wire.Record {
	if n := len(d.past); n > 0 && d.next(4) == 0 {
		return d.past[d.next(n)]
	}
	p := d.payload()
	r, err := wire.NewRecord(p)
	if err != nil {
		panic(err)
	}
	r.CPID, r.Journal, r.Seq = "CP_001", d.journal(), charge.Seq(1+d.next(6))
	r.Connector, r.At, r.UptimeMS = charge.ConnectorID(d.next(3)), morning, int64(d.next(250))
	if d.next(3) > 0 {
		r.SessionID = d.session()
	}
	if n := len(d.past); n > 0 && d.next(4) > 0 {
		r.Prev = wire.Hash(ledgertest.Raw(d.past[d.next(n)]))
	}
	if d.next(8) == 0 {
		r.Data = []byte(`{"register_wh":"much"}`)
	}
	d.past = append(d.past, r)
	return r
}

// FuzzFold checks for any content of records: no panic, no second ticket, no
// change of an ended session, positions never go back, and the rows hold all of
// the state.
func FuzzFold(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte("the quick brown fox jumps over the lazy dog and runs away from it for as long as it can"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			t.Skip("long inputs find nothing more")
		}
		d := &dishonest{bytes: b}
		bk := ledgertest.NewBook("CP_001", morning)
		for len(d.bytes) > 0 {
			bk.Env.Now += charge.Time(d.next(250)) * 10_000
			switch d.next(8) {
			case 0:
				at := wire.Position{Journal: d.journal(), Seq: charge.Seq(1 + d.next(6))}
				bk.ApplyPresence(wire.Presence{Online: d.next(4) > 0, Journal: d.journal(), Conn: uint64(d.next(5)), First: &at, Next: &at, Central: epoch(1)})
			case 1:
				bk.CP = bk.Load()
			case 2:
				changes, _ := ledger.PassNext(bk.CP, &bk.Env)
				bk.Save(changes)
				bk.Save(ledger.Release(bk.CP))
			case 3:
				changes, _ := ledger.Settle(bk.CP, &bk.Env, d.session(), true)
				bk.Save(changes)
			default:
				r := d.record()
				before := ledger.AckFor(bk.CP, &bk.Env, r.Journal).Seq
				bk.Apply(r)
				if after := ledger.AckFor(bk.CP, &bk.Env, r.Journal).Seq; after < before {
					t.Fatalf("position of %s went from %d back to %d", r.Journal, before, after)
				}
			}
		}
		for _, fault := range bk.Violations {
			t.Fatal(fault)
		}
		for id, m := range bk.CP.Meters {
			if m.Last < m.First || m.Carried < 0 {
				t.Fatalf("meter %d: %+v", id, *m)
			}
		}
	})
}
