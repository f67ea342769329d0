package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
	"github.com/carga-ev/carga/sim/operator"
)

// Plan is the configuration of a run. The seed of the network decides which
// faults happen.
type Plan struct {
	Network Config
	For     time.Duration // how long faults are injected
	Drivers int           // how many drivers use the network meanwhile
	Out     io.Writer     // progress for people; nil: none
}

// Timing of a run.
const (
	startLimit       = 2 * time.Minute
	settleLimit      = 3 * time.Minute
	recoveryLimit    = 30 * time.Second // of one recovery; a longer one counts as this long, and as late
	busyDelay        = 50 * time.Millisecond
	pollInterval     = 100 * time.Millisecond
	progressInterval = 10 * time.Second
	overdueGrace     = 2 * time.Second // how long after its end a reservation may be shown
)

// storm is one run. Its goroutines are the injection of faults, one for each
// fault in progress, one for each driver, the drivers' Kafka client, and
// monitor.
type storm struct {
	plan    Plan
	net     *Network
	targets map[kind][]*target
	tally   *tally
	start   time.Time
	events  *os.File // log of faults, with times, to be compared with the programs' logs

	mu   sync.Mutex
	view operator.View // mu guards it: the last view that Central returned
}

// Run starts a network, injects faults for plan.For while drivers use it, heals
// it, brings it to rest, and reconciles. Broken rules are in the report; an
// error means that the run is no evidence.
func Run(ctx context.Context, plan Plan) (r Report, err error) {
	if plan.Out == nil {
		plan.Out = io.Discard
	}
	plan.Network.Proxied, plan.Network.Disks = true, true
	n, err := NewNetwork(ctx, plan.Network)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	s := &storm{plan: plan, net: n, targets: targetsOf(n), tally: newTally()}
	return s.run(ctx)
}

func (s *storm) run(ctx context.Context) (r Report, err error) {
	if err := s.net.Start(ctx); err != nil {
		return r, err
	}
	if s.events, err = os.Create(filepath.Join(s.plan.Network.Dir, "events.log")); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.events.Close()) }()
	if err := Await(ctx, startLimit, s.allOnline); err != nil {
		return r, fmt.Errorf("the network does not start: %w", err)
	}
	if err := s.injectFaults(ctx); err != nil {
		return r, err
	}
	s.report("healed; sessions are stopped, records drained")
	healed := time.Now()
	if err := s.net.Settle(ctx, settleLimit); err != nil {
		s.tally.violate(err.Error())
	}
	drained := time.Since(healed)
	a, err := s.net.Reconcile(ctx)
	r = s.tally.report(&s.plan, a, drained)
	if none := s.net.NoDisks(); none != nil {
		r.NoDisks = none.Error()
	}
	return r, err
}

// allOnline is a look function for Await.
func (s *storm) allOnline(ctx context.Context) error {
	v, err := s.net.API.Network(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.net.Points {
		if seen := v.Point(p.ID); seen == nil || seen.Link != "online" || !seen.Admitted {
			return fmt.Errorf("%s is not online", p.ID)
		}
	}
	return nil
}

// injectFaults runs drivers and faults until the time is over. When it returns
// all faults are healed, and all vehicles and injected hardware faults removed.
func (s *storm) injectFaults(ctx context.Context) error {
	s.start = time.Now()
	stormCtx, endStorm := context.WithTimeout(ctx, s.plan.For)
	defer endStorm()
	client, err := driver.NewClient(driver.ClientConfig{Brokers: []string{s.net.KafkaAddr()}, ClientID: "chaos", Partitions: s.plan.Network.Partitions})
	if err != nil {
		return err
	}
	var background sync.WaitGroup
	defer background.Wait()
	defer endStorm()
	background.Go(func() { _ = client.Run(stormCtx) }) // it returns nil when its context ends
	for i := range s.plan.Drivers {
		// Each driver has a random source of its own: what one of them meets
		// does not change the others' plans.
		v := &visitor{
			username: charge.Username(fmt.Sprintf("driver%d", i+1)), rng: s.rng(uint64(i) + 1), client: client, net: s.net, tally: s.tally,
		}
		background.Go(func() { v.run(stormCtx) })
	}
	background.Go(func() { s.monitor(stormCtx) })
	s.performActions(stormCtx)
	background.Wait()
	return errors.Join(ctx.Err(), s.resetBoards()) //nolint:contextcheck // calls of the board take no context and end within two seconds
}

// rng returns one of the run's independent random sources: 0 plans the faults,
// n is driver n's.
func (s *storm) rng(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.plan.Network.Seed, stream))
}

