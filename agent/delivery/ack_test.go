package delivery_test

import (
	"testing"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestAckTable follows docs/PROTOCOL.md row by row. The position before is
// record 7 (A/7), given in epoch 2. An epoch of an earlier version is lower,
// whatever date it carries.
func TestAckTable(t *testing.T) {
	type want struct {
		acked    delivery.Index
		position delivery.Position
		saved    bool
		rolled   bool
		alarm    bool
	}
	held := delivery.Position{Central: epoch(2), Journal: "A", Seq: 7}
	same := want{acked: 7, position: held}
	at := func(central charge.Epoch, journal charge.JournalID, seq charge.Seq, index delivery.Index) want {
		return want{acked: index, position: delivery.Position{Central: central, Journal: journal, Seq: seq}, saved: true}
	}
	rolled := func(w want) want { w.rolled = true; return w }
	for _, tc := range []struct {
		name string
		ack  wire.Ack
		want want
	}{
		{"smaller, forth", ack(epoch(1), "B", 2), same},
		{"of an earlier version, of the year 2099", ack(charge.Epoch{Run: "03b3d6f8-0c00-7000-8000-000000000001"}, "B", 2), same},
		{"smaller, back", ack(epoch(1), "A", 5), same},
		{"smaller, beyond the present", ack(epoch(1), "C", 9), same},
		{"same, forth", ack(epoch(2), "A", 8), at(epoch(2), "A", 8, 8)},
		{"same, into the damage", ack(epoch(2), "A", 9), at(epoch(2), "A", 9, 8)},
		{"same, over journals", ack(epoch(2), "B", 1), at(epoch(2), "B", 1, 11)},
		{"same, to the end", ack(epoch(2), "C", 2), at(epoch(2), "C", 2, 15)},
		{"same, where it is", ack(epoch(2), "A", 7), same},
		{"same, back", ack(epoch(2), "A", 5), same},
		{"same, null", ack(epoch(2), "", 0), same},
		{"same, unknown journal", ack(epoch(2), "Z", 3), same},
		{"same, beyond an older journal", ack(epoch(2), "B", 7), rolled(at(epoch(2), "B", 3, 13))},
		{"same, beyond the present journal", ack(epoch(2), "C", 3), want{acked: 7, position: held, alarm: true}},
		{"greater, forth", ack(epoch(3), "C", 1), at(epoch(3), "C", 1, 14)},
		{"greater, where it is", ack(epoch(3), "A", 7), at(epoch(3), "A", 7, 7)},
		{"greater, back", ack(epoch(3), "A", 5), at(epoch(3), "A", 5, 5)},
		{"greater, before what is held", ack(epoch(3), "A", 2), at(epoch(3), "A", 2, 4)},
		{"greater, null", ack(epoch(3), "", 0), at(epoch(3), "", 0, 4)},
		{"greater, unknown journal", ack(epoch(3), "Z", 3), at(epoch(3), "", 0, 4)},
		{"greater, beyond an older journal", ack(epoch(3), "B", 7), rolled(at(epoch(3), "B", 3, 13))},
		{"greater, beyond the present journal", ack(epoch(3), "C", 3), want{acked: 7, position: held, alarm: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := delivery.Step(delivery.State{}, delivery.Booted{Held: disk(), Position: held})
			s, _ = delivery.Step(s, delivery.Connected{})
			s, effects := delivery.Step(s, delivery.AckReceived{Ack: tc.ack, Held: disk()})
			got := want{
				acked: s.Acked, position: s.Position,
				saved:  location[delivery.SavePosition](effects) != nil,
				rolled: location[delivery.RolledBack](effects) != nil,
				alarm:  s.Alarm(0) != "",
			}
			if got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if save := location[delivery.SavePosition](effects); save != nil && (save.Position != s.Position || save.Index != s.Acked) {
				t.Errorf("saved %+v, but the position is %+v at %d", *save, s.Position, s.Acked)
			}
		})
	}
}

func TestRollbackIsReportedOnce(t *testing.T) {
	s, _ := delivery.Step(delivery.State{}, delivery.Booted{Held: disk()})
	reports := 0
	for range 3 {
		var effects []delivery.Effect
		s, effects = delivery.Step(s, delivery.AckReceived{Ack: ack(epoch(1), "B", 9), Held: disk()})
		if r := location[delivery.RolledBack](effects); r != nil {
			reports++
			if r.Journal != "B" || r.Central != 9 || r.Held != 3 {
				t.Errorf("reported %+v, want journal B, 9 at Central, 3 held", *r)
			}
		}
	}
	if reports != 1 {
		t.Errorf("reported %d times, want once", reports)
	}
}

func TestAForeignWriterIsForgottenByALaterCentral(t *testing.T) {
	s, _ := delivery.Step(delivery.State{}, delivery.Booted{Held: disk()})
	s, _ = delivery.Step(s, delivery.AckReceived{Ack: ack(epoch(1), "C", 9), Held: disk()})
	if s.Alarm(0) == "" || s.Counts.AcksForeign != 1 {
		t.Fatal("no alarm for records that were never written")
	}
	s, _ = delivery.Step(s, delivery.AckReceived{Ack: ack(epoch(2), "C", 1), Held: disk()})
	if s.Alarm(0) != "" {
		t.Errorf("still an alarm: %s", s.Alarm(0))
	}
}
