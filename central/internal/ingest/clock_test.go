package ingest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const days = 24 * time.Hour

// A clock that was days ahead does not make a charging point online until that
// date.
func TestAClockThatWasAheadHidesNoSilence(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a, b := journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")
		l.deliver(wire.TopicEvents, a.All[0], b.All[0])
		l.ahead.Store(int64(3 * days))
		l.seconds(10, true, true, a, b)
		l.ahead.Store(0)
		l.seconds(15, true, true, a)
		if got := l.links(); got != "online offline" {
			t.Errorf("one is silent: got %s", got)
		}
		l.seconds(15, false, false, a)
		for _, p := range l.live.Network().Parts {
			if p.Name == "bridge" && p.State == view.PartUp {
				t.Error("the bridge is silent, and up")
			}
		}
		l.bridge(true)
		time.Sleep(2 * time.Second)
		for _, p := range l.live.Network().Parts {
			if p.Name == "bridge" && p.State != view.PartUp {
				t.Errorf("the bridge sends heartbeats again: got %+v", p)
			}
		}
	})
}

// A clock that was a hundred days ahead for some time deletes no record, no
// command and no idempotency key of the day before.
func TestAClockThatWasAheadForgetsNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Keep = 6 * time.Hour
		l := newInstance(t, options(dir), cfg)
		defer func() { l.end() }()
		l.w.Join(charge.Epoch{})
		p := journaltest.New(t, "CP_1")
		l.connect(p)
		for n := range 5 {
			p.Charge(n)
		}
		l.deliver(wire.TopicEvents, p.All[1:]...)
		was := l.askOnce(once("k", "plug"), simulate)
		time.Sleep(time.Hour)
		held := recordsOf(t, l)
		l.ahead.Store(int64(100 * days))
		time.Sleep(10 * time.Minute)
		l.end() // and it starts with that clock
		l = newInstance(t, options(dir), cfg)
		l.ahead.Store(int64(100 * days))
		l.w.Join(charge.Epoch{})
		l.connect(p)
		time.Sleep(10 * time.Minute)
		l.connect(p)
		during := l.askOnce(once("k2", "plug"), simulate)
		if was.CommandID == "" || during.CommandID == "" {
			t.Fatalf("asked: %+v, %+v", was, during)
		}
		l.ahead.Store(0)
		time.Sleep(5 * time.Minute)
		if got := recordsOf(t, l); got != held || held == 0 {
			t.Errorf("records: got %d, want %d", got, held)
		}
		for key, want := range map[string]orders.Reply{"k": was.Reply, "k2": during.Reply} {
			if r := l.askOnce(once(key, "plug"), simulate); r.CommandID != want.CommandID {
				t.Errorf("the repeat of %s made command %s, want %s once", key, r.CommandID, want.CommandID)
			}
		}
		time.Sleep(25 * time.Hour) // what is old by now goes, that of the wrong clock too
		if got := recordsOf(t, l); got != 0 {
			t.Errorf("records after 25 hours: got %d, want none", got)
		}
		l.connect(p)
		if r := l.askOnce(once("k2", "plug"), simulate); r.CommandID == during.CommandID {
			t.Error("a key of the wrong clock is kept for ever")
		}
	})
}
