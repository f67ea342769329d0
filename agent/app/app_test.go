package app_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/wire"
)

// play runs a charging point in a bubble.
func play(t *testing.T, change func(*app.Config, *sim.Config), f func(p *point)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPoint(t, change)
		p.play(func() { f(p) })
	})
}

// accounted checks that every Wh of the register is on a session.
func accounted(t *testing.T, p *point, sessions int) {
	t.Helper()
	var billed charge.WattHours
	stopped := payloads[*wire.ChargingStopped](t, p.disk)
	for _, s := range stopped {
		billed += s.Register - s.Start
	}
	if got := p.outlet().Register - 100_000; len(stopped) != sessions || billed != got {
		t.Errorf("%d sessions with %d Wh, want %d with %d Wh; %s", len(stopped), billed, sessions, got, story(t, p.disk))
	}
	open := map[charge.SessionID]bool{}
	for _, r := range p.disk.records(t) {
		switch r.Type {
		case wire.TypeAuthorized:
			if len(open) > 0 {
				t.Errorf("session %s begins while another is open", r.SessionID)
			}
			open[r.SessionID] = true
		case wire.TypeChargingStopped:
			if !open[r.SessionID] {
				t.Errorf("session %s ends and was not open", r.SessionID)
			}
			delete(open, r.SessionID)
		}
	}
	if len(open) > 0 {
		t.Errorf("still open: %v", open)
	}
}

func reserve(id charge.ReservationID, d time.Duration) *wire.Reserve {
	return &wire.Reserve{ReservationID: id, Username: "driver1", Until: charge.At(time.Now().Add(d)), Tariff: "t1"}
}

func want(t *testing.T, r wire.CommandFinished, result wire.CommandResult, reason string) {
	t.Helper()
	if r.Result != result || r.Reason != reason {
		t.Fatalf("%s: got %s %q, want %s %q", r.Command, r.Result, r.Reason, result, reason)
	}
}

func TestFromReservationToStop(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		want(t, p.order(1, reserve("r1", time.Minute)), wire.ResultDone, "")
		want(t, p.order(1, &wire.Start{SessionID: "x", Username: "driver2"}), wire.ResultRejected, "reserved")
		p.do(p.board.Plug(1))
		time.Sleep(2 * time.Second)
		if p.outlet().Closed || p.reports() != charge.StatusReserved {
			t.Fatalf("a plug alone: closed %t, %s", p.outlet().Closed, p.reports())
		}
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1", ReservationID: "r1"}), wire.ResultDone, "")
		p.status(time.Second, charge.StatusCharging)
		time.Sleep(20 * time.Second)
		c := p.agent.Status().Connectors[0]
		if c.Power != 60_000 || c.SessionID != "s1" || c.Register <= c.Start {
			t.Errorf("telemetry: %+v", c)
		}
		want(t, p.order(1, &wire.Stop{SessionID: "s1"}), wire.ResultDone, "")
		if p.outlet().Closed || p.reports() != charge.StatusFinishing {
			t.Errorf("after the stop: closed %t, %s", p.outlet().Closed, p.reports())
		}
		p.do(p.board.Unplug(1))
		p.status(time.Second, charge.StatusAvailable)
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultRejected, "ended")
		want(t, p.order(1, &wire.Start{SessionID: "s2", Username: "driver1"}), wire.ResultFailed, "not_plugged")
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s3", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		p.do(p.board.Unplug(1))
		p.status(2*time.Second, charge.StatusAvailable)
		want(t, p.order(1, &wire.Start{SessionID: "s3", Username: "driver1"}), wire.ResultRejected, "ended")
		accounted(t, p, 2)
		if got := p.agent.Status(); got.Recorded != int64(len(p.disk.records(t))) {
			t.Errorf("recorded %d, on disk %d", got.Recorded, len(p.disk.records(t)))
		}
		if err := p.stop(nil); err != nil {
			t.Error(err)
		}
	})
}

