package wire

import (
	"encoding/json"
	"fmt"
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
	if !r.plain(raw) {
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
// accepts what the general way refuses, and decodes nothing differently.
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
	if !r.plain([]byte(good)) {
		t.Fatal("the good one goes the general way")
	}
	for name, c := range map[string]struct{ from, to string }{
		"a capital":        {`,"data"`, `,"More":1,"data"`},
		"a twin letter":    {`,"data"`, `,"ſeq":1,"data"`},
		"an escaped key":   {`,"data"`, `,"\u0073eq":1,"data"`},
		"unknown twice":    {`,"data"`, `,"more":1,"more":1,"data"`},
		"many unknown":     {`,"data"`, manyFields(20) + `,"data"`},
		"a bad escape":     {`{"a":1}`, `{"a":"\u12g4"}`},
		"a bad number":     {`{"a":1}`, `{"a":01}`},
		"a fraction":       {`"seq":1`, `"seq":1.0`},
		"no seq":           {`"seq":1,`, ``},
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
		if new(Record).plain([]byte(raw)) {
			t.Errorf("%s goes the short way", name)
		}
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"more_%d":1`, i)
	}
	return b.String()
}

// TestRecordsOfALaterVersionGoTheShortWay: fields that this version does not
// know, another order and spaces cost no general decoding.
func TestRecordsOfALaterVersionGoTheShortWay(t *testing.T) {
	for name, raw := range map[string]string{
		"an unknown field":     `{"v":1,"cp_id":"CP_1","journal":"j","boot":"b-1","seq":1,"prev":"","type":"unplugged","at":"2026-11-22T10:00:00.000Z","uptime_ms":5,"data":{}}`,
		"unknown and deep":     `{"v":2,"cp_id":"CP_1","journal":"j","seq":1,"prev":"","type":"new_type","at":"2026-11-22T10:00:00.000Z","more":{"a":[1,-2.5e3,"é\u00e9\n",null,true,false,{}],"b":[]},"data":{"x":{"y":[[]]}}}`,
		"another order":        `{"uptime_ms":5,"at":"2026-11-22T10:00:00.000Z","type":"unplugged","prev":"","seq":1,"journal":"j","cp_id":"CP_1","v":1}`,
		"spaces and new lines": "\n{ \"v\" : 1 ,\t\"cp_id\":\"CP_1\", \"journal\":\"j\",\"seq\":1,\"prev\":\"\",\"type\":\"unplugged\",\"at\":\"2026-11-22T10:00:00.000Z\" , \"data\" : { \"a\" : [ 1 , 2 ] } }\r\n",
	} {
		if !sameAsGeneral(t, []byte(raw)) {
			t.Errorf("%s: goes the general way", name)
		}
	}
}

// FuzzPlain: whatever the short way accepts, the general way reads the same.
func FuzzPlain(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*record*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden records: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { sameAsGeneral(t, raw) })
}

func BenchmarkEnvelope(b *testing.B) {
	raw := []byte(`{"v":1,"cp_id":"CP_0001","journal":"0198c2a0-7b1e-7c3a-9f00-1234567890ab","seq":42,"prev":"` + strings.Repeat("0af1", 16) +
		`","type":"meter_read","connector":1,"session_id":"0198c2a0-7b1e-7c3a-9f00-1234567890ac","at":"2026-11-22T10:00:00.000Z","clock":"synced","uptime_ms":73512,"data":{"register_wh":1204331,"power_w":11000}}`)
	later := slices.Concat([]byte(`{"boot":"b-1",`), raw[1:])
	for name, c := range map[string]struct {
		raw    []byte
		decode func([]byte) (Record, error)
	}{"short": {raw, DecodeRecord}, "general": {raw, general}, "later": {later, DecodeRecord}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.decode(c.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
