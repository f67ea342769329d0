package delivery

// stepAck applies an acknowledgement by the table in docs/PROTOCOL.md.
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
			s.ForeignAck = true
			return s, nil
		}
	}
	if e.Live {
		s.Unanswered = Moment{}
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

// stepNewCentral sets the position to that of a Central with a higher epoch,
// backward or forward: what that Central does not hold must be sent again.
func stepNewCentral(s State, e AckReceived, f location) (State, []Effect) {
	if !f.held {
		f.index = e.Held.First() - 1
	}
	s.ForeignAck = false
	return s.setPosition(e, f)
}

// setPosition moves the position to the acknowledged record, and the window with
// it: forward it grows, backward it starts again at one record.
func (s State) setPosition(e AckReceived, f location) (State, []Effect) {
	was := s.Acked
	s.Position = Position{Central: e.Ack.Central}
	if f.held {
		s.Position.Journal, s.Position.Seq = *e.Ack.Journal, e.Ack.Seq
	}
	var out []Effect
	if f.held && f.pastEnd { // of an older journal: stepAck refused it for the present one
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