// TestKilledInMidSession: there is one session, and no Wh is lost, including those
// between the last record and the opening.
func TestKilledInMidSession(t *testing.T) {
	for i, away := range []time.Duration{0, 0, time.Minute, time.Minute} {
		resume := i%2 == 1
		change := func(c *app.Config, hw *sim.Config) {
			c.Policies.Resume = resume
			hw.Contactor = sim.Span{Least: 200 * time.Millisecond, Most: 240 * time.Millisecond}
		}
		play(t, change, func(p *point) {
			t := p.t
			p.start()
			p.ready()
			p.do(p.board.Plug(1))
			want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
			p.status(2*time.Second, charge.StatusCharging)
			time.Sleep(17 * time.Second)
			p.kill()
			time.Sleep(away)
			if away > time.Second && p.outlet().Closed {
				t.Fatal("closed when the agent was gone for a second")
			}
			if away == 0 { // the new process finds the contactor closed still
				p.closeByHand()
			}
			p.start()
			p.ready()
			if resume {
				p.status(2*time.Second, charge.StatusCharging)
				time.Sleep(10 * time.Second)
				want(t, p.order(1, &wire.Stop{SessionID: "s1"}), wire.ResultDone, "")
			}
			time.Sleep(time.Second) // whatever flows still must be on the session
			accounted(t, p, 1)
			reg := payloads[*wire.Registered](t, p.disk)
			if len(reg) != 2 || reg[1].After == nil || reg[1].Connectors[0].SessionID != "s1" {
				t.Errorf("the second boot registered as %+v", reg[len(reg)-1])
			}
			reason, resumed := charge.StopPowerLoss, 0
			if resume {
				reason, resumed = charge.StopRemote, 1
			}
			if s := payloads[*wire.ChargingStopped](t, p.disk); s[0].Reason != reason || len(payloads[*wire.Resumed](t, p.disk)) != resumed {
				t.Errorf("resume %t: %s", resume, story(t, p.disk))
			}
		})
	}
}

// TestCleanStopInMidSession: the session ends as reboot, or waits for the next
// start, by policy.
func TestCleanStopInMidSession(t *testing.T) {
	for _, resume := range []bool{false, true} {
		play(t, func(c *app.Config, _ *sim.Config) { c.Policies.Resume = resume }, func(p *point) {
			t := p.t
			p.start()
			p.ready()
			p.do(p.board.Plug(1))
			want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
			p.status(2*time.Second, charge.StatusCharging)
			time.Sleep(5 * time.Second)
			began := time.Now()
			if err := p.stop(nil); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d > 2*time.Second || p.outlet().Closed || p.agent.Status().Unacked != 0 {
				t.Errorf("stopped in %s, closed %t, %d not acknowledged", d, p.outlet().Closed, p.agent.Status().Unacked)
			}
			p.start()
			p.ready()
			if resume {
				p.status(2*time.Second, charge.StatusCharging)
				p.do(p.board.Unplug(1))
				p.status(2*time.Second, charge.StatusAvailable)
			}
			accounted(t, p, 1)
			reason := charge.StopReboot
			if resume {
				reason = charge.StopUnplugged
			}
			if s := payloads[*wire.ChargingStopped](t, p.disk); s[0].Reason != reason {
				t.Errorf("resume %t: stopped as %s", resume, s[0].Reason)
			}
		})
	}
}

// TestReservationEndsAlone: it ends without a network and across restarts.
func TestReservationEndsAlone(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		want(t, p.order(1, reserve("r1", time.Minute)), wire.ResultDone, "")
		p.broker.Stop()
		time.Sleep(20 * time.Second)
		p.kill()
		time.Sleep(10 * time.Second)
		p.start()
		p.status(5*time.Second, charge.StatusReserved)
		if reg := payloads[*wire.Registered](t, p.disk); len(reg[1].Reservations) != 1 || reg[1].Reservations[0].ReservationID != "r1" {
			t.Errorf("registered with %+v", reg[1].Reservations)
		}
		p.status(31*time.Second, charge.StatusAvailable)
		ended := payloads[*wire.ReservationEnded](t, p.disk)
		if len(ended) != 1 || ended[0].Reason != charge.ReservationExpired {
			t.Errorf("got %s", story(t, p.disk))
		}
		p.kill()
		p.start()
		p.status(5*time.Second, charge.StatusAvailable)
	})
}

