package pi_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/operator"
	"github.com/carga-ev/carga/sim/pi"
)

// cp is the charging point in the emulated machine.
const cp charge.CPID = "PI_001"

// config is the agent's configuration: name, journal, broker's port, address of the
// metrics, board file.
const config = `cp_id: %s
data_dir: %s
mqtt: {url: "tcp://10.0.2.2:%s"}
policies: {start_delay: 0s}
observe: {listen: "%s"}
hardware: {kind: rpi, rpi: {board: %s}}
`

// rig is a charging point in an emulated machine, with what is wired to it, and
// the network that it belongs to.
type rig struct {
	*testing.T
	*site
	network *chaos.Network
	first   charge.WattHours // of the meter, before the first session
	times   []timing
}

// timing is how long something took, on the machine's own clock and on the host's.
type timing struct {
	what      string
	own, host time.Duration
}

// TestRaspberryPi is the life of a charging point on a Raspberry Pi. Its steps
// follow each other on one card.
func TestRaspberryPi(t *testing.T) {
	s := needSystem(t)
	n := network(t)
	_, port, err := net.SplitHostPort(n.MQTTAddr())
	if err != nil {
		t.Fatal(err)
	}
	files := systemFiles(t, s, fmt.Sprintf(config, cp, pi.JournalDir, port, pi.ObserveAddress, pi.BoardFile))
	r := &rig{T: t, site: newSite(newMachine(t, s, files)), network: n}
	r.first = r.counted()

	r.boot("hal-test")
	r.session()
	r.agentDies()
	r.powerCut()
	r.emergencyStop()
	r.switchOff()
	r.checkBooks()
	r.print()
}

// measure notes how long it took, from a moment on, until the relay's pin had a
// level, and returns it on the machine's clock.
func (r *rig) measure(what string, from moment, high bool) time.Duration {
	r.Helper()
	var then moment
	await(r.T, what, func(context.Context) (err error) {
		then, err = r.relayAt(from, high)
		return err
	})
	r.note(what, from, then)
	return then.own - from.own
}

// note notes a time for the table.
func (r *rig) note(what string, from, to moment) {
	r.times = append(r.times, timing{what, to.own - from.own, to.at.Sub(from.at)})
}

// within fails if a safety limit was passed.
func (r *rig) within(what string, took, allowed time.Duration) {
	r.Helper()
	if took > allowed {
		r.Errorf("%s: %v; at most %v are allowed", what, took.Round(time.Millisecond), allowed)
	}
}

// boot switches on and waits until Central knows the charging point. No relay may
// move, but by the commands that init runs first.
func (r *rig) boot(commands ...string) {
	r.Helper()
	from := len(r.machine.console())
	r.powerOn(commands...)
	on := moment{at: r.machine.since}
	for _, name := range commands {
		await(r.T, name, r.machine.printed(from, name+" ended"))
		out := r.machine.console()[from:]
		if !strings.Contains(out, name+" ended: exit status 0") {
			r.Errorf("%s did not succeed:\n%s", name, out)
		}
		before, _, _ := strings.Cut(out, name+" ended")
		if lines := strings.Split(before, "\n"); len(lines) > 1 { // the last one is that of init
			r.Logf("agent %s: %s", name, lines[len(lines)-2])
		}
	}
	await(r.T, "init has started", r.machine.printed(from, "agent started"))
	if len(commands) == 0 {
		r.note("power → agent started", on, r.now())
	}
	await(r.T, "the charging point is online", online(r.network, cp))
	if len(commands) > 0 {
		return
	}
	r.note("power → online at Central", on, r.now())
	if r.wentHigh(on) {
		r.Error("the relay's pin was high during the boot")
	}
}

// status waits for a status of the connector in Central.
func (r *rig) status(want charge.Status) {
	r.Helper()
	r.connector("the status "+string(want), func(c *operator.ConnectorView) bool { return c.Status == want })
}

