package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// The cards of these tests.
const (
	annasCard = "04A1B2C3D4E5F6"
	bertas    = "0000BEEF"
	unknown   = "0BADCAFE"
)

// cardWorld runs f in a network of one charging point with a vehicle that is plugged
// in and a card that was issued to anna. With offline it is in the local list.
func cardWorld(t *testing.T, offline bool, f func(w *world, p *point, id string)) {
	t.Helper()
	t.Parallel()
	inWorld(t, plan{}, func(w *world) {
		p := w.points[0]
		p.noPeople = true
		w.start(allParts()...)
		w.await(healTimeout, "the charging point is online", func() bool { n, ok := w.network(); return ok && len(n.CPs) == 1 && n.CPs[0].Link == "online" })
		id := w.issue(annasCard, "anna", offline)
		p.plugIn()
		f(w, p, id)
	})
}

func (p *point) plugIn() {
	p.w.t.Helper()
	if err := p.board.PlugVehicle(1, sim.Vehicle{Capacity: 60_000, Charge: 100, MaxPower: 20_000}); err != nil {
		p.w.t.Fatal(err)
	}
	p.w.await(10*time.Second, "the vehicle is plugged in", func() bool { return p.shown().Status == charge.StatusPreparing })
}

// tap holds a card to the reader.
func (p *point) tap(uid string) { p.taps <- hal.Token{UID: uid} }

// issue issues a card and returns its id.
func (w *world) issue(uid, username string, offline bool) string {
	w.t.Helper()
	raw, _ := w.callAPI(http.MethodPost, "/cards", fmt.Appendf(nil, `{"uid":%q,"username":%q,"offline":%v}`, uid, username, offline))
	var made struct {
		ID string `json:"card_id"`
	}
	if err := json.Unmarshal(raw, &made); err != nil || made.ID == "" {
		w.t.Fatalf("issued: %s", raw)
	}
	return made.ID
}

// block blocks a card.
func (w *world) block(id string) {
	w.t.Helper()
	w.callAPI(http.MethodPost, "/cards/"+id, []byte(`{"blocked":true}`))
}

// idle waits for a time in which no session begins.
func (w *world) idle(p *point, what string) {
	w.t.Helper()
	time.Sleep(10 * time.Second)
	if s := p.shown().SessionID; s != "" {
		w.t.Fatalf("session %s began: %s", s, what)
	}
}

// chargeByCard taps with the card of anna, lets the vehicle charge, and taps again.
func (w *world) chargeByCard(p *point) {
	w.t.Helper()
	at := time.Now()
	p.tap(annasCard)
	w.await(5*time.Second, "the session begins", func() bool { return p.shown().SessionID != "" })
	w.t.Logf("from the tap to the session: %s", time.Since(at))
	w.awaitCharging(p)
	time.Sleep(time.Minute)
	p.tap(annasCard)
	w.await(10*time.Second, "the session ends", func() bool { return p.shown().SessionID == "" })
}

// ticketNow waits for the ticket number n.
func (w *world) ticketNow(n int) ticket {
	w.t.Helper()
	w.await(2*healTimeout, fmt.Sprintf("ticket %d", n), func() bool { return len(items[ticket](w, "/tickets")) == n })
	return items[ticket](w, "/tickets")[0]
}

// anna's ticket, with its energy as the meter counted it.
func (w *world) wantAnnas(p *point, got ticket) {
	w.t.Helper()
	if got.Username != "anna" || got.Reason != charge.StopLocal || got.Energy != p.used() || got.Energy == 0 {
		w.t.Errorf("ticket %+v, want one of anna over %d Wh that she stopped", got, p.used())
	}
}

// TestCardAnsweredByCentral: a card that is in no list is answered by Central within
// 2 s, begins and ends a session, and is billed to its driver.
func TestCardAnsweredByCentral(t *testing.T) {
	cardWorld(t, false, func(w *world, p *point, id string) {
		w.chargeByCard(p)
		w.wantAnnas(p, w.ticketNow(1))
		p.tap(unknown)
		w.idle(p, "an unknown card")
		w.block(id)
		p.tap(annasCard)
		w.idle(p, "a blocked card")
		w.settle()
		w.balanced(1)
		w.noUID(p)
	})
}