// TestStopOfTheWholePointIsRemembered: it holds across restarts, until it is
// lifted.
func TestStopOfTheWholePointIsRemembered(t *testing.T) {
	two := func(_ *app.Config, hw *sim.Config) { hw.Connectors = 2 }
	play(t, two, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		want(t, p.order(0, &wire.SetAvailability{Available: false}), wire.ResultDone, "")
		time.Sleep(3 * time.Second)
		for range 2 {
			for _, c := range p.agent.Status().Connectors {
				if c.Status != charge.StatusUnavailable {
					t.Errorf("connector %d is %s", c.Connector, c.Status)
				}
			}
			want(t, p.order(2, &wire.Start{SessionID: "s2", Username: "driver1"}), wire.ResultRejected, "unavailable")
			p.kill()
			p.start()
			p.ready()
		}
		want(t, p.order(0, &wire.SetAvailability{Available: true}), wire.ResultDone, "")
		p.status(time.Second, charge.StatusFinishing)
		accounted(t, p, 1)
	})
}

// TestWithoutNetworkForEver: the agent charges by its own policies and keeps all
// records.
func TestWithoutNetworkForEver(t *testing.T) {
	play(t, func(c *app.Config, _ *sim.Config) { c.Policies.FreeVend = true }, func(p *point) {
		t := p.t
		p.broker.Stop()
		p.start()
		p.status(2*time.Second, charge.StatusAvailable)
		for range 3 {
			time.Sleep(time.Minute)
			p.do(p.board.Plug(1))
			p.status(3*time.Second, charge.StatusCharging)
			time.Sleep(30 * time.Second)
			p.do(p.board.Unplug(1))
			p.status(2*time.Second, charge.StatusAvailable)
		}
		accounted(t, p, 3)
		if s := p.agent.Status(); s.Link.Up || s.Unacked != s.Recorded {
			t.Errorf("link up %t, %d of %d not acknowledged", s.Link.Up, s.Unacked, s.Recorded)
		}
		if err := p.broker.Start(); err != nil {
			t.Fatal(err)
		}
		p.ready()
	})
}

// TestFaultAndRepair: both by command, as the page of a simulated point does.
func TestFaultAndRepair(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		for i, f := range []charge.Fault{
			charge.FaultGroundFault, charge.FaultEmergencyStop, charge.FaultPilot, charge.FaultSafetyInput, charge.FaultMeter,
			charge.FaultContactorWelded, charge.FaultContactorStuck,
		} {
			id := charge.SessionID(rune('a' + i))
			want(t, p.order(1, &wire.Simulate{Action: wire.SimulatePlug}), wire.ResultDone, "")
			want(t, p.order(1, &wire.Start{SessionID: id, Username: "driver1"}), wire.ResultDone, "")
			p.status(3*time.Second, charge.StatusCharging)
			time.Sleep(3 * time.Second)
			want(t, p.order(1, &wire.Simulate{Action: wire.SimulateFault, Fault: f}), wire.ResultDone, "")
			if f == charge.FaultContactorWelded { // is not seen before it should open
				want(t, p.order(1, &wire.Stop{SessionID: id}), wire.ResultDone, "")
			}
			p.status(4*time.Second, charge.StatusFaulted)
			want(t, p.order(1, reserve(charge.ReservationID(id), time.Minute)), wire.ResultRejected, "faulted")
			time.Sleep(3 * time.Second)
			if f != charge.FaultContactorWelded && p.outlet().Closed {
				t.Errorf("%s: closed", f)
			}
			want(t, p.order(1, &wire.Simulate{Action: wire.SimulateRepair}), wire.ResultDone, "")
			p.status(3*time.Second, charge.StatusFinishing)
			want(t, p.order(1, &wire.Simulate{Action: wire.SimulateUnplug}), wire.ResultDone, "")
			p.status(3*time.Second, charge.StatusAvailable)
			stopped := payloads[*wire.ChargingStopped](t, p.disk)
			raised := payloads[*wire.FaultRaised](t, p.disk)
			if len(stopped) != i+1 || len(raised) != i+1 || raised[i].Fault != f {
				t.Fatalf("%s: %s", f, story(t, p.disk))
			}
		}
		want(t, p.order(7, &wire.Stop{SessionID: "x"}), wire.ResultRejected, "unknown_connector")
	})
}

