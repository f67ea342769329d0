package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/agent/internal/uplink"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

// running is one boot of the agent: everything that each call of Agent.Run makes
// again. boot makes it, serve runs it.
//
// The fields are set by boot and not changed afterwards, unless they guard
// themselves.
type running struct {
	cfg       Config
	deps      Deps
	logger    *slog.Logger
	clock     *clock
	board     hal.Board
	simulator hal.Simulator // nil: real hardware
	outlets   []*control.Outlet

	journal      charge.JournalID // a new one for each boot
	log          Journal          // the records of this boot and of those before
	recorder     *recorder
	machines     []*machine     // one per connector, in the order of their numbers
	meterReaders []*meterReader // likewise
	control      *control.Loop
	commands     *commandHandler
	up           *uplink.Uplink
	watch        *observe.Server
	recorderLoop *health.Loop // reported by housekeep while the recorder makes progress
	diskFull     atomic.Bool  // not even a final record fits

	oldestMu sync.Mutex
	// oldestMu guards everything that follows: the time of the first record that
	// is not acknowledged. It is read once per record, since health asks often.
	oldestIndex delivery.Index
	oldestAt    charge.Time
}

// boot opens the journal, restores the connectors, and writes cp_registered.
// No goroutine runs yet. After an error only the board is open.
func boot(ctx context.Context, cfg Config, deps Deps, board hal.Board) (*running, error) {
	r := &running{cfg: cfg, deps: deps, logger: deps.Log, clock: newClock(deps.Clock), board: board}
	r.watch = observe.NewServer(metricPrefix, r.checkHealth, r.families, r.logger)
	r.recorderLoop = r.watch.LoopWithin("recorder", hangsAfter/3) // housekeep reports it after hangsAfter
	// Hardware first: without it there is no boot, and the journal stays as it is.
	if err := r.openDevices(); err != nil {
		return nil, err
	}
	wall, _ := r.clock.wall()
	r.journal = charge.JournalID(ids.New(wall.Std(), rand.Reader))
	r.recorder = &recorder{
		cp: cfg.CPID, journal: r.journal, clock: r.clock, log: r.logger, onFull: r.reportDiskFull, wake: make(chan struct{}, 1),
	}
	var found Recovered
	var err error
	r.log, found, err = deps.Open(JournalOptions{CP: cfg.CPID, Journal: r.journal, Checkpoint: r.recorder.checkpoint})
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	r.recorder.append = r.log.Append
	if err := r.restore(ctx, found); err != nil {
		return nil, errors.Join(err, r.log.Close())
	}
	return r, nil
}

// restore makes the machines from the journal and from what the hardware shows,
// and writes record 1.
//
// The order matters. The contactors are open before the meters are read, so that
// the registers at boot are final; record 1 is durable before any machine writes
// another record; Registered is the last step, as it may end a session.
func (r *running) restore(ctx context.Context, found Recovered) error {
	saved, err := connector.Restore(found.Checkpoint, found.Records, len(r.outlets))
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	r.recorder.saved = saved
	r.commands = &commandHandler{
		clock: r.clock, recorder: r.recorder, simulator: r.simulator, log: r.logger, wake: make(chan struct{}, 1),
	}
	r.awaitOpen(ctx)
	for i, o := range r.outlets {
		r.addMachine(ctx, o, saved[i])
	}
	if err := r.register(found); err != nil {
		return err
	}
	if err := r.makeUplink(); err != nil {
		return err
	}
	for i, m := range r.machines {
		m.apply(connector.Registered{Now: r.clock.now(), Unfinished: saved[i].Unfinished})
	}
	return nil
}

// policy is what the owner configured, the same for every connector.
func (r *running) policy() connector.Policy {
	info, p, i := r.board.Info(), r.cfg.Policies, r.cfg.Intervals
	return connector.Policy{
		Resume: p.Resume, ReservedPlugStarts: p.ReservedPlugStarts, FreeVend: p.FreeVend, Vent: info.Vent,
		Rated: info.RatedPower, SampleEnergy: i.MeterReadWh, SampleInterval: i.MeterRead,
	}
}

