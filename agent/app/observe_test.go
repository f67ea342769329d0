package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/metrics/metricstest"
	"github.com/carga-ev/carga/internal/wire"
)

// observed starts the agent with its health served in memory.
func (p *point) observed(open func(app.JournalOptions) (app.Journal, app.Recovered, error)) metricstest.Page {
	p.t.Helper()
	const addr = "127.0.0.1:9465"
	l, err := p.wires.Listen("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(p.t.Context())
	p.cancel, p.ended = cancel, make(chan error, 1)
	p.agent = app.New(p.cfg, app.Deps{Board: p.hardware(), Open: open, Dial: p.dial, Clock: p.clock, Listener: l, StrictGPIOD: p.strictGPIOD, Notify: p.notify})
	go func() { p.ended <- p.agent.Run(ctx) }()
	return metricstest.Page{T: p.t, Addr: addr, Dial: p.wires.DialContext}
}

func TestReadyIsAboutTheChargingPointAndNotAboutTheNetwork(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		page := p.observed(p.disk.open)
		p.ready()
		time.Sleep(2 * time.Second)
		ok, all := page.Ready()
		if !ok || !all["board"].Up || !all["journal"].Up || !all["uplink"].Up || !all["central"].Up || !all["loops"].Up {
			t.Errorf("all is well: got %v %+v", ok, all)
		}
		p.broker.Stop()
		time.Sleep(2 * time.Minute)
		ok, all = page.Ready()
		if u := all["uplink"]; !ok || u.Up || !u.Informational || !strings.Contains(u.Reason, "waiting for MQTT") {
			t.Errorf("cut off it still charges: got %v %+v", ok, u)
		}
		p.do(p.broker.Start())
		p.ready()

		p.disk.mu.Lock()
		p.disk.full = 900
		p.disk.mu.Unlock()
		if ok, all = page.Ready(); ok || !strings.Contains(all["journal"].Reason, "90.0 %: no new session starts") {
			t.Errorf("no space for a session: got %v %+v", ok, all["journal"])
		}
		p.disk.mu.Lock()
		p.disk.full = 0
		p.disk.mu.Unlock()
		p.disk.breaks(fmt.Errorf("append: %w", app.ErrNoSpace))
		p.do(p.board.Plug(1))
		time.Sleep(time.Minute)
		ok, all = page.Ready()
		if j := all["journal"]; ok || j.Reason != "no space on the disk" || !j.Since.Before(time.Now().Add(-50*time.Second)) {
			t.Errorf("no space on the disk: got %v %+v", ok, j)
		}
		if ok, loops := page.Live(); !ok {
			t.Errorf("a full disk is no hang: got %+v", loops)
		}
		p.disk.breaks(nil)
		time.Sleep(5 * time.Second)
		if ok, all = page.Ready(); !ok {
			t.Errorf("there is space again: got %+v", all)
		}
	})
}

// TestReleasedOutputs: on a Raspberry Pi whose kernel keeps the level of a released
// output, or does not report it, the page of health warns; it is no reason not to
// charge.
func TestReleasedOutputs(t *testing.T) {
	for name, row := range map[string]struct {
		strict bool
		err    error
		want   string
	}{
		"strict":  {true, nil, ""},
		"loose":   {false, nil, "add dtparam=strict_gpiod"},
		"unknown": {false, errors.New("no config.txt"), "is not known: no config.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(c *app.Config, _ *sim.Config) { c.Hardware.Kind = app.HardwareRPi }, func(p *point) {
				p.strictGPIOD = func() (bool, error) { return row.strict, row.err }
				page := p.observed(p.disk.open)
				p.ready()
				time.Sleep(2 * time.Second)
				ok, all := page.Ready()
				if o := all["outputs"]; !ok || !o.Informational || o.Up != (row.want == "") || !strings.Contains(o.Reason, row.want) {
					p.t.Errorf("ready %v, outputs %+v", ok, o)
				}
			})
		})
	}
}

func TestAgentMetrics(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		page := p.observed(p.disk.open)
		p.ready()
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		time.Sleep(5 * time.Second)
		m := page.Scrape()
		m.Documented(t, "carga_agent_", "../../docs/OPERATIONS.md")
		s := p.agent.Status()
		for key, value := range map[string]float64{
			"carga_agent_ready": 1, "carga_agent_alive": 1, "carga_agent_mqtt_up": 1, "carga_agent_keeper_fitted": 1, "carga_agent_clock_synced": 1,
			"carga_agent_journal_records":                                    float64(s.Held),
			"carga_agent_journal_written_total":                              float64(s.Recorded),
			"carga_agent_journal_unacked_records":                            0,
			`carga_agent_commands_total{verdict="run"}`:                      1,
			`carga_agent_contactor_operations_total{connector="1"}`:          1,
			`carga_agent_connector_status{connector="1",status="charging"}`:  1,
			`carga_agent_connector_status{connector="1",status="available"}`: 0,
			`carga_agent_power_watts{connector="1"}`:                         float64(s.Connectors[0].Power),
			`carga_agent_check_up{check="board"}`:                            1,
			`carga_agent_energy_watt_hours_total{connector="1"}`:             float64(s.Connectors[0].Register),
		} {
			if got, some := m[key]; !some || got != value {
				t.Errorf("%s: got %v %v, want %v", key, got, some, value)
			}
		}
		want(t, p.order(1, &wire.Stop{SessionID: "s1"}), wire.ResultDone, "")
		time.Sleep(2 * time.Second)
		if got := page.Scrape()[`carga_agent_contactor_operations_total{connector="1"}`]; got != 2 {
			t.Errorf("closed and opened: got %v operations, want 2", got)
		}
		for key := range m {
			if strings.Contains(key, string(theCP)) {
				t.Errorf("%s names the charging point", key)
			}
		}
	})
}