// TestLatchedFaultsOutliveTheAgent: neither a crash nor a restart resets a welded
// contactor; RESET does, once it is measured open.
func TestLatchedFaultsOutliveTheAgent(t *testing.T) {
	play(t, nil, func(p *point) {
		p.start()
		p.ready()
		time.Sleep(2 * time.Second) // the self-test
		p.do(p.board.Inject(1, charge.FaultContactorWelded))
		p.status(2*time.Second, charge.StatusFaulted)
		want(t, p.order(1, &wire.Reset{}), wire.ResultDone, "")
		time.Sleep(time.Second)
		if n := len(payloads[*wire.FaultCleared](t, p.disk)); n != 0 {
			t.Errorf("cleared %d times while it is welded", n)
		}
		p.do(p.board.Repair(1)) // without a reset
		for _, end := range []func(){p.kill, func() { p.do(p.stop(nil)) }} {
			end()
			p.start()
			p.ready()
			time.Sleep(2 * time.Second)
			if got := p.reports(); got != charge.StatusFaulted {
				t.Fatalf("%s after a restart, want faulted: %s", got, story(t, p.disk))
			}
		}
		want(t, p.order(1, &wire.Unlock{}), wire.ResultRejected, "welded")
		want(t, p.order(0, &wire.Reset{}), wire.ResultDone, "")
		p.status(time.Second, charge.StatusAvailable)
		p.kill()
		p.start()
		p.ready()
		p.status(time.Second, charge.StatusAvailable)
		want(t, p.order(1, &wire.Unlock{}), wire.ResultDone, "")
	})
}

// TestATapByCommand: it is a card that is held to the reader; without one it fails.
func TestATapByCommand(t *testing.T) {
	card := charge.IDToken("04A1B2C3").Hash()
	play(t, nil, func(p *point) {
		p.start()
		p.ready()
		want(t, p.order(1, &wire.Simulate{Action: wire.SimulateTap, Card: card}), wire.ResultDone, "")
		p.within(time.Second, "a request", func() bool { return len(payloads[*wire.AuthRequested](t, p.disk)) == 1 })
		if got := payloads[*wire.AuthRequested](t, p.disk)[0].TokenHash; got != card {
			t.Errorf("card %s, want %s", got, card)
		}
	})
	play(t, func(_ *app.Config, hw *sim.Config) { hw.NoReader = true }, func(p *point) {
		p.start()
		p.ready()
		want(t, p.order(1, &wire.Simulate{Action: wire.SimulateTap, Card: card}), wire.ResultFailed, "no card reader is fitted")
	})
}

// TestADeadReaderIsReported: in telemetry, health and metrics, with its reason and for
// how long, until it answers again. A hiccup is not, and the app still starts sessions.
func TestADeadReaderIsReported(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		page := p.observed(p.disk.open)
		p.ready()
		works := func(when string, up bool) {
			t.Helper()
			h, m := p.agent.Status().Health, page.Scrape()
			ok, checks := page.Ready()
			if c := checks["reader"]; !ok || !c.Informational || c.Up != up || (h.Reader == "") != up || (h.ReaderMS == 0) != up || m["carga_agent_card_reader_up"] != metrics.Bool(up) {
				t.Errorf("%s: ready %v, %+v, telemetry %q for %d ms; want up %v", when, ok, c, h.Reader, h.ReaderMS, up)
			}
			if !up && (!strings.Contains(checks["reader"].Reason, "unreadable") || checks["reader"].Reason != h.Reader) {
				t.Errorf("%s: reasons %q and %q", when, checks["reader"].Reason, h.Reader)
			}
		}
		works("at rest", true)
		p.do(p.board.Break(1, sim.ReaderDead))
		time.Sleep(2500 * time.Millisecond)
		works("a hiccup", true)
		p.do(p.board.Repair(1))
		time.Sleep(10 * time.Second)
		p.do(p.board.Break(1, sim.ReaderDead))
		time.Sleep(time.Minute)
		works("dead", false)
		if ms := p.agent.Status().Health.ReaderMS; ms < 58_000 || ms > 60_000 {
			t.Errorf("dead for %d ms, want a minute", ms)
		}
		want(t, p.order(1, &wire.Simulate{Action: wire.SimulateTap, Card: charge.IDToken("04A1B2C3").Hash()}), wire.ResultFailed, "card reader: unreadable")
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(3*time.Second, charge.StatusCharging)
		p.do(p.board.Repair(1))
		time.Sleep(2 * time.Second)
		works("repaired", true)
	})
}

