package wire_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const good = `{"v":1,"cp_id":"CP_001","journal":"j1","seq":2,"prev":"","type":"meter_read","session_id":"s1","at":"2026-11-22T10:00:00.000Z","clock":"synced","uptime_ms":5,"data":{"register_wh":7,"power_w":1}}`

// TestRefusesRecords: each bad record is refused with an error that names the
// field.
func TestRefusesRecords(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 6_000)
	for name, c := range map[string]struct{ raw, field string }{
		"empty":             {"", ""},
		"nul":               {"\x00", ""},
		"array":             {"[]", ""},
		"too large":         {`{"v":1,"x":"` + strings.Repeat("x", wire.MaxMessage) + `"}`, ""},
		"bad utf-8":         {strings.Replace(good, "CP_001", "CP\xff", 1), ""},
		"trailing":          {good + "{}", ""},
		"duplicate":         {strings.Replace(good, `"seq":2`, `"seq":2,"seq":3`, 1), "seq"},
		"duplicate by case": {strings.Replace(good, `"seq":2`, `"seq":2,"SEQ":3`, 1), "SEQ"},
		"duplicate escaped": {strings.Replace(good, `"seq":2`, `"seq":2,"\u0073eq":3`, 1), "seq"},
		"nested duplicate":  {strings.Replace(good, `"power_w":1`, `"power_w":1,"power_w":2`, 1), "data.power_w"},
		"deep":              {deep, strings.TrimSuffix(strings.Repeat("a.", 16), ".")},
		"nan":               {strings.Replace(good, `"register_wh":7`, `"register_wh":NaN`, 1), "data.register_wh"},
		"version 0":         {strings.Replace(good, `"v":1`, `"v":0`, 1), "v"},
		"no version":        {strings.Replace(good, `"v":1,`, ``, 1), "v"},
		"seq 0":             {strings.Replace(good, `"seq":2`, `"seq":0`, 1), "seq"},
		"seq negative":      {strings.Replace(good, `"seq":2`, `"seq":-1`, 1), "seq"},
		"seq fraction":      {strings.Replace(good, `"seq":2`, `"seq":2.5`, 1), "seq"},
		"seq text":          {strings.Replace(good, `"seq":2`, `"seq":"2"`, 1), "seq"},
		"seq null":          {strings.Replace(good, `"seq":2`, `"seq":null`, 1), "seq"},
		"seq missing":       {strings.Replace(good, `"seq":2,`, ``, 1), "seq"},
		"cp_id wildcard":    {strings.Replace(good, `CP_001`, `+`, 1), "cp_id"},
		"cp_id long":        {strings.Replace(good, `CP_001`, strings.Repeat("C", 37), 1), "cp_id"},
		"cp_id twin":        {strings.Replace(good, `CP_001`, `СP_001`, 1), "cp_id"},
		"prev":              {strings.Replace(good, `"prev":""`, `"prev":"XYZ"`, 1), "prev"},
		"clock":             {strings.Replace(good, `synced`, `ntp`, 1), "clock"},
		"time offset":       {strings.Replace(good, `10:00:00.000Z`, `10:00:00.000+01:00`, 1), "at"},
		"not a date":        {strings.Replace(good, `2026-11-22T`, `2026-13-40T`, 1), "at"},
		"uptime":            {strings.Replace(good, `"uptime_ms":5`, `"uptime_ms":-5`, 1), "uptime_ms"},
		"connector":         {strings.Replace(good, `"v":1`, `"v":1,"connector":65`, 1), "connector"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.DecodeRecord([]byte(c.raw))
			var de *wire.DecodeError
			if !errors.As(err, &de) {
				t.Fatalf("got %v, want a DecodeError", err)
			}
			if de.Field != c.field {
				t.Errorf("field %q, want %q (%v)", de.Field, c.field, err)
			}
		})
	}
}

