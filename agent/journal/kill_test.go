package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
)

const childDir = "CARGA_TEST_JOURNAL_DIR"

// TestMain is also the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Println("error", appendForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendForEver prints the number of each record once it is durable.
func appendForEver(dir string) error {
	fs, err := journal.OS(dir)
	if err != nil {
		return err
	}
	boot := charge.JournalID(fmt.Sprint("p", os.Getpid()))
	l, _, err := journal.Open(fs, journal.Options{CP: cp, Journal: boot, SegmentSize: 8192, RetainBytes: 64 << 10})
	if err != nil {
		return err
	}
	for seq := charge.Seq(1); ; seq++ {
		if err := l.Append(journal.Normal, record(strings.Repeat("x", int(seq*37)%500))); err != nil {
			return err
		}
		fmt.Println(boot, seq)
		if seq%40 == 0 {
			if err := l.SetPosition(journal.Position{Central: central(), Journal: boot, Seq: seq / 2}); err != nil {
				return err
			}
		}
	}
}

// TestKilled: a process that is killed at any moment loses no record whose number
// it has printed.
func TestKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for round := range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		c := exec.CommandContext(ctx, self)
		c.Env = append(os.Environ(), childDir+"="+dir)
		out, err := c.StdoutPipe()
		must(t, err)
		must(t, c.Start())
		printed := bufio.NewScanner(out)
		last := ""
		for n := 0; printed.Scan(); n++ {
			last = printed.Text()
			if n == 20*round {
				_ = c.Process.Kill() // what it has printed since is still read
			}
		}
		_ = c.Wait() // it was killed
		cancel()
		var boot charge.JournalID
		var seq charge.Seq
		if _, err := fmt.Sscan(last, &boot, &seq); err != nil || boot == "error" {
			t.Fatalf("round %d: it printed %q", round, last)
		}
		l, rec := open(t, dir, 100+round)
		if len(rec.Damaged) > 0 || rec.Last == nil || rec.Last.Journal != boot || rec.Last.Seq < seq || rec.Last.Seq > seq+1 {
			t.Fatalf("round %d: it printed %s/%d; found %+v, damaged %+v", round, boot, seq, rec.Last, rec.Damaged)
		}
		all(t, l)
		must(t, l.Close())
	}
}

// BenchmarkRecovery of 100 000 records.
func BenchmarkRecovery(b *testing.B) {
	const records = 100_000
	dir := b.TempDir()
	fs, err := journal.OS(dir)
	must(b, err)
	o := journal.Options{CP: cp, Journal: "b1", Checkpoint: func() ([]byte, error) { return []byte("state"), nil }}
	l, _, err := journal.Open(fs, o)
	must(b, err)
	group := make([]journal.Encode, 500)
	for i := range group {
		group[i] = record(strings.Repeat("x", 300))
	}
	for range records / len(group) {
		must(b, l.Append(journal.Normal, group...))
	}
	must(b, l.Close())
	o.Journal = "b2"
	for b.Loop() {
		l, rec, err := journal.Open(fs, o)
		if err != nil || rec.Last.Seq != records {
			b.Fatal(err, rec.Last)
		}
		must(b, l.Close())
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
