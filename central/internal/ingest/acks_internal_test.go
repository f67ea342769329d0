package ingest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// sentAck is an acknowledgement that was sent.
type sentAck struct {
	at time.Duration
	pendingAck
}

// Whenever acknowledgements are queued, also those of a Central that became active,
// the last one of a charging point leaves within a second, and none gets more than
// ten in any second.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1_700_000_000, 0)
		p := newPacer()
		var sent []sentAck
		wanted := map[charge.CPID]time.Duration{} // since when the pending one waits
		latest := map[charge.CPID]charge.JournalID{}
		send := func(now time.Duration) {
			p.send(start.Add(now), func(a pendingAck) {
				if a.journal != latest[a.cp] {
					t.Fatalf("%v: %s is answered for %s, its latest is %s", now, a.cp, a.journal, latest[a.cp])
				}
				sent = append(sent, sentAck{now, a})
				delete(wanted, a.cp)
			})
			for cp, since := range wanted {
				if now-since >= time.Second {
					t.Fatalf("%v: %s waits since %v", now, cp, since)
				}
			}
		}
		now := time.Duration(0)
		for range rapid.IntRange(1, 80).Draw(t, "acks") {
			for pause := time.Duration(rapid.SampledFrom([]int64{0, 0, 1, 30, 70, 200, 1100}).Draw(t, "pause_ms") * int64(time.Millisecond)); ; {
				next := p.next()
				if next.IsZero() || next.Sub(start) > now+pause {
					now += pause
					break
				}
				pause -= next.Sub(start) - now
				now = next.Sub(start)
				send(now)
			}
			if rapid.IntRange(0, 9).Draw(t, "active") == 0 {
				all := []pendingAck{{"a", "j"}, {"b", "j"}}
				for _, a := range all {
					latest[a.cp] = a.journal
					if was, waits := p.pending[a.cp]; waits {
						latest[a.cp] = was.journal
					}
				}
				p.queueAll(all, start.Add(now))
				send(now)
			}
			a := pendingAck{cp: rapid.SampledFrom([]charge.CPID{"a", "b"}).Draw(t, "cp"), journal: rapid.SampledFrom([]charge.JournalID{"j", "k"}).Draw(t, "journal")}
			if _, waits := wanted[a.cp]; !waits {
				wanted[a.cp] = now
			}
			latest[a.cp] = a.journal
			p.queue(a, start.Add(now))
			send(now)
		}
		for i, s := range sent {
			n := 0
			for _, other := range sent[i:] {
				if other.cp == s.cp && other.at-s.at < time.Second {
					n++
				}
			}
			if n > 10 {
				t.Fatalf("%s has %d acknowledgements in the second from %v", s.cp, n, s.at)
			}
		}
	})
}

// The first records of a vehicle that is plugged in are acknowledged without
// delay.
func TestTheFirstLeaveAtOnce(t *testing.T) {
	p := newPacer()
	now := time.Unix(1_700_000_000, 0)
	sent := 0
	for range ledger.AcksPerSecond + 1 {
		p.queue(pendingAck{cp: "a", journal: "j"}, now)
		p.send(now, func(pendingAck) { sent++ })
	}
	if sent != ledger.AcksPerSecond {
		t.Errorf("%d left at once, want %d", sent, ledger.AcksPerSecond)
	}
	now = now.Add(time.Second)
	if p.send(now, func(pendingAck) { sent++ }); sent != ledger.AcksPerSecond+1 {
		t.Errorf("%d left after a second, want %d", sent, ledger.AcksPerSecond+1)
	}
	p.send(now.Add(time.Minute), func(pendingAck) { t.Error("nothing was queued") })
	if len(p.paces) != 0 {
		t.Errorf("%d charging points are remembered for nothing", len(p.paces))
	}
}