// TestRefusesData: a record with unusable data is still a record; the error of
// its payload names the fault.
func TestRefusesData(t *testing.T) {
	for name, c := range map[string]struct{ data, field string }{
		"missing":       {`{"power_w":1}`, "data.register_wh"},
		"null":          {`{"register_wh":null,"power_w":1}`, "data.register_wh"},
		"negative":      {`{"register_wh":-1,"power_w":1}`, "data.register_wh"},
		"huge":          {`{"register_wh":1e308,"power_w":1}`, "data.register_wh"},
		"decimal comma": {`{"register_wh":"12,5","power_w":1}`, "data.register_wh"},
		"over range":    {`{"register_wh":99999999999999,"power_w":1}`, "data.register_wh"},
		"power":         {`{"register_wh":1,"power_w":99999999}`, "data.power_w"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := wire.DecodeRecord([]byte(strings.Replace(good, `{"register_wh":7,"power_w":1}`, c.data, 1)))
			if err != nil {
				t.Fatalf("the envelope is good, got %v", err)
			}
			_, err = r.Payload()
			var de *wire.DecodeError
			if !errors.As(err, &de) || de.Field != c.field {
				t.Errorf("got %v, want a DecodeError at %s", err, c.field)
			}
		})
	}
}

// TestRefusesLimits: a limit is at least 1; none is left out. A STOP has one of two
// reasons.
func TestRefusesLimits(t *testing.T) {
	const command = `{"v":1,"id":"c","n":1,"central":"1-00000000000000ab","journal":"j","cp_id":"CP","connector":1,"type":"%s",` +
		`"issued_at":"2026-11-22T10:00:00.000Z","sent_at":"2026-11-22T10:00:00.000Z","expires_at":"2026-11-22T10:00:05.000Z","data":{"session_id":"s",%s}}`
	for _, c := range []struct{ kind, data, field string }{
		{"START", `"username":"ana"`, ""},
		{"START", `"username":"ana","limit_wh":1,"limit_amount":1`, ""},
		{"START", `"username":"ana","limit_wh":0`, "data.limit_wh"},
		{"START", `"username":"ana","limit_wh":-5`, "data.limit_wh"},
		{"START", `"username":"ana","limit_amount":0`, "data.limit_amount"},
		{"STOP", `"reason":"limit_reached"`, ""},
		{"STOP", `"reason":"deauthorized"`, ""},
		{"STOP", `"reason":"unplugged"`, "data.reason"},
	} {
		m, err := wire.DecodeCommand(fmt.Appendf(nil, command, c.kind, c.data))
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Order()
		if de := new(wire.DecodeError); c.field == "" && err != nil || c.field != "" && (!errors.As(err, &de) || de.Field != c.field) {
			t.Errorf("%s {%s}: got %v, want an error at %q", c.kind, c.data, err, c.field)
		}
	}
}

// TestRefusesLimitsOfDrivers: a limit is a decimal above 0, and only of the request
// that begins a session; the error names the field.
func TestRefusesLimitsOfDrivers(t *testing.T) {
	const started = "charging_started"
	for _, c := range []struct{ kind, fields, field string }{
		{started, `"limit_kwh":12.5,"limit_cost":5.00`, ""},
		{started, `"limit_kwh":0.001`, ""},
		{started, `"limit_kwh":1000000000`, ""},
		{started, `"limit_kwh":null,"limit_cost":null`, ""},
		{started, `"limit_kwh":0`, "limit_kwh"},
		{started, `"limit_kwh":0.0001`, "limit_kwh"},
		{started, `"limit_kwh":-1`, "limit_kwh"},
		{started, `"limit_kwh":1000000001`, "limit_kwh"},
		{started, `"limit_kwh":"10"`, "limit_kwh"},
		{started, `"limit_kwh":[10]`, "limit_kwh"},
		{started, `"limit_kwh":1e999`, "limit_kwh"},
		{started, `"limit_cost":0`, "limit_cost"},
		{started, `"limit_cost":0.00`, "limit_cost"},
		{started, `"limit_cost":-5`, "limit_cost"},
		{started, `"limit_cost":1e3`, "limit_cost"},
		{started, `"limit_cost":"5,00"`, "limit_cost"},
		{started, `"limit_cost":5000000000000000000`, "limit_cost"},
		{"AUTHORIZATION_REQUEST", `"limit_kwh":10`, "limit_kwh"},
		{"STOP_REQUEST", `"limit_cost":5`, "limit_cost"},
		{"START_REQUEST", `"limit_cost":5`, ""}, // the type is what is wrong: Central refuses it
	} {
		raw := fmt.Sprintf(`{"event_type":%q,"message_id":"m-1","username":"ana","cp_id":"CP_1","timestamp":1795984071.5,%s}`, c.kind, c.fields)
		q, err := wire.DecodeDriverRequest([]byte(raw))
		if de := new(wire.DecodeError); c.field == "" && err != nil || c.field != "" && (!errors.As(err, &de) || de.Field != c.field) {
			t.Errorf("%s {%s}: got %v, want an error at %q", c.kind, c.fields, err, c.field)
		}
		if q.MessageID != "m-1" || q.Username != "ana" {
			t.Errorf("%s: cannot be answered: %+v", c.fields, q)
		}
	}
}

