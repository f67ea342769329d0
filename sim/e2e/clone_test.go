package e2e_test

import (
	"context"
	"slices"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// runCloned copies the storage of the first charging point to a second device
// and runs both with one identity. They displace each other at the MQTT broker,
// so that records of both arrive now and then. None may be billed twice, and
// Central must raise an alarm.
func runCloned(w *world, want map[charge.CPID][]string, inSession bool) {
	w.t.Helper()
	hit, other := w.points[0], w.points[1]
	clone := newPoint(w, hit.id, 99)
	clone.dir += " clone"
	clone.noPeople = true
	w.start(allParts()...)
	line := w.client()
	outcomes := w.drive(line, driverPlan{username: "driver1", cp: hit.id})
	others := w.drive(line, driverPlan{username: "driver2", cp: other.id, services: servicesEach, pause: w.plan.pause})
	if inSession {
		w.awaitCharging(hit)
		time.Sleep(30 * time.Second)
	} else {
		w.wantTicket(outcomes, time.Hour)
	}
	w.copyFolder(hit.dir, clone.dir)
	clone.start()
	w.run("traffic at both devices", func(ctx context.Context) error { plugAndUnplug(ctx, clone.board, hit.board); return nil })
	w.await(30*time.Minute, "the identity is in quarantine", func() bool {
		time.Sleep(time.Second)
		return slices.ContainsFunc(items[alarm](w, "/alarms"), func(a alarm) bool { return a.Kind == "identity_fork" && a.CPID == hit.id })
	})
	for range servicesEach {
		w.wantTicket(others, time.Hour)
	}
	w.stop("traffic at both devices")
	clone.kill()
	time.Sleep(healTimeout)
	if n := w.count("SELECT count(*) FROM forked_records WHERE cp_id=?", string(hit.id)); n == 0 {
		w.t.Error("no record from after the fork is kept")
	}
	if a := w.accounts()[hit.id]; a.twice != 0 || a.billed > a.used {
		w.t.Errorf("%d Wh went through the meter; %d Wh are on tickets, %d sessions have several", a.used, a.billed, a.twice)
	}
	w.untouched(other, want)
}

// plugAndUnplug plugs vehicles in and out, so that agents write records.
func plugAndUnplug(ctx context.Context, boards ...*sim.Board) {
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, b := range boards {
			if b.Plug(1) != nil { // a vehicle is plugged in
				_ = b.Unplug(1) // it leaves; it may have left by itself
			}
		}
	}
}
