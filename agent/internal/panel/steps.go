package panel

import (
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Step is one line of the installer's checklist.
type Step string

// The steps, in the order in which they are usually done. The first two are of the
// whole charging point, the others of each connector.
const (
	StepMessage   Step = "message"   // Central acknowledged a message
	StepAdmitted  Step = "admitted"  // Central sent what it sends to admitted charging points alone
	StepPlug      Step = "plug"      // a plug was detected
	StepContactor Step = "contactor" // the contactor was measured closed
	StepMeter     Step = "meter"     // the register grew in a session
	StepTicket    Step = "ticket"    // Central acknowledged the end of a session, so it has the ticket
)

// Progress remembers which steps this boot has observed. It reads the core's views
// and decides nothing. Its methods may be called concurrently.
type Progress struct {
	mu sync.Mutex
	// mu guards everything that follows.
	acks     uint64        // acknowledgements counted so far
	ackedAt  time.Duration // of the last one, since the boot
	admitted bool
	outlets  []outlet
}

// outlet is the progress of one connector.
type outlet struct {
	plug, contactor, meter, ticket bool

	session charge.SessionID // that is open on the disk
	// stop is the last record when a session ended on the disk: once it is
	// acknowledged, the end is; 0: none has ended.
	stop delivery.Index
}

// Observe notes what a view of the core shows at the time at.
func (p *Progress) Observe(v *point.View, at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &v.Delivery.Counts
	if acks := c.AcksForward + c.AcksBack + c.AcksSame; acks != p.acks {
		p.acks, p.ackedAt = acks, at
	}
	if len(p.outlets) != len(v.Connectors) {
		p.outlets = make([]outlet, len(v.Connectors))
	}
	for i := range v.Connectors {
		s, o := &v.Connectors[i], &p.outlets[i]
		o.plug = o.plug || s.Plugged
		o.contactor = o.contactor || s.Closed
		o.meter = o.meter || s.Session.ID != "" && s.Meter.Known && s.Meter.Last.Import > s.Session.StartRegister
		if i >= len(v.Saved) {
			continue
		}
		if id := v.Saved[i].Session.ID; id != o.session {
			if o.session != "" {
				o.stop = v.Delivery.End
			}
			o.session = id
		}
		o.ticket = o.ticket || o.stop > 0 && v.Delivery.Acked >= o.stop
	}
}

// Command notes a command of Central that this boot executes. Some are for admitted
// charging points alone.
func (p *Progress) Command(c wire.CommandType) {
	if c == wire.CommandReserve || c == wire.CommandStart || c == wire.CommandSetLocalList {
		p.mu.Lock()
		p.admitted = true
		p.mu.Unlock()
	}
}

// Fill adds to a state what was observed until the time at.
func (p *Progress) Fill(s *State, at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Journal.AckedMS = -1; p.acks > 0 {
		s.Journal.AckedMS = (at - p.ackedAt).Milliseconds()
	}
	s.Steps = map[Step]bool{StepMessage: p.acks > 0, StepAdmitted: p.admitted}
	for i := range min(len(s.Connectors), len(p.outlets)) {
		o := &p.outlets[i]
		s.Connectors[i].Steps = map[Step]bool{StepPlug: o.plug, StepContactor: o.contactor, StepMeter: o.meter, StepTicket: o.ticket}
	}
}
