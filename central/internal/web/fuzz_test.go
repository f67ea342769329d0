package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// field is what one field of a body may be: a text, a number or a truth value.
type field struct {
	name        string
	kind        any // "", 0 or false
	must        bool
	least, most int // characters, or the number
	fits        func(string) bool
}

// form is an operation and what its body may hold.
type form struct {
	path   string
	fields []field
	whole  func(given map[string]any) bool // what fields mean together; nil: nothing
	order  func(v map[string]any) string   // the order that Orders receives, as orderLog writes it
}

// targeted: a connector is one of a charging point that is named.
func targeted(given map[string]any) bool { return given["connector"] == nil || given["cp_id"] != nil }

func forms() []form {
	cp := field{"cp_id", "", false, 1, 36, charge.ValidID}
	connector := field{"connector", 0, false, 0, 64, nil}
	username := field{"username", "", true, 1, 64, func(s string) bool { return names.Check(s) == nil }}
	return []form{
		{"/api/v1/reservations", []field{cp, connector, username}, targeted, func(v map[string]any) string {
			return fmt.Sprintf("reserve %s %d %s", v["cp_id"], v["connector"], v["username"])
		}},
		{"/api/v1/sessions", []field{{"cp_id", "", true, 1, 36, charge.ValidID}, {"connector", 0, true, 1, 64, nil}, username}, nil, func(v map[string]any) string {
			return fmt.Sprintf("start %s %d %s", v["cp_id"], v["connector"], v["username"])
		}},
		{"/api/v1/availability", []field{cp, connector, {"all", true, false, 0, 0, nil}, {"available", false, true, 0, 0, nil}}, func(given map[string]any) bool {
			return targeted(given) && (given["cp_id"] != nil) != (given["all"] == true) && given["all"] != false
		}, func(v map[string]any) string {
			return fmt.Sprintf("availability %s %d %v", v["cp_id"], v["connector"], v["available"])
		}},
		{"/api/v1/cps/CP_001/connectors/1/simulate", []field{
			{"action", "", true, 1, 32, func(s string) bool { return slices.Contains([]string{"plug", "unplug", "fault", "repair"}, s) }},
			{"fault", "", false, 0, 32, func(s string) bool { return charge.Fault(s).Valid() }},
		}, nil, func(v map[string]any) string {
			return fmt.Sprintf("simulate CP_001 1 %s %s", v["action"], v["fault"])
		}},
		{"/api/v1/gaps/7/explain", []field{{"note", "", true, 1, 300, func(s string) bool {
			return strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) < 0
		}}}, nil, func(v map[string]any) string {
			return fmt.Sprintf("explain 7 %s", v["note"])
		}},
	}
}

// read reads a body as plainly as can be. Names may be in any case.
func (f *form) read(body []byte) (v map[string]any, ok bool) {
	if wire.Check(body) != nil {
		return nil, false
	}
	var given map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&given) != nil {
		return nil, false
	}
	for _, got := range given {
		if got == nil {
			return nil, false // null
		}
	}
	v = map[string]any{}
	known := map[string]any{} // by the name that is meant
	for i := range f.fields {
		x := &f.fields[i]
		v[x.name] = x.kind
		var got any
		for name := range given {
			if strings.EqualFold(name, x.name) {
				got = given[name]
				delete(given, name)
			}
		}
		known[x.name] = got
		if got != nil && !x.accept(v, got) || got == nil && x.must {
			return nil, false
		}
	}
	return v, len(given) == 0 && (f.whole == nil || f.whole(known))
}

func (x *field) accept(v map[string]any, got any) bool {
	v[x.name] = got
	switch got := got.(type) {
	case string:
		n := utf8.RuneCountInString(got)
		return x.kind == "" && n >= x.least && n <= x.most && (x.fits == nil || x.fits(got))
	case bool:
		_, fits := x.kind.(bool)
		return fits
	case json.Number:
		n, err := strconv.Atoi(string(got))
		v[x.name] = n
		return x.kind == 0 && err == nil && n >= x.least && n <= x.most
	}
	return false
}

