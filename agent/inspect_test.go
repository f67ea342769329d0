package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/internal/wire"
)

// writeBoot writes a boot of n records into a journal; change may spoil them.
func writeBoot(t *testing.T, dir string, boot charge.JournalID, n int, change func(*wire.Record)) {
	t.Helper()
	fs, err := journal.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, found, err := journal.Open(fs, journal.Options{CP: "CP_001", Journal: boot})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		err := l.Append(journal.Normal, func(seq charge.Seq, prev string) ([]byte, error) {
			var p wire.Payload = &wire.PluggedIn{}
			if i == 0 {
				reg := &wire.Registered{Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable}}}
				if found.Last != nil {
					reg.After = &wire.Position{Journal: found.Last.Journal, Seq: found.Last.Seq}
				}
				p = reg
			}
			m, err := wire.NewRecord(p)
			if err != nil {
				return nil, err
			}
			m.CPID, m.Journal, m.Seq, m.Prev, m.At = "CP_001", boot, seq, prev, 1
			if i > 0 {
				m.Connector = 1
			}
			if change != nil {
				change(&m)
			}
			return m.Encode()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SetPosition(journal.Position{Central: epoch(1), Journal: boot, Seq: 2}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestJournalCommand(t *testing.T) {
	good := t.TempDir()
	writeBoot(t, good, "b1", 5, nil)
	writeBoot(t, good, "b2", 3, nil)
	damaged := t.TempDir()
	writeBoot(t, damaged, "b1", 5, nil)
	name := filepath.Join(damaged, "000000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte(`"seq":2`))+6] = '7'
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	spoilt := func(change func(*wire.Record)) string {
		dir := t.TempDir()
		writeBoot(t, dir, "b1", 2, nil)
		writeBoot(t, dir, "b2", 2, change)
		return dir
	}
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"inspect " + good, process.ExitOK, []string{"CP_001", "8 held, 1 not acknowledged", "b2/2, by Central 1-00000000000000ab", "000000000002.seg", "b1/5", "reserve         true"}},
		{"verify " + good, process.ExitOK, []string{"8 records of 2 segments are good"}},
		{"export " + good, process.ExitOK, []string{`"type":"cp_registered"`, `"journal":"b2","seq":3`}},
		{"inspect " + damaged, process.ExitOK, []string{"lost: b1/2 to 2"}},
		{"verify " + damaged, process.ExitFailed, []string{"lost: b1/2 to 2", "1 things are wrong"}},
		{"verify " + spoilt(func(m *wire.Record) { m.Prev = strings.Repeat("0", 64) }), process.ExitFailed, []string{"b2/1 does not carry the hash of b1/2", "b2/2"}},
		{"verify " + spoilt(func(m *wire.Record) { m.CPID = "CP_002" }), process.ExitFailed, []string{"charging point CP_002"}},
		{"verify " + spoilt(func(m *wire.Record) { m.Seq += 3 }), process.ExitFailed, []string{"b2/1 carries the number b2/4"}},
		{"verify " + spoilt(func(m *wire.Record) { m.Data = []byte(`{"connectors":[]}`) }), process.ExitFailed, []string{"b2/1 is the first of a journal and not"}},
		{"verify " + filepath.Join(good, "nothing"), process.ExitFailed, []string{"no such file"}},
		{"inspect " + t.TempDir(), process.ExitOK, []string{"0 held"}},
		{"", process.ExitUsage, []string{"usage: agent journal"}},
		{"repair " + good, process.ExitUsage, []string{"usage: agent journal"}},
		{"verify", process.ExitUsage, []string{"usage: agent journal"}},
		{"--help", process.ExitOK, []string{"usage: agent journal"}},
		{"verify --help", process.ExitOK, []string{"usage: agent journal"}},
	} {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"journal"}, strings.Fields(c.args)...), nil, &out, &out)
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out.String(), want) {
				t.Errorf("agent journal %s: got %d and\n%s\nwant %d and %q", c.args, code, out.String(), c.code, want)
			}
		}
	}
	if lines := exported(t, good); lines != 8 {
		t.Errorf("%d lines, want 8", lines)
	}
}

func exported(t *testing.T, dir string) int {
	t.Helper()
	var out, bad bytes.Buffer
	if code := run(t.Context(), []string{"journal", "export", dir}, nil, &out, &bad); code != process.ExitOK {
		t.Fatal(fmt.Sprint(code), bad.String())
	}
	return strings.Count(out.String(), "\n")
}

// epoch is the epoch of the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: "00000000000000ab"} }