// TestWithoutAReaderNoneIsReported: what is not fitted is not dead.
func TestWithoutAReaderNoneIsReported(t *testing.T) {
	play(t, func(_ *app.Config, hw *sim.Config) { hw.NoReader = true }, func(p *point) {
		page := p.observed(p.disk.open)
		p.ready()
		time.Sleep(10 * time.Second)
		_, checks := page.Ready()
		_, check := checks["reader"]
		_, metric := page.Scrape()["carga_agent_card_reader_up"]
		if h := p.agent.Status().Health; check || metric || h.Reader != "" {
			p.t.Errorf("check %v, metric %v, telemetry %q", check, metric, h.Reader)
		}
	})
}

// TestFrontPanel: the lights show the status, IDENTIFY lets them blink for 30 s, and a
// held button resets what has latched, without Central.
func TestFrontPanel(t *testing.T) {
	play(t, nil, func(p *point) {
		light := func(want hal.Light) {
			t.Helper()
			p.within(time.Second, want.String(), func() bool { return p.outlet().Light == want.String() })
		}
		p.start()
		p.ready()
		light(hal.LightReady)
		want(t, p.order(0, &wire.Identify{}), wire.ResultDone, "")
		light(hal.LightIdentify)
		time.Sleep(28 * time.Second)
		light(hal.LightIdentify)
		time.Sleep(2 * time.Second)
		light(hal.LightReady)
		p.do(p.board.Inject(1, charge.FaultEmergencyStop))
		p.status(time.Second, charge.StatusFaulted)
		light(hal.LightFault)
		p.do(p.board.Repair(1)) // without a reset
		for range 2 {
			p.do(p.board.Press(1))
			time.Sleep(time.Second)
		}
		if got := p.reports(); got != charge.StatusFaulted {
			t.Errorf("%s after a short press, want faulted", got)
		}
		p.do(p.board.Hold(1))
		p.status(time.Second, charge.StatusAvailable)
		p.do(p.stop(nil))
		light(hal.LightOff)
	})
}

// TestJournalFails: every contactor opens, and the agent ends with an error.
func TestJournalFails(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		p.disk.breaks(errDisk)
		time.Sleep(5 * time.Minute) // a sample is due
		select {
		case err := <-p.ended:
			p.cancel = nil
			if !errors.Is(err, errDisk) {
				t.Errorf("got %v, want the disk's error", err)
			}
		default:
			t.Fatal("the agent goes on without a journal")
		}
		time.Sleep(100 * time.Millisecond)
		if p.outlet().Closed {
			t.Error("power flows without a journal")
		}
		p.disk.breaks(nil)
		p.start()
		p.ready()
		accounted(t, p, 1)
	})
}