// connector waits until something holds for the connector in Central.
func (r *rig) connector(what string, holds func(*operator.ConnectorView) bool) {
	r.Helper()
	await(r.T, what, func(ctx context.Context) error {
		v, err := r.network.API.Network(ctx)
		if err != nil {
			return err
		}
		if p := v.Point(cp); p == nil || len(p.Connectors) != 1 || !holds(&p.Connectors[0]) {
			return fmt.Errorf("%s is %+v", cp, p)
		}
		return nil
	})
}

// start asks Central for a session.
func (r *rig) start(username charge.Username) (id charge.SessionID) {
	r.Helper()
	await(r.T, "a session is asked for", func(ctx context.Context) (err error) {
		id, err = r.network.API.StartSession(ctx, cp, 1, username)
		return err
	})
	return id
}

// energyFlows waits until Central shows energy of the session that runs.
func (r *rig) energyFlows() {
	r.Helper()
	r.connector("energy flows", func(c *operator.ConnectorView) bool { return c.SessionID != "" && c.Energy > 0 })
}

// relayHigh waits until the relay's pin is high, if the control loop was late and
// opened: on a busy host it is now and then.
func (r *rig) relayHigh() {
	r.Helper()
	await(r.T, "the relay is high", func(context.Context) error {
		_, err := r.relayAt(r.now(), true)
		return err
	})
}

// ticket waits for the ticket of a session and checks its energy and reason.
func (r *rig) ticket(id charge.SessionID, energy charge.WattHours, reason charge.StopReason) {
	r.Helper()
	var found []operator.Ticket
	await(r.T, "a ticket", func(ctx context.Context) error {
		all, err := r.network.API.Tickets(ctx)
		found = slices.DeleteFunc(all, func(t operator.Ticket) bool { return t.SessionID != id })
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("none of %s", id)
		}
		return err
	})
	if len(found) != 1 || found[0].Energy != energy || found[0].Reason != reason || energy == 0 {
		r.Errorf("tickets %+v; want one over the %d Wh of the meter, %s", found, energy, reason)
	}
}

// session: the plug is moved, Central authorizes, energy flows, the plug is
// pulled.
func (r *rig) session() {
	r.Helper()
	before := r.counted()
	r.plugIn()
	r.status(charge.StatusPreparing)
	asked := r.now()
	id := r.start("first")
	r.measure("Central's command → relay high", asked, true)
	r.energyFlows()
	r.relayHigh()
	const pulled = "unplugged → relay low"
	r.within(pulled, r.measure(pulled, r.unplug(), false), hal.MaxSafetyAge)
	r.status(charge.StatusAvailable)
	r.ticket(id, r.counted()-before, charge.StopUnplugged)
}

// agentDies: init kills the agent in a session, opens the relay and starts the
// agent again.
func (r *rig) agentDies() {
	r.Helper()
	before := r.counted()
	r.plugIn()
	r.status(charge.StatusPreparing)
	id := r.start("second")
	r.energyFlows()
	from := len(r.machine.console())
	r.relayHigh()
	const killed = "agent killed → relay low"
	r.within(killed, r.measure(killed, r.push(pi.KillButton), false), hal.MaxAgentGone)
	low := r.now()
	await(r.T, "init kills the agent", r.machine.printed(from, "kill -9"))
	r.release(pi.KillButton)
	await(r.T, "init starts the agent again", r.machine.printed(from, "agent started"))
	r.ticket(id, r.counted()-before, charge.StopPowerLoss)
	r.unplug()
	r.status(charge.StatusAvailable)
	if r.wentHigh(low) {
		r.Error("the relay's pin went high again")
	}
}

// powerCut: the supply fails in a session and returns.
func (r *rig) powerCut() {
	r.Helper()
	before := r.counted()
	r.plugIn()
	r.status(charge.StatusPreparing)
	id := r.start("third")
	r.energyFlows()
	r.cutPower()
	cut := moment{at: time.Now()}
	r.boot()
	r.ticket(id, r.counted()-before, charge.StopPowerLoss)
	if r.wentHigh(cut) {
		r.Error("the relay's pin was high after the power cut")
	}
	r.unplug()
	r.status(charge.StatusAvailable)
}

