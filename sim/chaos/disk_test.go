package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/metrics/metricstest"
	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/operator"
)

// onSmallDisks starts a network of one charging point with two connectors, with
// file systems of their own for the journal and the database.
func onSmallDisks(t *testing.T) *chaos.Network {
	t.Helper()
	n, err := chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: programs(t), Dir: folder(t), Engines: mosquitto(t), Points: 1, Connectors: 2, Seed: 1, Power: 11_000,
		Partitions: 1, KeepAlive: 5 * time.Second, Disks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	need.That(t, n.NoDisks() == nil, "to mount a tmpfs", "run it as root on Linux")
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// healthShows is a look function for await: a check of /readyz fails with a
// reason that contains words, or is up if words is "".
func healthShows(t *testing.T, addr, check, words string) func(context.Context) error {
	t.Helper()
	page := metricstest.Page{T: t, Addr: addr}
	return func(context.Context) error {
		ok, checks := page.Ready() //nolint:contextcheck // the page asks with the test's
		c := checks[check]
		if c.Up != (words == "") || !strings.Contains(c.Reason, words) || words != "" && ok {
			return fmt.Errorf("ready %v, %+v", ok, c)
		}
		return nil
	}
}

// logContains is a look function for await.
func logContains(p *chaos.Process, words string) func(context.Context) error {
	return func(context.Context) error {
		raw, err := os.ReadFile(p.Log)
		if err == nil && !strings.Contains(string(raw), words) {
			err = fmt.Errorf("the log of %s does not contain %q", p.Name, words)
		}
		return err
	}
}

// awaitEnd waits for the end of a session, and returns it.
func awaitEnd(t *testing.T, n *chaos.Network, id charge.SessionID) (ended operator.Session) {
	t.Helper()
	await(t, "the session ends", func(ctx context.Context) error {
		all, err := n.API.Sessions(ctx, "")
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.ID == id && s.State == "closed" {
				ended = s
				return nil
			}
		}
		return fmt.Errorf("session %s is open", id)
	})
	return ended
}

