package bench

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

// tariff is the tariff version in the records.
const tariff charge.TariffVersion = "standard-1"

// journalWriter writes the journal of a charging point as an agent does,
// without hardware and disk: records in sequence, each with the hash of the one
// before.
type journalWriter struct {
	cp       charge.CPID
	journal  charge.JournalID
	seq      charge.Seq       // of the last record
	prev     string           // hash of the last record
	register charge.WattHours // of the meter; it never goes back
	sessions int              // written so far, for their ids
	records  [][]byte         // encoded, in order
	err      error            // the first error; later records are missing then
}

// newJournalWriter begins a journal with its registration.
func newJournalWriter(cp charge.CPID) *journalWriter {
	s := &journalWriter{cp: cp, journal: charge.JournalID(ids.New(time.Now(), rand.Reader)), register: 1000}
	at := s.register
	s.write(0, "", &wire.Registered{Agent: "bench", Simulated: true, Connectors: []wire.ConnectorState{
		{Connector: 1, Status: charge.StatusAvailable, Register: &at, Available: true, Rated: 22_000},
	}})
	return s
}

// write appends a record.
func (s *journalWriter) write(k charge.ConnectorID, id charge.SessionID, p wire.Payload) {
	r, err := wire.NewRecord(p)
	if err == nil {
		s.seq++
		r.CPID, r.Journal, r.Seq, r.Prev, r.Connector, r.SessionID = s.cp, s.journal, s.seq, s.prev, k, id
		r.At, r.Clock, r.UptimeMS = charge.At(time.Now()), charge.ClockSynced, int64(s.seq)*1000
		var raw []byte
		if raw, err = r.Encode(); err == nil {
			s.prev = wire.Hash(raw)
			s.records = append(s.records, raw)
		}
	}
	if err != nil && s.err == nil {
		s.err = err
	}
}

// session appends the 8 records of a session, from plug to unplug.
func (s *journalWriter) session() {
	s.sessions++
	id := charge.SessionID(fmt.Sprintf("%s-%d", s.cp, s.sessions))
	start := s.register
	s.write(1, "", &wire.PluggedIn{})
	s.write(1, id, &wire.Authorized{By: wire.GrantFreeVend, Username: "ann", Register: start, Tariff: tariff})
	s.write(1, id, &wire.ChargingStarted{Register: start, Username: "ann"})
	for range 3 {
		s.register += 700
		s.write(1, id, &wire.MeterRead{Register: s.register, Power: 11_000})
	}
	s.write(1, id, &wire.ChargingStopped{Reason: charge.StopLocal, Start: start, Register: s.register, Username: "ann", Tariff: tariff})
	s.write(1, "", &wire.Unplugged{})
}

// cpID returns the id of charging point number n, from 1.
func cpID(n int) charge.CPID { return charge.CPID(fmt.Sprintf("BP_%04d", n)) }

// journals returns the journals of a number of charging points, each with a
// number of sessions.
func journals(points, sessions int) ([]*journalWriter, error) {
	all := make([]*journalWriter, 0, points)
	for n := range points {
		s := newJournalWriter(cpID(n + 1))
		for range sessions {
			s.session()
		}
		if s.err != nil {
			return nil, fmt.Errorf("journal of %s: %w", s.cp, s.err)
		}
		all = append(all, s)
	}
	return all, nil
}
