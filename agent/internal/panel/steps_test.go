package panel_test

import (
	"maps"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/internal/panel"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/wire"
)

// TestStepsTickOnceAndStay follows an installation: each change of the core's view
// ticks one step, and none is taken back.
func TestStepsTickOnceAndStay(t *testing.T) {
	var p panel.Progress
	v := point.View{Connectors: make([]connector.State, 2), Saved: make([]connector.Saved, 2)}
	c := &v.Connectors[1]
	want := map[panel.Step]bool{}
	now := time.Duration(0)
	expect := func(what string) panel.State {
		t.Helper()
		now += time.Second
		p.Observe(&v, now)
		s := panel.State{Connectors: make([]panel.Connector, 2)}
		p.Fill(&s, now)
		got := map[panel.Step]bool{}
		for _, steps := range []map[panel.Step]bool{s.Steps, s.Connectors[1].Steps} {
			for k, done := range steps {
				if done {
					got[k] = true
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
		for k, done := range s.Connectors[0].Steps {
			if done {
				t.Fatalf("%s: %s is ticked at the other connector", what, k)
			}
		}
		return s
	}
	if s := expect("nothing yet"); s.Journal.AckedMS != -1 {
		t.Errorf("never acknowledged: got %d ms", s.Journal.AckedMS)
	}
	v.Delivery.Counts.AcksForward = 1
	want[panel.StepMessage] = true
	expect("an acknowledgement")
	if s := expect("a second later"); s.Journal.AckedMS != 1000 {
		t.Errorf("age of the acknowledgement: got %d ms, want 1000", s.Journal.AckedMS)
	}
	v.Delivery.Counts.AcksSame = 1
	if s := expect("a repeated acknowledgement"); s.Journal.AckedMS != 0 {
		t.Errorf("age of the acknowledgement: got %d ms, want 0", s.Journal.AckedMS)
	}
	for _, c := range []wire.CommandType{wire.CommandSimulate, wire.CommandSetAvailability, wire.CommandAuthorize, wire.CommandCancel} {
		p.Command(c)
	}
	expect("commands that a charging point gets without admission")
	p.Command(wire.CommandReserve)
	want[panel.StepAdmitted] = true
	expect("a reservation")
	c.Plugged = true
	want[panel.StepPlug] = true
	expect("a plug")
	c.Session.ID, c.Session.StartRegister = "s1", 500
	c.Meter.Last.Import = 900 // of the time before the first reading
	expect("a session without a reading")
	c.Meter.Known, c.Meter.Last.Import = true, 500
	v.Saved[1].Session.ID, v.Delivery.End, v.Delivery.Acked = "s1", 5, 5
	expect("a session on the disk")
	c.Closed = true
	want[panel.StepContactor] = true
	expect("the contactor")
	c.Meter.Last.Import = 501
	want[panel.StepMeter] = true
	expect("the first watt hour")
	c.Closed, c.Session = false, connector.Session{}
	expect("an end that is not on the disk")
	v.Saved[1].Session.ID, v.Delivery.End, v.Delivery.Acked = "", 9, 8
	expect("an end on the disk, not acknowledged")
	v.Delivery.Acked = 9
	want[panel.StepTicket] = true
	expect("the end is acknowledged")
	c.Plugged, v.Delivery.Acked, v.Delivery.End = false, 0, 20
	expect("unplugged, and Central was restored from a backup")
}
