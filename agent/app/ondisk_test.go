package app_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestManyDamagedRanges: a boot reports a disk with more bad ranges than one
// record can name.
func TestManyDamagedRanges(t *testing.T) {
	dir := t.TempDir()
	fs, err := journal.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := journal.Open(fs, journal.Options{CP: theCP, Journal: "b1", SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for range 400 {
		err := l.Append(journal.Normal, func(seq charge.Seq, prev string) ([]byte, error) {
			m, err := wire.NewRecord(&wire.AnomalySeen{Anomaly: "test"})
			if err != nil {
				return nil, err
			}
			m.CPID, m.Journal, m.Seq, m.Prev, m.At = theCP, "b1", seq, prev, 1
			return m.Encode()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for seq := 2; seq < 400; seq += 2 {
			if i := bytes.Index(b, fmt.Appendf(nil, `"seq":%d,`, seq)); i > 0 {
				b[i] = 'X'
			}
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPoint(t, func(c *app.Config, _ *sim.Config) { c.DataDir = dir })
		p.play(func() {
			p.startOn(nil)
			time.Sleep(time.Second)
			if s := p.agent.Status(); s.Held < 202 || s.Journal == "" {
				t.Errorf("got %+v", s)
			}
		})
	})
	report := registered(t, dir)
	if len(report.Damaged) != 1 || report.Damaged[0].First != 2 || report.Damaged[0].Last != 398 || report.Damaged[0].Journal != "b1" {
		t.Errorf("named %+v", report.Damaged)
	}
}

// registered is the last cp_registered in a folder.
func registered(t *testing.T, dir string) (reg *wire.Registered) {
	t.Helper()
	fs, err := journal.ReadOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := journal.Inspect(fs)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Each(func(e journal.Entry) error {
		m, err := wire.DecodeRecord(e.Bytes)
		if err != nil {
			return err
		}
		p, err := m.Payload()
		if g, ok := p.(*wire.Registered); ok {
			reg = g
		}
		return err
	})
	if err != nil || reg == nil {
		t.Fatal(reg, err)
	}
	return reg
}
