package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/operator"
)

// root is the module's folder, relative to this one.
const root = "../.."

// TestMain removes the built programs at the end.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "carga")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := os.Setenv("CARGA_TEST_BIN", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// toxiproxy leaks a goroutine where a connection ends while its toxic is
	// removed.
	stuck := goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")
	reading := goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read")
	goleak.VerifyTestMain(m, stuck, reading, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// programs builds the four programs, once for all tests, and returns their
// folder.
func programs(t *testing.T) string {
	t.Helper()
	return build(t, "plain")
}

// build builds the programs with flags, once for each name, into a folder of
// that name.
func build(t *testing.T, name string, flags ...string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv("CARGA_TEST_BIN"), name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// Parallel tests call this after a sequential part has built.
	lock, err := os.OpenFile(filepath.Join(dir, "built"), os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return dir
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"build", "-o", dir + "/"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./agent", "./bridge", "./central", "./sim")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// folder makes a folder with a path short enough for sockets. It is kept when
// the test fails.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carga") //nolint:usetesting // the name of the test is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("everything is kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mosquitto(t *testing.T) chaos.Engines {
	t.Helper()
	return chaos.Engines{
		Mosquitto:     need.Program(t, "mosquitto", "apt-get install mosquitto"),
		MosquittoConf: filepath.Join(root, "configs/mosquitto.conf"),
	}
}

// onePoint starts a network of one charging point, which charges slowly enough
// for a session to outlast the test.
func onePoint(t *testing.T, resume bool) *chaos.Network {
	t.Helper()
	n, err := chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: programs(t), Dir: folder(t), Engines: mosquitto(t), Points: 1, Connectors: 1, Seed: 1, Power: 11_000,
		Resume: resume, Partitions: 1, KeepAlive: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// limit bounds each wait, for a test that hangs; it is not a measurement.
const limit = 90 * time.Second

func await(t *testing.T, what string, look func(context.Context) error) {
	t.Helper()
	if err := chaos.Await(t.Context(), limit, look); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// charging waits for a session with energy, and starts one if there is none.
func charging(t *testing.T, n *chaos.Network) operator.Session {
	t.Helper()
	p := n.Points[0]
	asked := time.Time{}
	var now operator.Session
	await(t, "a session that charges", func(ctx context.Context) error {
		v, err := n.API.Network(ctx)
		if err != nil {
			return err
		}
		if cp := v.Point(p.ID); cp == nil || cp.Link != "online" {
			return errors.New("the charging point is not online")
		}
		open, err := n.API.Sessions(ctx, "open")
		if err != nil {
			return err
		}
		if len(open) == 0 {
			if time.Since(asked) > 10*time.Second {
				asked = time.Now()
				_, err = n.API.StartSession(ctx, p.ID, 1, "ana")
			}
			return errors.Join(err, errors.New("no session is open"))
		}
		if now = open[0]; now.Last == now.Start {
			return errors.New("no energy flows")
		}
		return nil
	})
	return now
}

// caughtUp waits until Central has all energy that the board has counted by
// now, or until the session has ended.
func caughtUp(t *testing.T, n *chaos.Network, id charge.SessionID) operator.Session {
	t.Helper()
	board, err := n.Points[0].Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found operator.Session
	await(t, "Central catches up", func(ctx context.Context) error {
		all, err := n.API.Sessions(ctx, "")
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.ID == id && (s.State == "closed" || s.Last > board.Connectors[0].Register) {
				found = s
				return nil
			}
		}
		return fmt.Errorf("session %s is not beyond %d Wh: %+v", id, board.Connectors[0].Register, all)
	})
	return found
}

// TestKilledInMidSession kills each process during a session. The contactor
// opens when its agent is killed, the session continues or ends according to
// the policy, there is one ticket per session, and every Wh of the board's
// register is on a ticket.
func TestKilledInMidSession(t *testing.T) {
	programs(t)
	for _, resume := range []bool{false, true} {
		t.Run(fmt.Sprintf("resume=%v", resume), func(t *testing.T) {
			t.Parallel()
			n := onePoint(t, resume)
			p := n.Points[0]
			if err := p.Controls().Plug(1); err != nil {
				t.Fatal(err)
			}
			for _, victim := range []*chaos.Process{p.Agent, n.Bridge, n.Central, n.MQTT, n.Kafka} {
				before := charging(t, n)
				kill(t, p, victim)
				if err := victim.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				after := caughtUp(t, n, before.ID)
				want := "open"
				if victim == p.Agent && !resume {
					want = "closed"
				}
				if after.State != want || (want == "closed" && after.Reason != charge.StopPowerLoss) {
					t.Errorf("%s killed, resume %v: the session is %s (%s), want %s", victim.Name, resume, after.State, after.Reason, want)
				}
			}
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
			sessions := int64(1)
			if !resume {
				sessions = 2
			}
			if a.Sessions != sessions || a.Tickets != sessions || a.Metered == 0 || a.Unaccounted != 0 || a.Lost() != 0 {
				t.Errorf("got %+v; want %d sessions with a ticket each and all energy on them", a, sessions)
			}
		})
	}
}

// kill kills a process, and of an agent waits until the contactor is open.
func kill(t *testing.T, p *chaos.Point, victim *chaos.Process) {
	t.Helper()
	if victim != p.Agent {
		if _, err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := p.KillAgent(); err != nil {
		t.Fatal(err)
	}
	// A new agent opens the contactor too, so it must not start before the
	// keeper had its time. Whether the keeper was in time is checked in the
	// trace at the end.
	await(t, "the contactor opens", func(ctx context.Context) error {
		s, err := p.Inspect(ctx)
		if err == nil && s.Connectors[0].Closed {
			err = fmt.Errorf("closed for %v", s.Mono-s.Connectors[0].Since)
		}
		return err
	})
}