// TestDiskFull: a running session continues without samples and ends with its
// record; no other begins. When not even the end fits, there is no power. With
// space again, all works without a restart.
func TestDiskFull(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		noSpace := fmt.Errorf("append: %w", app.ErrNoSpace)
		fill := func(permille int64) {
			p.disk.mu.Lock()
			defer p.disk.mu.Unlock()
			p.disk.full = permille
		}
		fill(1000)
		p.disk.breaksBelow(journal.Final, noSpace)
		samples := len(payloads[*wire.MeterRead](t, p.disk))
		time.Sleep(time.Minute)
		if !p.outlet().Closed || len(payloads[*wire.MeterRead](t, p.disk)) != samples {
			t.Fatalf("closed %t; %s", p.outlet().Closed, story(t, p.disk))
		}
		p.do(p.board.Unplug(1)) // unplugged waits for the stop, in its order
		p.within(2*time.Second, "charging_stopped", func() bool { return len(payloads[*wire.ChargingStopped](t, p.disk)) == 1 })
		p.do(p.board.Plug(1))
		time.Sleep(2 * time.Second)
		if h := p.agent.Status().Health; h.Alarm != "no space on the disk" || h.QuotaPermill != 1000 {
			t.Errorf("health: %+v", h)
		}
		want(t, p.order(1, &wire.Start{SessionID: "s2", Username: "driver1"}), wire.ResultRejected, "storage_full")
		p.disk.breaksBelow(journal.Sample, nil)
		fill(0)
		time.Sleep(3 * time.Second)
		want(t, p.order(1, &wire.Start{SessionID: "s3", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)

		p.disk.breaks(noSpace)
		p.do(p.board.Inject(1, charge.FaultGroundFault))
		p.status(2*time.Second, charge.StatusFaulted)
		time.Sleep(time.Hour)
		if p.outlet().Closed {
			t.Error("closed")
		}
		p.disk.breaks(nil)
		time.Sleep(2 * time.Second)
		// The trip was reset automatically for an hour, in vain: now a person must do it.
		want(t, p.order(1, &wire.Simulate{Action: wire.SimulateRepair}), wire.ResultDone, "")
		p.status(5*time.Second, charge.StatusFinishing)
		accounted(t, p, 2)
		time.Sleep(2 * time.Second)
		want(t, p.order(1, &wire.Start{SessionID: "s4", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		p.kill() // what was saved agrees with the records
		p.start()
		p.ready()
		time.Sleep(time.Second)
		accounted(t, p, 3)
	})
}

// TestNoSpaceForANewSession: the running one can always end.
func TestNoSpaceForANewSession(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		p.start()
		p.ready()
		p.disk.mu.Lock()
		p.disk.full = 900
		p.disk.mu.Unlock()
		time.Sleep(2 * time.Second)
		want(t, p.order(1, reserve("r1", time.Minute)), wire.ResultRejected, "storage_full")
		if h := p.agent.Status().Health; !strings.Contains(h.Alarm, "space") || h.QuotaPermill != 900 {
			t.Errorf("health: %+v", h)
		}
	})
}

// TestRecordsAreReported: what OnRecords receives is enough to bring a vehicle
// on a reservation and to take it away when it is full.
func TestRecordsAreReported(t *testing.T) {
	change := func(c *app.Config, hw *sim.Config) {
		c.Policies.ReservedPlugStarts = true
		hw.Vehicles = sim.DefaultVehicles()
	}
	play(t, change, func(p *point) {
		t := p.t
		p.onRecords = func(s connector.State, records []connector.Record) {
			for _, r := range records {
				switch payload := r.Payload.(type) {
				case *wire.CommandAccepted:
					if err := p.board.Plug(s.ID); err != nil || s.Reservation.Username != "driver1" {
						t.Errorf("reserved for %q: %v", s.Reservation.Username, err)
					}
				case *wire.Suspended:
					if err := p.board.Unplug(s.ID); err != nil || payload.By != "ev" {
						t.Errorf("suspended by %s: %v", payload.By, err)
					}
				default:
				}
			}
		}
		p.start()
		p.ready()
		want(t, p.order(1, reserve("r1", 5*time.Minute)), wire.ResultDone, "")
		p.status(10*time.Second, charge.StatusCharging)
		p.status(3*time.Minute, charge.StatusAvailable)
		accounted(t, p, 1)
	})
}

// TestClockIsLiftedByCentral: an agent without a clock uses Central's.
func TestClockIsLiftedByCentral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoint(t, nil)
		p.clock = func() (time.Time, charge.ClockQuality) {
			return time.Unix(0, 0).Add(time.Since(time.Now().Truncate(24 * time.Hour))), charge.ClockUnset
		}
		p.play(func() {
			p.start()
			p.ready()
			want(t, p.order(1, reserve("r1", time.Minute)), wire.ResultDone, "")
			all := p.disk.records(t)
			first, last := all[0], all[len(all)-1]
			if first.Clock != charge.ClockUnset || last.Clock != charge.ClockSet || charge.At(time.Now()).Sub(last.At) > time.Second {
				t.Errorf("first record %s %s, last %s %s", first.Clock, first.At, last.Clock, last.At)
			}
		})
	})
}

// slow is a board whose emergency stop answers late once.
type slow struct {
	*sim.Board
	nap atomic.Int64 // nanoseconds
	// always: each reading naps, not the next one alone.
	always atomic.Bool
}

func (s *slow) EStop() (hal.EStop, error) {
	e, err := s.Board.EStop()
	return napping{e, s}, err
}

type napping struct {
	hal.EStop
	s *slow
}

func (n napping) Pressed() (bool, hal.Stamp, error) {
	d := n.s.nap.Load()
	if d > 0 {
		time.Sleep(time.Duration(d))
	}
	if !n.s.always.Load() {
		n.s.nap.CompareAndSwap(d, 0)
	}
	return n.EStop.Pressed()
}

