package delivery

// stepHeard is the table of acknowledgements in docs/PROTOCOL.md.
func stepHeard(s State, e Heard) (State, []Effect) {
	if e.Ack.Central.Less(s.Position.Central) {
		s.Counts.AcksOld++
		return s, nil
	}
	s.End = max(s.End, e.Held.Last())
	var f find
	if e.Ack.Journal != nil {
		f = e.Held.find(*e.Ack.Journal, e.Ack.Seq)
		if f.known && f.beyond && *e.Ack.Journal == e.Held.Present {
			s.Counts.AcksForeign++
			s.foreign = true
			return s, nil
		}
	}
	if e.Live {
		s.unanswered = 0
	}
	if s.Position.Central.Less(e.Ack.Central) {
		return stepNewCentral(s, e, f)
	}
	if !f.known || f.index <= s.Acked {
		s.Counts.AcksSame++
		if f.known && f.beyond {
			return s.rollback(nil, e.Held, f, e.Ack.Seq)
		}
		return s, nil
	}
	return s.moveTo(e, f)
}

// stepNewCentral takes the position a later life of Central names, back or
// forth: what it does not hold any more must be said again.
func stepNewCentral(s State, e Heard, f find) (State, []Effect) {
	if !f.known {
		f.index = e.Held.First() - 1
	}
	s.foreign = false
	return s.moveTo(e, f)
}

func (s State) moveTo(e Heard, f find) (State, []Effect) {
	was := s.Acked
	s.Position = Position{Central: e.Ack.Central}
	if f.known {
		s.Position.Journal, s.Position.Seq = *e.Ack.Journal, e.Ack.Seq
	}
	var out []Effect
	if f.known && f.beyond { // of an older journal: the present one was ruled out
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
	if f.known && f.beyond {
		return s.rollback(out, e.Held, f, e.Ack.Seq)
	}
	return s, out
}