// FuzzBody compares the order that a body becomes with that of a plain parser. A
// body that the parser refuses must be refused, without an order.
func FuzzBody(f *testing.F) {
	for i, body := range []string{
		`{"cp_id":"CP_001","connector":1,"username":"driver1"}`, `{"cp_id":"CP_001","connector":1,"username":"d"}`, `{"all":true,"available":false}`,
		`{"action":"fault","fault":"ground_fault"}`, `{"note":"the card was replaced"}`,
	} {
		f.Add(uint8(i), []byte(body))
		f.Add(uint8(i), []byte(strings.Replace(body, `"`, `"\u0063`, 1)))
	}
	for _, b := range badRequests() {
		i := slices.IndexFunc(forms(), func(x form) bool { return x.path == b.path })
		if i >= 0 && b.change == nil && len(b.body) < 4096 {
			f.Add(uint8(i), []byte(b.body))
		}
	}
	for _, odd := range []string{`"connector":1.0`, `"connector":1e0`, `"connector":-0`, `"connector":null`, `"cp_id":null`, `"CP_ID":"a"`, `"ſ":1`} {
		f.Add(uint8(0), []byte(`{"username":"d",`+odd+`}`))
	}
	all := forms()
	var fix *fixture // one for all: making a server takes longer than asking it
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		if fix == nil {
			fix = newFixture(t)
		}
		x := &all[int(which)%len(all)]
		if len(body) > 4096 {
			return
		}
		w := fix.do(t, http.MethodPost, x.path, string(body), header("Content-Type", "application/json"))
		got := fix.orders.all()
		fix.orders.received = nil
		want := ""
		v, ok := x.read(body)
		if ok {
			want = x.order(v)
		}
		if got != want || (w.Code/100 == 2) != ok || w.Code >= 500 {
			t.Fatalf("%s %q: answered %d %s\nOrders received %q, want %q", x.path, body, w.Code, w.Body, got, want)
		}
		if !ok && w.Header().Get("Content-Type") != "application/problem+json" || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: answered %d %v %s", x.path, body, w.Code, w.Header(), w.Body)
		}
	})
}

// queryRecorder is an archive that keeps the last query.
type queryRecorder struct {
	archive
	query *view.Query
}

func (a *queryRecorder) Tickets(_ context.Context, q view.Query) ([]view.Ticket, error) {
	a.query = &q
	return nil, nil
}

// may reports whether a query is within the limits of the API.
func may(q *view.Query) bool {
	short := func(s string, most int) bool { return utf8.RuneCountInString(s) <= most }
	return q.Limit >= 2 && q.Limit <= 501 && (q.CPID == "" || q.CPID.Valid()) &&
		short(string(q.Username), 64) && q.State == "" && short(q.After, 160)
}

// FuzzQuery compares the query that the archive receives with that of a plain
// parser. A malformed query must not reach the archive.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"", "limit=3&after=tickets:x", "cp_id=CP_001&username=anna%20b&state=ended", "limit=0", "limit=501", "limit=+5", "limit=1&limit=900", "cp_id=%2B", "a;b=c", "%zz=1", "LIMIT=3", "limit=", "limit=%31", "username", "username=%zz", "limit=3&", "user=bob", "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00%2B01:00", "from=1", "from=1900-01-01T00:00:00Z"} {
		f.Add(q)
	}
	for name, most := range map[string]int{"cp_id": 36, "username": 64, "after": 160} {
		f.Add(name + "=" + strings.Repeat("x", most))
		f.Add(name + "=" + strings.Repeat("x", most+1))
	}
	cursor := regexp.MustCompile(`^tickets:[A-Za-z0-9_.-]+$`)
	var server *web.Server
	a := &queryRecorder{}
	f.Fuzz(func(t *testing.T, query string) {
		if server == nil {
			var err error
			if server, err = web.New(web.Config{}, newNetwork(), &orderLog{}, a, nil, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}
		fix := &fixture{server: server}
		a.query = nil
		w := fix.do(t, http.MethodGet, "/api/v1/tickets", "", func(r *http.Request) { r.URL.RawQuery = query })
		if a.query != nil && !may(a.query) {
			t.Fatalf("?%s: asked %+v", query, *a.query)
		}
		given, err := url.ParseQuery(query)
		unnamed := func(pair string) bool { return pair != "" && !strings.Contains(pair, "=") }
		twice := false
		for _, values := range given {
			twice = twice || len(values) > 1 || values[0] == ""
		}
		if err != nil || twice || slices.ContainsFunc(strings.Split(query, "&"), unnamed) {
			if w.Code != http.StatusBadRequest || a.query != nil {
				t.Fatalf("?%s: answered %d, asked %+v, want it refused", query, w.Code, a.query)
			}
			return
		}
		want := view.Query{CPID: charge.CPID(given.Get("cp_id")), Username: charge.Username(given.Get("username")), Limit: 51}
		if s := given.Get("limit"); s != "" {
			want.Limit, err = strconv.Atoi(s)
			want.Limit++
		}
		fine := err == nil
		if s := given.Get("after"); s != "" {
			fine = fine && cursor.MatchString(s) && len(s) <= 160
			want.After = strings.TrimPrefix(s, "tickets:")
		}
		for name, to := range map[string]*charge.Time{"from": &want.From, "to": &want.To} {
			if s := given.Get(name); s != "" {
				at, err := time.Parse(time.RFC3339Nano, s)
				fine = fine && err == nil && len(s) <= 40
				*to = min(max(charge.At(at), 1), charge.MaxTime)
			}
		}
		for name := range given {
			fine = fine && slices.Contains([]string{"cp_id", "username", "from", "to", "after", "limit"}, name)
		}
		fine = fine && may(&want)
		switch {
		case fine != (w.Code == http.StatusOK), fine != (a.query != nil), !fine && w.Code != http.StatusUnprocessableEntity:
			t.Fatalf("?%s: answered %d %s, asked %+v", query, w.Code, w.Body, a.query)
		case fine && *a.query != want:
			t.Fatalf("?%s: asked %+v, want %+v", query, *a.query, want)
		}
	})
}