func TestAHungControlLoopIsNotAlive(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		board := &slow{Board: p.board}
		p.wired = board
		page := p.observed(p.disk.open)
		p.ready()
		if ok, loops := page.Live(); !ok || len(loops) != 6 {
			t.Errorf("all turns: got %v %+v", ok, loops)
		}
		board.nap.Store(int64(10 * time.Second))
		time.Sleep(5 * time.Second)
		ok, loops := page.Live()
		if ok || loops["control"].Up || !loops["core"].Up {
			t.Errorf("the control loop hangs: got %v %+v", ok, loops)
		}
		if ok, all := page.Ready(); ok || !strings.Contains(all["board"].Reason, "the control loop is not in time for") || !strings.Contains(all["loops"].Reason, "control") {
			t.Errorf("ready with a hung control loop: got %+v", all)
		}
		time.Sleep(7 * time.Second)
		if ok, loops := page.Live(); !ok {
			t.Errorf("it turns again: got %+v", loops)
		}
	})
}

// held is a journal whose disk does not answer while gate is shut.
type held struct {
	app.Journal
	gate *atomic.Pointer[chan struct{}]
}

func (h held) Append(class journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	if gate := h.gate.Load(); gate != nil {
		<-*gate
	}
	return h.Journal.Append(class, encode...)
}

func TestAHungDiskIsNotAlive(t *testing.T) {
	play(t, nil, func(p *point) {
		t := p.t
		var shut atomic.Pointer[chan struct{}]
		page := p.observed(func(o app.JournalOptions) (app.Journal, app.Recovered, error) {
			j, f, err := p.disk.open(o)
			return held{j, &shut}, f, err
		})
		p.ready()
		gate := make(chan struct{})
		shut.Store(&gate)
		for range 3 {
			p.do(p.board.Plug(1))
			time.Sleep(time.Second)
			p.do(p.board.Unplug(1))
			time.Sleep(time.Second)
		}
		time.Sleep(20 * time.Second)
		if ok, loops := page.Live(); ok || loops["writer"].Up || !loops["control"].Up {
			t.Errorf("the disk hangs: got %v %+v", ok, loops)
		}
		shut.Store(nil)
		close(gate)
		time.Sleep(3 * time.Second)
		if ok, loops := page.Live(); !ok {
			t.Errorf("the disk answers: got %+v", loops)
		}
	})
}

// manager is a service manager that counts the reports of progress.
type manager struct{ progress atomic.Int64 }

func (*manager) Ready(context.Context) error      { return nil }
func (*manager) Stopping(context.Context) error   { return nil }
func (m *manager) Watchdog(context.Context) error { m.progress.Add(1); return nil }
func (*manager) WatchdogInterval() time.Duration  { return 2500 * time.Millisecond }

// TestOneNotionOfHealthy: what /livez states is what the service manager receives,
// whichever loop hangs. A control loop whose ticks come too late hangs, although it ticks.
func TestOneNotionOfHealthy(t *testing.T) {
	for name, hang := range map[string]func(p *point, board *slow, gate *atomic.Pointer[chan struct{}]) (release func()){
		"control": func(_ *point, board *slow, _ *atomic.Pointer[chan struct{}]) func() {
			board.always.Store(true)
			board.nap.Store(int64(200 * time.Millisecond)) // each tick is late
			return func() { board.nap.Store(0) }
		},
		"writer": func(p *point, _ *slow, shut *atomic.Pointer[chan struct{}]) func() {
			gate := make(chan struct{})
			shut.Store(&gate)
			p.do(p.board.Plug(1))
			return func() {
				shut.Store(nil)
				close(gate)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, nil, func(p *point) {
				t := p.t
				board, m := &slow{Board: p.board}, &manager{}
				var shut atomic.Pointer[chan struct{}]
				p.wired, p.notify = board, m
				page := p.observed(func(o app.JournalOptions) (app.Journal, app.Recovered, error) {
					j, f, err := p.disk.open(o)
					return held{j, &shut}, f, err
				})
				p.ready()
				both := func(what string, want bool) {
					t.Helper()
					m.progress.Store(0)
					time.Sleep(10 * time.Second)
					ok, loops := page.Live()
					if reported := m.progress.Load() > 0; ok != want || reported != want {
						t.Errorf("%s: alive %v, progress reported %v, want %v both: %+v", what, ok, reported, want, loops)
					}
				}
				both("all run", true)
				release := hang(p, board, &shut)
				time.Sleep(25 * time.Second)
				both(name+" hangs", false)
				release()
				time.Sleep(5 * time.Second)
				both("it continues", true)
			})
		})
	}
}