// performActions performs planned actions, several at a time on different
// processes, until ctx ends, and returns when all are healed. An action whose
// process is occupied is skipped.
func (s *storm) performActions(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	rng := s.rng(0)
	for ctx.Err() == nil {
		a, pause := draw(rng, s.targets, s.plan.Network.KeepAlive)
		if a.target.busy.TryLock() {
			running.Go(func() {
				defer a.target.busy.Unlock()
				s.performAction(ctx, &a)
			})
		} else {
			pause = busyDelay // a fault of it is in progress: try the next action soon
		}
		sleep(ctx, pause)
	}
}

// performAction performs one action and measures the recovery of its process.
func (s *storm) performAction(ctx context.Context, a *action) {
	s.logEvent(a.String())
	s.tally.countAction(a)
	if err := a.perform(ctx); err != nil {
		s.tally.violate(err.Error())
		return
	}
	if a.fullDisk != nil && a.fullDisk.noticed {
		s.tally.countNoticed()
	}
	healed := time.Now()
	s.logEvent(a.target.process.Name + " healed")
	limit, cancel := context.WithTimeout(ctx, recoveryLimit)
	defer cancel()
	for !s.reportedSince(a.target, healed) || a.fullDisk != nil && !a.target.diskHealthy(limit) {
		if sleep(limit, pollInterval); ctx.Err() != nil {
			return // the run is over: the recovery is not known
		}
		if limit.Err() != nil {
			s.tally.countRecovery(a, recoveryLimit)
			return
		}
	}
	s.tally.countRecovery(a, min(time.Since(healed), recoveryLimit-1))
}

// reportedSince reports whether Central has received something since a moment:
// from the target's charging point, or from any if it is not an agent.
func (s *storm) reportedSince(t *target, since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.view.CPs {
		if (t.point == nil || t.point.ID == p.ID) && p.LastSeenAt > charge.At(since) {
			return true
		}
	}
	return false
}

// monitor polls Central's view until ctx ends: it checks what must hold at any
// time, restarts programs that ended by themselves, and reports progress.
func (s *storm) monitor(ctx context.Context) {
	lastReport := time.Now()
	for ctx.Err() == nil {
		// Central may be dead or frozen just now: then there is nothing to
		// check.
		if v, err := s.net.API.Network(ctx); err == nil {
			s.checkView(&v)
		}
		s.restartEnded(ctx)
		if time.Since(lastReport) >= progressInterval {
			lastReport = lastReport.Add(progressInterval)
			s.mu.Lock()
			b := s.view.Books
			s.mu.Unlock()
			s.report("%s; %d records applied of %d announced, %d delivered again", s.tally.progress(), b.Applied, b.Announced, b.Duplicates)
		}
		sleep(ctx, pollInterval)
	}
}

// checkView checks that no record is applied twice and no reservation is shown
// past its end.
func (s *storm) checkView(v *operator.View) {
	s.mu.Lock()
	s.view = *v
	s.mu.Unlock()
	if v.Books.Twice > 0 {
		s.tally.violate("Central shows records applied twice")
	}
	for _, p := range v.CPs {
		for _, c := range p.Connectors {
			if c.Status == charge.StatusReserved && c.ReservedUntil.Add(overdueGrace) < v.At {
				s.tally.violate(fmt.Sprintf("%s connector %d is shown as reserved past its end at %s", p.ID, c.Connector, c.ReservedUntil))
			}
		}
	}
}

// restartEnded restarts programs that ended by themselves, which is a
// violation.
func (s *storm) restartEnded(ctx context.Context) {
	for _, k := range kinds() {
		for _, t := range s.targets[k] {
			if !t.busy.TryLock() {
				continue
			}
			if !t.process.Alive() {
				s.tally.violate(t.process.endedError(errors.New("ended by itself")).Error())
				if err := t.process.Start(ctx); err != nil {
					s.tally.violate(err.Error())
				}
			}
			t.busy.Unlock()
		}
	}
}

// resetBoards unplugs every vehicle and repairs every board.
func (s *storm) resetBoards() error {
	var errs []error
	for _, p := range s.net.Points {
		for n := range s.plan.Network.Connectors {
			at := charge.ConnectorID(n + 1)
			errs = append(errs, p.Controls().Repair(at))
			_ = p.Controls().Unplug(at) // most are unplugged already
		}
	}
	return errors.Join(errs...)
}

// report prints a line of progress.
func (s *storm) report(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintf(s.plan.Out, "%5.0f s  %s\n", time.Since(s.start).Seconds(), text)
	s.logEvent(text)
}

// logEvent writes to the log of faults.
func (s *storm) logEvent(text string) {
	_, _ = fmt.Fprintf(s.events, "%s %s\n", time.Now().Format(time.RFC3339Nano), text)
}
