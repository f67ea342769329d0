package app_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/wire"
)

// earlier holds what earlier versions left on their disks, a folder for each: the
// journal of an agent that was killed in mid-session, agent.yaml and board.yaml. A
// folder is never changed. To add today's, name it:
//
//	CARGA_FIXTURE=v1 go test -run TestFixture ./agent/app ./central/app
const earlier = "testdata/earlier"

// fixture returns the name of the folder that is to be written, or ends the test.
func fixture(t *testing.T) string {
	t.Helper()
	name := os.Getenv("CARGA_FIXTURE")
	if name == "" {
		t.Skip("writes a folder only when CARGA_FIXTURE names it")
	}
	dir := filepath.Join(earlier, name)
	if err := os.MkdirAll(earlier, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o750); err != nil { // one that exists stays as it is
		t.Fatal(err)
	}
	return dir
}

func TestFixture(t *testing.T) {
	dir := fixture(t)
	for name, from := range map[string]string{"agent.yaml": "agent.yaml", "board.yaml": "boards/hat-pwm.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../configs", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPoint(t, onDisk(filepath.Join(dir, "journal")))
		p.play(func() {
			p.startOn(nil)
			p.ready()
			p.do(p.board.Plug(1))
			p.status(3*time.Second, charge.StatusCharging)
			time.Sleep(time.Minute)
			p.do(p.board.Unplug(1))
			p.status(time.Minute, charge.StatusAvailable)
			p.do(p.board.Plug(1))
			p.status(3*time.Second, charge.StatusCharging)
			time.Sleep(time.Minute)
			p.kill()
		})
	})
	// Empty space, which each agent makes again.
	if err := os.Remove(filepath.Join(dir, "journal", "reserve")); err != nil {
		t.Fatal(err)
	}
}

// onDisk is a charging point whose journal is in a folder, and where each vehicle
// may charge.
func onDisk(dir string) func(*app.Config, *sim.Config) {
	return func(c *app.Config, _ *sim.Config) { c.DataDir, c.Policies.FreeVend = dir, true }
}

// TestEarlierVersions: this version reads the settings and the journal of each
// earlier one, and ends the session that was running then, with its energy.
func TestEarlierVersions(t *testing.T) {
	versions, err := os.ReadDir(earlier)
	if err != nil || len(versions) == 0 {
		t.Fatalf("got %v %v, want a folder for each version", versions, err)
	}
	for _, v := range versions {
		t.Run(v.Name(), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(earlier, v.Name()))); err != nil {
				t.Fatal(err)
			}
			makeWritable(t, dir)
			cfg := app.DefaultConfig()
			if err := config.Load(&cfg, config.Options{Path: filepath.Join(dir, "agent.yaml"), EnvPrefix: app.EnvPrefix, Environ: []string{
				app.EnvPrefix + "HARDWARE__KIND=rpi", app.EnvPrefix + "HARDWARE__RPI__BOARD=" + filepath.Join(dir, "board.yaml"),
			}}); err != nil {
				t.Errorf("its settings: %v", err)
			}
			dir = filepath.Join(dir, "journal")
			running := lastSession(t, dir)
			if running.stopped {
				t.Fatal("no session was running")
			}
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				p := newPoint(t, func(c *app.Config, hw *sim.Config) {
					onDisk(dir)(c, hw)
					hw.Registers = []charge.WattHours{running.register + 7}
				})
				p.play(func() {
					p.startOn(nil)
					time.Sleep(10 * time.Second)
					ended := lastSession(t, dir)
					if !ended.stopped || ended.id != running.id || ended.register != running.register+7 || ended.reason != charge.StopPowerLoss {
						t.Errorf("the session that ran is %+v, was %+v", ended, running)
					}
				})
			})
		})
	}
}

// makeWritable undoes what a checkout may have made of the files' modes.
func makeWritable(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(name, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// session is the last one in a journal.
type session struct {
	id       charge.SessionID
	register charge.WattHours
	stopped  bool
	reason   charge.StopReason
}

// lastSession reads a journal, which must be without damage.
func lastSession(t *testing.T, dir string) (f session) {
	t.Helper()
	files, err := journal.ReadOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	report, err := journal.Inspect(files)
	if err != nil || len(report.Damaged) > 0 {
		t.Fatalf("journal: %v, damaged %v", err, report.Damaged)
	}
	err = report.Each(func(e journal.Entry) error {
		m, err := wire.DecodeRecord(e.Bytes)
		if err != nil {
			return err
		}
		payload, err := m.Payload()
		switch p := payload.(type) {
		case *wire.Authorized:
			f = session{id: m.SessionID, register: p.Register}
		case *wire.MeterRead:
			f.register = p.Register
		case *wire.ChargingStopped:
			f.id, f.register, f.stopped, f.reason = m.SessionID, p.Register, true, p.Reason
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