// addMachine makes the machine of one connector, with its meter reader, and
// applies Booted: the saved state, the pilot and a first reading. A meter that does not answer now is read again later.
func (r *running) addMachine(ctx context.Context, o *control.Outlet, saved connector.Saved) {
	m := &machine{
		outlet: o, clock: r.clock, recorder: r.recorder, log: r.logger, afterStep: r.afterStep,
		loop:    r.watch.Loop(fmt.Sprintf("connector_%d", o.ID)),
		readNow: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	r.machines = append(r.machines, m)
	r.commands.machines = r.machines
	r.meterReaders = append(r.meterReaders, &meterReader{
		machine: m, clock: r.clock, every: r.cfg.Intervals.Meter, log: r.logger,
		loop: r.watch.LoopWithin(fmt.Sprintf("meter_%d", o.ID), hangsAfter+r.cfg.Intervals.Meter),
	})
	pilot, err := o.PilotState()
	if err != nil {
		pilot = charge.PilotUnknown // the control loop reports it once it can be read
	}
	reading, err := readMeter(ctx, o, r.clock)
	if err != nil {
		r.logger.Warn("meter does not answer", logs.Connector(o.ID), logs.Err(err))
	}
	m.apply(connector.Booted{
		Now: r.clock.now(), ID: o.ID, Policy: r.policy(), Saved: saved, Pilot: pilot, Reading: reading, HasReading: err == nil,
	})
}

// register writes record 1, cp_registered: everything that a Central without
// any earlier record of this charging point needs. Damage of the journal follows
// as anomalies.
func (r *running) register(found Recovered) error {
	info := r.board.Info()
	p := &wire.Registered{
		After: found.After, Damaged: found.Damaged, Agent: buildinfo.Version(), Name: r.cfg.Name, Place: r.cfg.Place,
		Simulated: r.simulator != nil, Capabilities: r.capabilities(),
	}
	for _, m := range r.machines {
		p.Connectors = append(p.Connectors, connector.Describe(m.state))
		if held, some := connector.HeldReservation(m.state); some {
			p.Reservations = append(p.Reservations, held)
		}
	}
	// One commit: a Central that knows of the boot knows of the damage too.
	records := []connector.Record{{Payload: p}}
	for _, d := range found.Damaged {
		records = append(records, connector.Record{Payload: &wire.AnomalySeen{
			Anomaly: "journal_damaged", Detail: fmt.Sprintf("records %d to %d of %s: %.256s", d.First, d.Last, d.Journal, d.Reason),
		}})
	}
	if err := r.recorder.commit([]job{{records: records, now: r.clock.now()}}, journal.Final); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	r.logger.Info("registered", logs.Journal(r.journal), slog.String("board", info.Model), slog.Int("connectors", info.Connectors))
	return nil
}

// capabilities are the optional features of this charging point, sorted, as
// cp_registered lists them.
func (r *running) capabilities() []string {
	all := []string{"reserve", "remote_start"}
	if r.simulator != nil {
		all = append(all, "simulate")
	}
	if r.control.HasKeeper() {
		all = append(all, "keeper")
	}
	slices.Sort(all)
	return all
}

// afterStep passes the records of a connector's step on: ended sessions and
// reservations to the uplink, which then refuses late commands for them, all to
// the log, and all to Deps.OnRecords. It runs on the goroutine of the connector.
func (r *running) afterStep(s connector.State, records []connector.Record) {
	for _, rec := range records {
		level := slog.LevelInfo
		switch p := rec.Payload.(type) {
		case *wire.ChargingStopped:
			r.up.EndSession(rec.Session)
			if p.ReservationID != "" {
				r.up.EndReservation(p.ReservationID)
			}
		case *wire.ReservationEnded:
			r.up.EndReservation(p.ReservationID)
		case *wire.MeterRead:
			level = slog.LevelDebug
		case *wire.FaultRaised:
			level = slog.LevelWarn
		default:
		}
		r.logger.LogAttrs(context.Background(), level, "record", logs.Connector(s.ID),
			slog.String("type", string(rec.Payload.RecordType())), logs.Session(rec.Session),
			slog.String("status", string(connector.Status(s))))
	}
	if r.deps.OnRecords != nil {
		r.deps.OnRecords(s, records)
	}
}

// makeUplink makes the uplink of this boot. The password is read here, at each
// boot, so that a new one needs no other configuration.
func (r *running) makeUplink() error {
	m := &r.cfg.MQTT
	password, err := config.ReadSecret(m.PasswordFile)
	if err != nil {
		return fmt.Errorf("mqtt.password_file: %w", err)
	}
	r.up, err = uplink.New(uplink.Config{
		CP: r.cfg.CPID, Journal: r.journal, Started: r.clock.started, Topics: wire.Topics{Prefix: m.TopicPrefix},
		Brokers: []string{m.URL}, Username: m.Username, Password: password, KeepAlive: m.KeepAlive,
		Open: r.deps.Dial, Alive: r.watch.Loop("uplink").Beat, Log: r.logger,
	}, uplink.Deps{Records: r.log, Positions: r.log, Handler: r.commands, Source: readings{r}})
	return err
}

// uplinkStats are the uplink's; zero before it is made.
func (r *running) uplinkStats() uplink.Stats {
	if r.up == nil {
		return uplink.Stats{}
	}
	return r.up.Stats()
}

// fullPermille is how much of the space for unacknowledged records may be used
// before no new session starts: the rest is for the sessions that run.
const fullPermille = 900