// TestListDigest: an entry without a limit has the line of versions before limits, and a
// limit changes the digest.
func TestListDigest(t *testing.T) {
	e := wire.LocalListEntry{TokenHash: "ab", Username: "ana", Until: 7}
	sum := sha256.Sum256([]byte("ab ana 7\n"))
	without := wire.ListDigest([]wire.LocalListEntry{e})
	if want := hex.EncodeToString(sum[:8]); without != want {
		t.Errorf("got %s, want %s", without, want)
	}
	digests := map[string]bool{without: true}
	for _, l := range [][2]int64{{1, 0}, {0, 1}, {1, 1}} {
		e.Limit, e.LimitAmount = charge.WattHours(l[0]), l[1]
		digests[wire.ListDigest([]wire.LocalListEntry{e})] = true
	}
	if len(digests) != 4 {
		t.Errorf("got %v, want four digests", digests)
	}
}

// TestTopics: only cp_ids by the rule and known kinds map.
func TestTopics(t *testing.T) {
	topics := wire.Topics{Prefix: "site/cp"}
	for _, k := range []wire.Kind{wire.KindEvent, wire.KindTelemetry, wire.KindPresence, wire.KindCommand, wire.KindAck} {
		cp, kind, err := topics.Parse(topics.Of("CP_001", k))
		if cp != "CP_001" || kind != k || err != nil {
			t.Errorf("%s: got %q %q %v", k, cp, kind, err)
		}
	}
	for _, bad := range []string{
		"", "site/cp", "site/cp/", "site/cp//up/event", "site/cp/+/up/event", "site/cp/#", "site/cp/a.b/up/event",
		"site/cp/a/up", "site/cp/a/up/event/x", "cp/a/up/event", "site/cp/" + strings.Repeat("a", 37) + "/up/event",
		"$SYS/x", "site/cp/a\x00/up/event", strings.Repeat("a/", 32768),
	} {
		if cp, _, err := topics.Parse(bad); err == nil {
			t.Errorf("%.60q: accepted as %q", bad, cp)
		}
	}
	for _, bad := range []string{"a//b", "/", "+", "a/#", "$SYS", "a b", strings.Repeat("a/", 200) + "a"} {
		if (wire.Topics{Prefix: bad}).Validate() == nil {
			t.Errorf("prefix %q accepted", bad)
		}
	}
}