// emergencyStop: the session was started before the plug; the stop opens.
func (r *rig) emergencyStop() {
	r.Helper()
	before := r.counted()
	from := len(r.machine.console())
	id := r.start("fourth")
	await(r.T, "the agent accepts the command", r.machine.printed(from, string(wire.TypeCommandAccepted)))
	r.measure("plugged → relay high", r.plugIn(), true)
	r.energyFlows()
	r.relayHigh()
	const stopped = "emergency stop → relay low"
	r.within(stopped, r.measure(stopped, r.pressStop(true), false), hal.MaxSafetyAge)
	r.status(charge.StatusFaulted)
	r.ticket(id, r.counted()-before, charge.StopEmergency)
	r.unplug()
}

// switchOff: the agent stops in good order and the machine goes off by itself.
func (r *rig) switchOff() {
	r.Helper()
	from := len(r.machine.console())
	r.push(pi.PowerButton)
	r.machine.awaitOff()
	if out := r.machine.console()[from:]; !strings.Contains(out, "agent ended: exit status 0") {
		r.Errorf("the agent did not end in good order:\n%s", out)
	}
}

// checkBooks compares card, meter and Central.
func (r *rig) checkBooks() {
	r.Helper()
	ctx := r.Context()
	v, err := r.network.API.Network(ctx)
	r.must(err)
	if b := v.Books; b.Lost != 0 || b.Twice != 0 || b.Unaccounted != 0 || b.Unacked != 0 {
		r.Errorf("Central's books: %+v", b)
	}
	tickets, err := r.network.API.Tickets(ctx)
	r.must(err)
	var billed charge.WattHours
	for _, t := range tickets {
		billed += t.Energy
	}
	if metered := r.counted() - r.first; len(tickets) != 4 || billed != metered {
		r.Errorf("%d tickets over %d Wh; the meter counted %d in 4 sessions", len(tickets), billed, metered)
	}
	dir := filepath.Join(r.machine.dir, "journal")
	r.must(os.Mkdir(dir, 0o700))
	s := needSystem(r.T)
	run(r.T, s.debugfs, "-R", fmt.Sprintf("rdump %s %s", strings.TrimPrefix(pi.JournalDir, pi.DataDir), dir), r.machine.card)
	a := reconcile(r.T, r.network, cp, filepath.Join(dir, filepath.Base(pi.JournalDir)))
	r.Logf("%d records on the card, %d of them in Central; %d sessions, %d tickets; %d Wh metered, %d billed",
		a.Journalled, a.Applied, a.Sessions, len(tickets), r.counted()-r.first, billed)
}

// print prints the times and the agent's memory, for docs/EVIDENCE.md.
func (r *rig) print() {
	r.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "what\ttook\ton the host's clock")
	for _, m := range r.times {
		_, _ = fmt.Fprintf(w, "%s\t%v\t%v\n", m.what, m.own.Round(time.Millisecond), m.host.Round(time.Millisecond))
	}
	_ = w.Flush() // a Builder does not fail
	r.Logf("\n%s", b.String())
	jitter := controlMetrics(r.machine.console())
	r.Logf("control loop, from its last start on:\n%s", strings.Join(jitter, "\n"))
	if len(jitter) == 0 {
		r.Error("the agent has no figures of its control loop")
	}
	const most = 20_000 // kB
	kB := peakMemory(r.machine.console())
	r.Logf("peak memory of the agent: %d kB", kB)
	if kB == 0 || kB > most {
		r.Errorf("peak memory of the agent: %d kB; at most %d are allowed", kB, most)
	}
}

// controlMetrics is what init has printed of the agent's figures of its control loop.
func controlMetrics(console string) (lines []string) {
	for line := range strings.Lines(console) {
		if _, value, found := strings.Cut(strings.TrimSpace(line), " "+pi.ControlMetrics); found {
			lines = append(lines, pi.ControlMetrics+value)
		}
	}
	return lines
}

// peakMemory is the largest that init has printed, in kB.
func peakMemory(console string) (peak int) {
	for line := range strings.Lines(console) {
		if _, value, found := strings.Cut(line, pi.MemoryLine+" "); found {
			kB, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err == nil {
				peak = max(peak, kB)
			}
		}
	}
	return peak
}
