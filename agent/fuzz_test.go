package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// note writes a record that contains a text of unknown origin.
func note(text string) journal.Encode {
	return func(seq charge.Seq, prev string) ([]byte, error) {
		m, err := wire.NewRecord(&wire.AnomalySeen{Anomaly: "seen", Detail: text})
		if err != nil {
			return nil, err
		}
		m.CPID, m.Journal, m.Seq, m.Prev, m.At = "CP_001", "b1", seq, prev, 1
		return m.Encode()
	}
}

// FuzzExport: whatever texts the records hold and whatever became of their file,
// the export has each record that an agent would still find there, in one line
// with its bytes; inspection and verification come to an end, and a file that
// was not changed is good.
func FuzzExport(f *testing.F) {
	f.Add("plain\nnot so plain\x00\u2028\u2029 <&> \\n é", uint16(0), byte(0))
	f.Add(strings.Repeat("a text that is long enough for some frames|", 20), uint16(700), byte(1))
	f.Add("", uint16(3), byte(0xff))
	f.Fuzz(func(t *testing.T, texts string, at uint16, change byte) {
		if len(texts) > 4096 {
			return
		}
		d := journaltest.New()
		l, _, err := journal.Open(d, journal.Options{CP: "CP_001", Journal: "b1", SegmentSize: 4096, Reserve: 1})
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.SplitSeq(texts, "|") {
			if err := l.Append(journal.Normal, note(strings.ToValidUTF8(text, "?"))); err != nil {
				break // longer than a record may be, or full
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		const name = "000000000001.seg"
		if b := d.ReadFile(name); change != 0 && len(b) > 0 {
			b[int(at)%len(b)] ^= change
			d.WriteFile(name, b)
		}
		r, err := journal.Inspect(d)
		if err != nil {
			return // of a later version, by its header
		}
		var out, words bytes.Buffer
		if err := export(r, &out); err != nil {
			t.Fatal(err)
		}
		if want := problems(t, d); out.String() != want {
			t.Fatalf("exported\n%q\nwant\n%q", out.String(), want)
		}
		if err := inspect(r, &words); err != nil || words.Len() == 0 {
			t.Fatal(err)
		}
		if err := verify(r, &words); (err != nil) != (len(troubles(r)) > 0) || err != nil && change == 0 {
			t.Fatalf("verification of a file with byte %d changed by %02x: %v\n%s", at, change, err, words.String())
		}
	})
}

// problems is what an agent finds when it starts on the disk: each record in a line.
// Each line is a record.
func problems(t *testing.T, d *journaltest.Disk) string {
	t.Helper()
	l, _, err := journal.Open(d.Clone(), journal.Options{CP: "CP_001", Journal: "b2", SegmentSize: 4096, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range l.Held() {
		for i := range uint64(r.Last-r.First) + 1 {
			e, err := l.Read(r.Index + i)
			if err != nil {
				t.Fatal(err)
			}
			if rec, err := wire.DecodeRecord(e.Bytes); err != nil || rec.Seq != e.Seq || bytes.ContainsAny(e.Bytes, "\r\n") {
				t.Fatalf("%q is held as record %d: %v", e.Bytes, e.Seq, err)
			}
			b.Write(e.Bytes)
			b.WriteByte('\n')
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