// FuzzDecode: no input panics. What is accepted is valid JSON, and its encoding
// is accepted again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"v":1,"central":"c","journal":null,"seq":0,"at":"2026-11-22T10:00:00.000Z"}`))
	f.Add([]byte(`{"event_type":"STOP_REQUEST","username":"u","cp_id":"a","timestamp":1.5}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		check := func(m encoder, err error) {
			if err != nil {
				return
			}
			if !json.Valid(raw) {
				t.Fatalf("accepted invalid JSON %q", raw)
			}
			if _, err := m.Encode(); err != nil {
				t.Fatalf("%q was read but cannot be written: %v", raw, err)
			}
		}
		r, err := wire.DecodeRecord(raw)
		check(&r, err)
		if err == nil {
			_, _ = r.Payload()
		}
		c, err := wire.DecodeCommand(raw)
		check(&c, err)
		if err == nil {
			_, _ = c.Order()
		}
		a, err := wire.DecodeAck(raw)
		check(&a, err)
		p, err := wire.DecodePresence(raw)
		check(&p, err)
		d, err := wire.DecodeDriverRequest(raw)
		check(&d, err)
		m, err := wire.DecodeTelemetry(raw)
		check(&m, err)
	})
}

func BenchmarkDecodeRecord(b *testing.B) {
	raw := []byte(good)
	b.ReportAllocs()
	for b.Loop() {
		r, err := wire.DecodeRecord(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Payload(); err != nil {
			b.Fatal(err)
		}
	}
}

// The error for a driver's moment that is no number of seconds describes what to
// write instead. The sender of the request is known all the same, wherever its
// field is.
func TestDriversTimestamps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ value, words string }{
		"absent":       {"", "is missing; use seconds since 1970"},
		"null":         {"null", "is missing; use seconds since 1970"},
		"text":         {`"yesterday"`, `is no moment; use seconds since 1970`},
		"RFC 3339":     {`"2026-11-22T10:00:00Z"`, `is no moment; use seconds since 1970`},
		"milliseconds": {"1795984071695", "1795984071695 looks like ms; use seconds since 1970"},
		"microseconds": {"1795984071695000", "looks like µs; use seconds"},
		"nanoseconds":  {"1795984071695000000", "looks like ns; use seconds"},
		"ms in text":   {`"1795984071695"`, "looks like ms"},
		"negative":     {"-1", "is no moment"},
		"too late":     {"253402300800", "is no moment"},
		"infinite":     {"1e999", "is no moment"},
		"true":         {"true", "is no moment"},
		"object":       {`{"seconds":1795984071}`, "is no moment"},
		"array":        {"[1795984071]", "is no moment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := `{"timestamp":` + c.value + `,"message_id":"b1","event_type":"STOP_REQUEST","username":"ms","cp_id":"CP_1","client_id":"t"}`
			if c.value == "" {
				raw = strings.Replace(raw, `"timestamp":,`, "", 1)
			}
			q, err := wire.DecodeDriverRequest([]byte(raw))
			var de *wire.DecodeError
			if !errors.As(err, &de) || de.Field != "timestamp" || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want field timestamp and %q", err, c.words)
			}
			if q.MessageID != "b1" || q.EventType != wire.DriverStop || q.Username != "ms" || q.CPID == nil || *q.CPID != "CP_1" || q.ClientID != "t" || q.Timestamp != 0 {
				t.Errorf("read all the same: got %+v", q)
			}
		})
	}
	for _, value := range []string{"1795984071.695", `"1795984071.695"`, "1.795984071695e9"} {
		q, err := wire.DecodeDriverRequest([]byte(`{"event_type":"AUTHORIZATION_REQUEST","username":"ms","timestamp":` + value + `}`))
		if err != nil || q.Timestamp != 1795984071695 {
			t.Errorf("%s: got %d %v", value, q.Timestamp, err)
		}
	}
}

// Fields that cannot be used leave those that can.
func TestReadableFieldsOfRefusedRequest(t *testing.T) {
	t.Parallel()
	q, err := wire.DecodeDriverRequest([]byte(`{"message_id":7,"event_type":"STOP_REQUEST","username":"ana","cp_id":"+","client_id":"` +
		strings.Repeat("c", 129) + `","timestamp":5}`))
	if err == nil || q.Username != "ana" || q.EventType != wire.DriverStop || q.Timestamp != 5000 || q.MessageID != "" || q.ClientID != "" || q.CPID != nil {
		t.Errorf("got %+v %v", q, err)
	}
	for _, raw := range []string{"", "null", "[]", "7", `{"username":"ana"`, `{"username":"a\nb"}`, `{"username":["ana"]}`, strings.Repeat(" ", wire.MaxMessage) + `{"username":"ana"}`} {
		if q, err := wire.DecodeDriverRequest([]byte(raw)); err == nil || q.Username != "" {
			t.Errorf("%.40q: got %+v %v", raw, q, err)
		}
	}
}
