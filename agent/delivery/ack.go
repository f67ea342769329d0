package delivery

// stepAck is the table of acknowledgements in docs/PROTOCOL.md.
func stepAck(s State, e AckReceived) (State, []Effect) {
	if e.Ack.Central.Less(s.Position.Central) {
		s.Counts.AcksOld++
		return s, nil
	}
	s.End = max(s.End, e.Held.Last())
	var f location
	if e.Ack.Journal != nil {
		f = e.Held.locate(*e.Ack.Journal, e.Ack.Seq)
		if f.held && f.pastEnd && *e.Ack.Journal == e.Held.Present {
			s.Counts.AcksForeign++
			s.foreignAck = true
			return s, nil
		}
	}
	if e.Live {
		s.unanswered = 0
	}
	if s.Position.Central.Less(e.Ack.Central) {
		return stepNewCentral(s, e, f)
	}
	if !f.held || f.index <= s.Acked {
		s.Counts.AcksSame++
		if f.held && f.pastEnd {
			return s.reportRollback(nil, e.Held, f, e.Ack.Seq)
		}
		return s, nil
	}
	return s.setPosition(e, f)
}

// stepNewCentral takes the position a later life of Central names, back or
// forth: what it does not hold any more must be said again.
func stepNewCentral(s State, e AckReceived, f location) (State, []Effect) {
	if !f.held {
		f.index = e.Held.First() - 1
	}
	s.foreignAck = false
	return s.setPosition(e, f)
}

func (s State) setPosition(e AckReceived, f location) (State, []Effect) {
	was := s.Acked
	s.Position = Position{Central: e.Ack.Central}
	if f.held {
		s.Position.Journal, s.Position.Seq = *e.Ack.Journal, e.Ack.Seq
	}
	var out []Effect
	if f.held && f.pastEnd { // of an older journal: the present one was ruled out
		if p := e.Held.Position(f.index); p != nil {
			s.Position.Seq = p.Seq
		}
	}
	s.Acked = f.index
	out = append(out, SavePosition{Position: s.Position, Index: s.Acked})
	switch {
	case s.Acked > was:
		s.Counts.AcksForward++
		s.Next = max(s.Next, s.Acked+1)
		s = s.progress(s.Acked - was)
	case s.Acked < was:
		s.Counts.AcksBack++
		s.Next, s.Window, s.Wait, s.Deadline = s.Acked+1, 1, ProbeAfter, 0
	default:
		s.Counts.AcksSame++
	}
	if f.held && f.pastEnd {
		return s.reportRollback(out, e.Held, f, e.Ack.Seq)
	}
	return s, out
}
