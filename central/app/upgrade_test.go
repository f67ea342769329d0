package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// earlier holds what earlier versions left, a folder for each: the database, the
// exported settings and the records of Kafka. A folder is never changed. To add
// today's, name it:
//
//	CARGA_FIXTURE=v1 go test -run TestFixture ./agent/app ./central/app
const earlier = "testdata/earlier"

// left is points.json: the charging points with all that they wrote.
type left struct {
	Points  []*journaltest.Point
	Tickets int64
	Billed  charge.WattHours
}

func TestFixture(t *testing.T) {
	name := os.Getenv("CARGA_FIXTURE")
	if name == "" {
		t.Skip("writes a folder only when CARGA_FIXTURE names it")
	}
	dir, path := filepath.Join(earlier, name), db(t)
	if err := os.MkdirAll(earlier, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o750); err != nil { // one that exists stays as it is
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		cfg.Network.AdmitAutomatically = false
		c, o := w.central(cfg), w.others(cfg)
		l := left{Points: []*journaltest.Point{journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")}}
		for n := range 2 {
			for _, p := range l.Points {
				p.Charge(n)
			}
		}
		l.Points[1].Boot()
		for _, p := range l.Points {
			o.publish(wire.TopicEvents, p.All...)
			o.publish(wire.TopicMonitor, p.Presence(1, charge.Epoch{}))
		}
		time.Sleep(5 * time.Second)
		c.post(w, "/api/v1/cps/CP_1/admit", "")
		c.post(w, "/api/v1/availability", `{"cp_id":"CP_2","available":false}`)
		time.Sleep(5 * time.Second)
		sums, err := c.central.Totals(t.Context())
		if err != nil || sums.Tickets != 4 {
			t.Fatalf("totals: %+v %v", sums, err)
		}
		l.Tickets, l.Billed = sums.Tickets, sums.Billed
		write("settings.json", export(t, path))
		c.stop()
		o.stop()
		points, err := json.MarshalIndent(l, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		write("points.json", points)
	})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write("central.db.gz", packed.Bytes())
}

// unpack writes the database of an earlier version to a file.
func unpack(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEarlierVersions: this version opens the database of each earlier one and
// bills on; and makes the same books from its settings and Kafka alone.
func TestEarlierVersions(t *testing.T) {
	versions, err := os.ReadDir(earlier)
	if err != nil || len(versions) == 0 {
		t.Fatalf("got %v %v, want a folder for each version", versions, err)
	}
	for _, v := range versions {
		t.Run(v.Name(), func(t *testing.T) {
			dir, path, rebuilt := filepath.Join(earlier, v.Name()), db(t), db(t)
			unpack(t, filepath.Join(dir, "central.db.gz"), path)
			kept, err := os.ReadFile(filepath.Join(dir, "settings.json"))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "points.json"))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				l := left{Points: []*journaltest.Point{journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")}}
				if err := json.Unmarshal(raw, &l); err != nil {
					t.Fatal(err)
				}
				w := newWorld(t)
				w.kafka()
				defer w.kafkaGone()
				cfg := settings(path)
				cfg.Network.AdmitAutomatically = false
				o := w.others(cfg)
				for _, p := range l.Points {
					o.publish(wire.TopicEvents, p.All...)
				}
				time.Sleep(time.Second)
				sum, rebuiltHash := rebuildFrom(t, w, cfg, kept, rebuilt)
				if sum.Tickets != l.Tickets {
					t.Errorf("rebuilt: %d tickets, want %d", sum.Tickets, l.Tickets)
				}

				c := w.central(cfg) // migrates the database
				time.Sleep(5 * time.Second)
				c.stop()
				if hash := verifiedHash(t, path); hash != rebuiltHash {
					t.Errorf("ledger hash: upgraded %s, rebuilt %s", hash, rebuiltHash)
				}

				c = w.central(cfg)
				known := len(l.Points[0].All)
				l.Points[0].Charge(9)
				o.publish(wire.TopicEvents, l.Points[0].All[known:]...)
				time.Sleep(10 * time.Second)
				sums, err := c.central.Totals(t.Context())
				if err != nil || sums.Tickets != l.Tickets+1 || sums.Billed != l.Billed+2100 || sums.Lost != 0 {
					t.Errorf("totals after a further session: %+v %v; were %d tickets, %d Wh", sums, err, l.Tickets, l.Billed)
				}
				c.stop()
				o.stop()
			})
		})
	}
}