// TestCardOfTheLocalList: it charges without a connection, and is billed later; once
// it is blocked it does not charge, and a charging point that was away gets that with
// its connection.
func TestCardOfTheLocalList(t *testing.T) {
	cardWorld(t, true, func(w *world, p *point, id string) {
		w.wantList(p)
		w.links["agent-mqtt"].set(linkCut)
		time.Sleep(time.Minute)
		w.chargeByCard(p)
		w.block(id)
		w.links["agent-mqtt"].set(linkUp)
		w.wantAnnas(p, w.ticketNow(1))
		w.wantList(p)
		w.links["agent-mqtt"].set(linkCut)
		time.Sleep(time.Minute)
		p.tap(annasCard)
		w.idle(p, "a blocked card, offline")
		w.links["agent-mqtt"].set(linkUp)
		w.settle()
		w.balanced(1)
		w.noUID(p)
	})
}

// TestCardWithALimit: each session of the card ends at its limit, whether Central answers
// it or the charging point admits it from its list without a connection. The ticket is of
// little more, and names the reason.
func TestCardWithALimit(t *testing.T) {
	const limit = 150 // Wh: 27 s at 20 kW
	for name, offline := range map[string]bool{"answered by Central": false, "of the local list, offline": true} {
		t.Run(name, func(t *testing.T) {
			cardWorld(t, offline, func(w *world, p *point, id string) {
				w.callAPI(http.MethodPost, "/cards/"+id, fmt.Appendf(nil, `{"limit_wh":%d}`, limit))
				if offline {
					w.wantList(p)
					w.links["agent-mqtt"].set(linkCut)
					time.Sleep(time.Minute)
				}
				p.tap(annasCard)
				w.await(5*time.Second, "the session begins", func() bool { return p.shown().SessionID != "" })
				w.awaitCharging(p)
				w.await(2*time.Minute, "the session ends by itself", func() bool { return p.shown().SessionID == "" })
				if offline {
					w.links["agent-mqtt"].set(linkUp)
				}
				got := w.ticketNow(1)
				if got.Username != "anna" || got.Reason != charge.StopLimitReached || got.Energy < limit || got.Energy > limit+60 || got.Energy != p.used() {
					w.t.Errorf("ticket %+v of %d Wh, want one of anna that ended at %d Wh", got, p.used(), limit)
				}
				w.settle()
				w.balanced(1)
			})
		})
	}
}

// TestListSurvivesARestart: the agent restarts without a connection, and Central
// restarts with another card issued meanwhile.
func TestListSurvivesARestart(t *testing.T) {
	cardWorld(t, true, func(w *world, p *point, _ string) {
		w.wantList(p)
		w.links["agent-mqtt"].set(linkCut)
		p.kill()
		p.start()
		w.issue(bertas, "berta", true)
		w.stop("central")
		w.start("central")
		w.await(10*time.Second, "the agent runs", func() bool { return p.shown().Status != "" })
		w.chargeByCard(p)
		w.links["agent-mqtt"].set(linkUp)
		w.wantAnnas(p, w.ticketNow(1))
		w.wantList(p)
	})
}

// TestCentralDoesNotAnswer: an unknown card is refused after the wait, one that
// Central admitted before is admitted by the cache, each by one decision.
func TestCentralDoesNotAnswer(t *testing.T) {
	cardWorld(t, false, func(w *world, p *point, _ string) {
		w.chargeByCard(p)
		w.stop("central")
		p.tap(unknown)
		w.idle(p, "an unknown card without an answer")
		w.chargeByCard(p)
		w.start("central")
		w.ticketNow(2)
		w.idle(p, "a late answer")
		w.settle()
		w.balanced(2)
	})
}

// wantList waits until the charging point has Central's list.
func (w *world) wantList(p *point) {
	w.t.Helper()
	const query = "SELECT count(*) FROM local_lists WHERE cp_id=? AND kept=1 AND version=(SELECT max(version) FROM cards)"
	w.await(healTimeout, "the local list is the present one", func() bool { return w.count(query, string(p.id)) == 1 })
}

// noUID fails if a UID was written: only hashes are.
func (w *world) noUID(p *point) {
	w.t.Helper()
	all := w.journals()[p.id]
	if len(all) == 0 {
		w.t.Fatal("no records")
	}
	for i := range all {
		for _, uid := range []string{annasCard, unknown} {
			if strings.Contains(string(all[i].Data), uid) {
				w.t.Errorf("record %d has a UID: %s", all[i].Seq, all[i].Data)
			}
		}
	}
}