// settleAndReconcile brings the network to rest and wants so many sessions,
// each with one ticket, all energy on the tickets, and nothing lost.
func settleAndReconcile(t *testing.T, n *chaos.Network, sessions int64) {
	t.Helper()
	if err := n.Settle(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	a, err := n.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range a.Violations {
		t.Error(v)
	}
	t.Logf("%+v", a)
	if a.Sessions != sessions || a.Tickets != sessions || a.Metered == 0 || a.Unaccounted != 0 || a.Lost() != 0 {
		t.Errorf("got %+v; want %d sessions with a ticket each and all energy on them", a, sessions)
	}
}

func journalWritten(t *testing.T, p *chaos.Point) float64 {
	t.Helper()
	return metricstest.Page{T: t, Addr: p.Health}.Scrape()["carga_agent_journal_written_total"]
}

func unacked(t *testing.T, p *chaos.Point) float64 {
	t.Helper()
	return metricstest.Page{T: t, Addr: p.Health}.Scrape()["carga_agent_journal_unacked_records"]
}

// acknowledgedIsStored checks that Central, if it crashed now, would find every
// acknowledged record on its disk.
func acknowledgedIsStored(t *testing.T, n *chaos.Network) {
	t.Helper()
	m := metricstest.Page{T: t, Addr: n.Points[0].Health}.Scrape()
	acknowledged := int(m["carga_agent_journal_records"] - m["carga_agent_journal_unacked_records"])
	stored, err := n.Stored(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d records acknowledged, %d stored", acknowledged, stored); acknowledged > stored || stored == 0 {
		t.Errorf("%d records are acknowledged, and %d stored", acknowledged, stored)
	}
}

// mustHold calls a look function once, which must succeed.
func mustHold(t *testing.T, what string, look func(context.Context) error) {
	t.Helper()
	if err := look(t.Context()); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// TestAgentOnAFullDisk fills the disk of the journal during a session. The
// agent reports it in /readyz, log and metrics, starts no new session, and ends
// the running one with a record in the reserve. It continues by itself once
// there is free space.
func TestAgentOnAFullDisk(t *testing.T) {
	programs(t)
	t.Parallel()
	n := onSmallDisks(t)
	p := n.Points[0]
	page := metricstest.Page{T: t, Addr: p.Health}
	if err := p.Controls().Plug(1); err != nil {
		t.Fatal(err)
	}
	running := charging(t, n)
	await(t, "all is well", healthShows(t, p.Health, "journal", ""))
	if err := p.FillDisk(); err != nil {
		t.Fatal(err)
	}
	await(t, "/readyz reports the full disk", healthShows(t, p.Health, "journal", "no new session starts"))
	await(t, "the log reports it", logContains(p.Agent, `"full":true`))
	m := page.Scrape()
	if q, up := m["carga_agent_journal_quota_ratio"], m[`carga_agent_check_up{check="journal"}`]; q < 0.9 || up != 0 {
		t.Errorf("metrics show %v of the space used, and the journal up: %v", q, up)
	}
	if _, err := n.API.StartSession(t.Context(), p.ID, 2, "ben"); err != nil {
		t.Fatal(err)
	}
	await(t, "a new session is refused", logContains(n.Central, "START at CP_001/2: rejected storage_full"))

	// The other cable is plugged and unplugged until the segment is full.
	for plugged := false; logContains(p.Agent, "records not written")(t.Context()) != nil; plugged = !plugged {
		move := p.Controls().Plug
		if plugged {
			move = p.Controls().Unplug
		}
		before := journalWritten(t, p)
		if err := move(2); err != nil {
			t.Fatal(err)
		}
		await(t, "the cable is seen", func(context.Context) error {
			if journalWritten(t, p) == before && logContains(p.Agent, "records not written")(t.Context()) != nil { //nolint:contextcheck // the page asks with the test's
				return errors.New("no record of it")
			}
			return nil
		})
	}
	await(t, "/readyz reports that nothing is written", healthShows(t, p.Health, "journal", "on the disk"))
	if err := n.API.StopSession(t.Context(), running.ID); err != nil {
		t.Fatal(err)
	}
	ended := awaitEnd(t, n, running.ID)
	mustHold(t, "the end is in the reserve", logContains(p.Agent, "final records use the journal's reserve"))
	if ended.Reason != charge.StopRemote || ended.Last == ended.Start {
		t.Errorf("got the end %+v", ended)
	}

	if err := p.FreeDisk(); err != nil {
		t.Fatal(err)
	}
	await(t, "/readyz is ok again", healthShows(t, p.Health, "journal", ""))
	if got := page.Scrape()["carga_agent_journal_quota_ratio"]; got >= 0.9 {
		t.Errorf("metrics show %v of the space used", got)
	}
	if err := p.Controls().Unplug(1); err != nil {
		t.Fatal(err)
	}
	_ = p.Controls().Unplug(2) // it may be unplugged
	if err := p.Controls().Plug(1); err != nil {
		t.Fatal(err)
	}
	next := charging(t, n)
	if next.ID == running.ID || p.Agent.Starts() != 1 {
		t.Errorf("session %s after %s, in %d starts; want another one without a restart", next.ID, running.ID, p.Agent.Starts())
	}
	settleAndReconcile(t, n, 2)
}

// TestCentralOnAFullDisk fills the disk of the database during a session.
// Central reports it in /readyz, log and metrics, refuses orders, acknowledges
// nothing that it has not stored, and continues by itself once there is free
// space; also if it was killed meanwhile.
func TestCentralOnAFullDisk(t *testing.T) {
	programs(t)
	t.Parallel()
	n := onSmallDisks(t)
	p := n.Points[0]
	if err := p.Controls().Plug(1); err != nil {
		t.Fatal(err)
	}
	running := charging(t, n)
	full := healthShows(t, n.HTTPAddr(), "database", "the disk of the database is full")
	for _, killed := range []bool{false, true} {
		if err := n.FillDatabase(); err != nil {
			t.Fatal(err)
		}
		await(t, "/readyz reports the full disk", full)
		if killed {
			if _, err := n.Central.Kill(); err != nil {
				t.Fatal(err)
			}
			acknowledgedIsStored(t, n)
			if err := n.Central.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			await(t, "/readyz of the next run reports it", func(ctx context.Context) error {
				if _, err := n.API.Network(ctx); err != nil {
					return err
				}
				return full(ctx)
			})
		}
		if up := (metricstest.Page{T: t, Addr: n.HTTPAddr()}).Scrape()[`carga_central_check_up{check="database"}`]; up != 0 {
			t.Errorf("metrics show the database up: %v", up)
		}
		mustHold(t, "the log reports it", logContains(n.Central, "the disk of the database is full"))
		var refused *operator.RefusedError
		if _, err := n.API.StartSession(t.Context(), p.ID, 2, "ben"); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
			t.Errorf("got %v; want an order refused with 503", err)
		}
		await(t, "the agent holds what is not stored", func(context.Context) error {
			if held := unacked(t, p); held < 5 { //nolint:contextcheck // the page asks with the test's
				return fmt.Errorf("%v records", held)
			}
			return nil
		})
		acknowledgedIsStored(t, n)
		if err := n.FreeDatabase(); err != nil {
			t.Fatal(err)
		}
		await(t, "/readyz is ok again", healthShows(t, n.HTTPAddr(), "database", ""))
		if s := caughtUp(t, n, running.ID); s.State != "open" {
			t.Errorf("the session is %s", s.State)
		}
	}
	if n.Central.Starts() != 2 || p.Agent.Starts() != 1 {
		t.Errorf("Central has started %d times, the agent %d; want 2 and 1", n.Central.Starts(), p.Agent.Starts())
	}
	settleAndReconcile(t, n, 1)
}
