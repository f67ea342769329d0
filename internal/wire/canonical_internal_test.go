package wire

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/charge"
)

// general decodes without the short way.
func general(raw []byte) (Record, error) {
	var r Record
	err := decode("record", "", raw, &r)
	return r, err
}

// sameAsGeneral: what the short way accepts, the general way reads the same.
func sameAsGeneral(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, raw []byte,
) (short bool) {
	t.Helper()
	var r Record
	if !r.canonical(raw) {
		return false
	}
	want, err := general(raw)
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Fatalf("%s\nis read as %+v\nwant %+v, %v", raw, r, want, err)
	}
	return true
}

// TestRecordsGoTheShortWay: every record as Encode writes it does.
func TestRecordsGoTheShortWay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*record*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden records: %v", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := general(raw)
		if err != nil {
			continue // not a record by itself
		}
		written, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !sameAsGeneral(t, written) {
			t.Errorf("%s goes the general way:\n%s", f, written)
		}
	}
}

func record(t *rapid.T) Record {
	id := rapid.StringMatching(`[A-Za-z0-9_-]{1,36}`)
	r := Record{
		V: rapid.IntRange(1, 3).Draw(t, "v"), CPID: charge.CPID(id.Draw(t, "cp")), Journal: charge.JournalID(id.Draw(t, "journal")),
		Seq: charge.Seq(rapid.Uint64Range(1, 1<<53).Draw(t, "seq")), Prev: rapid.StringMatching(`([0-9a-f]{64})?`).Draw(t, "prev"),
		Type: RecordType(rapid.StringN(1, 20, 64).Draw(t, "type")), Connector: charge.ConnectorID(rapid.IntRange(0, 4).Draw(t, "connector")),
		SessionID: charge.SessionID(rapid.StringMatching(`[A-Za-z0-9_-]{0,36}`).Draw(t, "session")),
		At:        charge.Time(rapid.Int64Range(0, int64(charge.MaxTime)).Draw(t, "at")),
		Clock:     rapid.SampledFrom([]charge.ClockQuality{"", charge.ClockSynced, charge.ClockSet, charge.ClockUnset}).Draw(t, "clock"),
		UptimeMS:  rapid.Int64Range(0, 1<<53).Draw(t, "uptime"),
	}
	if rapid.Bool().Draw(t, "some") {
		data, err := json.Marshal(rapid.MapOf(rapid.StringN(0, 5, 10), rapid.SampledFrom([]any{1, -2.5e9, "é\n", nil, true, []any{1, "x"}, map[string]any{"a": 1}})).Draw(t, "data"))
		if err != nil {
			t.Fatal(err)
		}
		r.Data = data
	}
	return r
}

// TestTheShortWayIsNoOther changes records at random: the short way never
// accepts what the general way refuses, and reads nothing differently.
func TestTheShortWayIsNoOther(t *testing.T) {
	short := 0
	rapid.Check(t, func(t *rapid.T) {
		m := record(t)
		raw, err := json.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		if sameAsGeneral(t, raw) {
			short++
		}
		pieces := []string{`"`, `\`, `}`, `{`, `,`, ` `, `0`, `-`, `1e3`, `null`, `,"seq":2`, `,"SEQ":2`, "\x00", "\xff", `:`, `\u0041`, `é`, `"data":{}`, `[]`}
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(raw)).Draw(t, "place")
			to := min(len(raw), at+rapid.IntRange(0, 3).Draw(t, "cut"))
			raw = slices.Concat(raw[:at], []byte(rapid.SampledFrom(pieces).Draw(t, "piece")), raw[to:])
			sameAsGeneral(t, raw)
		}
	})
	if short == 0 {
		t.Error("no record went the short way")
	}
}

// TestWhatIsOfAnotherFormGoesTheGeneralWay, and is read or refused there.
func TestWhatIsOfAnotherFormGoesTheGeneralWay(t *testing.T) {
	good := `{"v":1,"cp_id":"CP_1","journal":"j","seq":1,"prev":"","type":"unplugged","connector":1,"at":"2026-11-22T10:00:00.000Z","clock":"synced","uptime_ms":5,"data":{"a":1}}`
	var r Record
	if !r.canonical([]byte(good)) {
		t.Fatal("the good one goes the general way")
	}
	for name, c := range map[string]struct{ from, to string }{
		"a space":          {`{"v"`, `{ "v"`},
		"an unknown field": {`,"data"`, `,"more":1,"data"`},
		"data twice":       {`}}`, `},"data":{}}`},
		"a key twice":      {`{"a":1}`, `{"a":1,"A":2}`},
		"too deep":         {`{"a":1}`, `{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`},
		"something behind": {`}}`, `}}1`},
		"cut off":          {`}}`, `}`},
		"a leading zero":   {`"seq":1`, `"seq":01`},
		"a large number":   {`"seq":1`, `"seq":1000000000000000000000`},
		"seq 0":            {`"seq":1`, `"seq":0`},
		"a bad id":         {`CP_1`, `CP/1`},
		"no time":          {`2026-11-22T`, `2026-13-22T`},
		"an escape":        {`CP_1`, `CP\u005f1`},
		"null":             {`"data":{"a":1}`, `"data":null`},
		"bad UTF-8":        {`"a"`, "\"\xff\""},
		"too large":        {`{"a":1}`, `{"a":"` + strings.Repeat("x", MaxMessage) + `"}`},
	} {
		raw := strings.Replace(good, c.from, c.to, 1)
		if raw == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if new(Record).canonical([]byte(raw)) {
			t.Errorf("%s goes the short way", name)
		}
	}
}

func BenchmarkEnvelope(b *testing.B) {
	raw := []byte(`{"v":1,"cp_id":"CP_0001","journal":"0198c2a0-7b1e-7c3a-9f00-1234567890ab","seq":42,"prev":"` + strings.Repeat("0af1", 16) +
		`","type":"meter_read","connector":1,"session_id":"0198c2a0-7b1e-7c3a-9f00-1234567890ac","at":"2026-11-22T10:00:00.000Z","clock":"synced","uptime_ms":73512,"data":{"register_wh":1204331,"power_w":11000}}`)
	for name, decode := range map[string]func([]byte) (Record, error){"short": DecodeRecord, "general": general} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decode(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