// TestLateControlLoopOpens: a late tick opens for a moment, and the session
// continues.
func TestLateControlLoopOpens(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		board := &slow{Board: p.board}
		p.wired = board
		p.start()
		p.ready()
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		board.nap.Store(int64(150 * time.Millisecond))
		p.status(time.Second, charge.StatusSuspendedEVSE)
		time.Sleep(100 * time.Millisecond)
		if p.outlet().Closed {
			t.Error("closed after the control loop was late")
		}
		p.status(time.Second, charge.StatusCharging)
		if h := p.agent.Status().Health; h.SafetyLate != 1 {
			t.Errorf("late ticks: %d, want 1", h.SafetyLate)
		}
		// Longer than the keeper waits: it opens, and what follows is the same.
		board.nap.Store(int64(3 * time.Second))
		time.Sleep(2 * time.Second)
		if p.outlet().Closed {
			t.Error("closed although the keeper is not kicked")
		}
		p.status(5*time.Second, charge.StatusCharging)
		want(t, p.order(1, &wire.Stop{SessionID: "s1"}), wire.ResultDone, "")
		accounted(t, p, 1)
	})
}

// TestKeys types keys at a simulated charging point.
func TestKeys(t *testing.T) {
	play(t, func(c *app.Config, _ *sim.Config) { c.Policies.FreeVend = true }, func(p *point) {
		in, out := io.Pipe()
		p.keys = in
		p.start()
		p.ready()
		press := func(s string) {
			if _, err := io.WriteString(out, s+"\n"); err != nil {
				p.t.Error(err)
			}
		}
		press("p")
		p.status(3*time.Second, charge.StatusCharging)
		press("nonsense")
		press("9p")
		press("1s")
		p.status(3*time.Second, charge.StatusFinishing)
		press("u")
		p.status(3*time.Second, charge.StatusAvailable)
		press("f")
		p.status(3*time.Second, charge.StatusFaulted)
		press("r")
		p.status(3*time.Second, charge.StatusAvailable)
		if s := payloads[*wire.ChargingStopped](p.t, p.disk); len(s) != 1 || s[0].Reason != charge.StopLocal {
			p.t.Errorf("got %s", story(p.t, p.disk))
		}
		p.do(out.Close())
	})
}

// cardBoard is a board that keeps the cards held to it.
type cardBoard struct {
	*sim.Board
	uids chan string
}

func (b cardBoard) Present(uid string) error {
	b.uids <- uid
	return b.Board.Present(uid)
}

// TestACardByKey holds a card to the reader by a line at the terminal.
func TestACardByKey(t *testing.T) {
	play(t, nil, func(p *point) {
		in, out := io.Pipe()
		board := cardBoard{p.board, make(chan string, 2)}
		p.keys, p.wired = in, board
		p.start()
		p.ready()
		for _, uid := range []string{"04A1B2C3", "card"} { // the second one is refused, and the next line is read
			if _, err := io.WriteString(out, "t  "+uid+"\n"); err != nil {
				p.t.Error(err)
			}
			if got := <-board.uids; got != uid {
				p.t.Errorf("got %q, want %q", got, uid)
			}
		}
		p.do(out.Close())
	})
}

// TestHardwareThatCannotServe: a board with unsafe hardware is refused at the
// start.
func TestHardwareThatCannotServe(t *testing.T) {
	play(t, nil, func(p *point) {
		p.wired = lame{p.board}
		p.start()
		err := <-p.ended
		p.cancel = nil
		if err == nil || !strings.Contains(err.Error(), "dead-man") {
			p.t.Errorf("got %v, want the dead-man device refused", err)
		}
	})
}

// lame is a board whose dead-man device is too slow.
type lame struct{ *sim.Board }

func (l lame) Keeper() (hal.Keeper, error) { return lazy{}, nil }

type lazy struct{}

func (lazy) Kick() error            { return nil }
func (lazy) Timeout() time.Duration { return 2 * time.Second }

func TestJournalInUseIsNamed(t *testing.T) {
	cfg := app.DefaultConfig()
	cfg.DataDir = t.TempDir()
	fs, err := journal.OS(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	held, err := fs.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	err = app.Run(t.Context(), cfg, app.Deps{})
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), cfg.DataDir) {
		t.Errorf("got %v, want the folder that is in use named", err)
	}
}
