package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/carga-ev/carga/central/internal/web"
)

// laterByHTTP are the numbers of the list of bad requests, or parts of them,
// that wait for something or are tried elsewhere.
func laterByHTTP() map[int]string {
	return map[int]string{
		16: "names shown in e-mail: needs it; in the CSV: TestCSV",
		17: "CSV formula: TestCSV",
		28: "double submit x50: TestFiftyOrdersAtOnceAreOne of ingest without a key, TestAnOrderIsRepeated of the app with one",
		29: "enrolment with bad tokens and requests: needs enrolment",
		30: "OIDC callback: needs OIDC",
	}
}

// badRequest is one bad request and its answer. It must not become an order,
// unless order is set.
type badRequest struct {
	name, method, path, body string
	change                   func(*http.Request)
	status                   int
	problem                  string // part of the answer
	order                    string
}

func header(k, v string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(k, v) }
}

func badRequests() []badRequest {
	const start = `{"cp_id":"CP_001","connector":1,"username":"d"}`
	deep := `{"cp_id":` + strings.Repeat("[", 20_000)
	parts := "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	form := func(contentType string) func(*http.Request) { return header("Content-Type", contentType) }
	return []badRequest{
		{"5 id -1", "GET", "/api/v1/commands/-1", "", nil, 404, "#unknown_command", ""},
		{"5 id 2^63", "GET", "/api/v1/commands/9223372036854775808", "", nil, 404, "#unknown_command", ""},
		{"5 id 1 OR 1=1", "POST", "/api/v1/sessions/1%20OR%201=1/stop", "", nil, 422, "path.id", ""},
		{"5 id with a NUL", "POST", "/api/v1/sessions/a%00/stop", "", nil, 422, "path.id", ""},
		{"5 cp_id with a NUL", "GET", "/api/v1/cps/CP%00", "", nil, 422, "path.cp", ""},
		{"5 connector -1", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":-1,"username":"d"}`, nil, 422, "body.connector", ""},
		{"5 connector 2^63", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":9223372036854775808,"username":"d"}`, nil, 422, "body.connector", ""},
		{"5 limit 0", "POST", "/api/v1/charges", `{"username":"d","limit_wh":0}`, nil, 422, "body.limit_wh", ""},
		{"5 limit below 0", "POST", "/api/v1/charges", `{"username":"d","limit_amount":-1}`, nil, 422, "body.limit_amount", ""},
		{"5 cp_id with a wildcard", "POST", "/api/v1/sessions", `{"cp_id":"+","connector":1,"username":"d"}`, nil, 422, "body.cp_id", ""},
		{"5 limit -1", "GET", "/api/v1/tickets?limit=-1", "", nil, 422, "query.limit", ""},
		{"5 limit 1e9", "GET", "/api/v1/tickets?limit=1e9", "", nil, 422, "query.limit", ""},
		{"5 a filter without a value", "GET", "/api/v1/tickets?username", "", nil, 400, "#bad_query", ""},
		{"5 a filter that cannot be decoded", "GET", "/api/v1/tickets?username=%zz", "", nil, 400, "#bad_query", ""},
		// The inputs of the case filters, and their likes: none is left out silently.
		{"5 an unknown filter", "GET", "/api/v1/tickets?user=bob", "", nil, 422, "query.user", ""},
		{"5 a state of a list without states", "GET", "/api/v1/tickets?state=nonsense", "", nil, 422, "query.state", ""},
		{"5 an unknown state", "GET", "/api/v1/sessions?state=nonsense", "", nil, 422, "query.state", ""},
		{"5 no cursor", "GET", "/api/v1/tickets?after=garbage", "", nil, 422, "query.after", ""},
		{"5 a cursor of another list", "GET", "/api/v1/tickets?after=sessions:s-1", "", nil, 422, "query.after", ""},
		{"5 a driver of a list without drivers", "GET", "/api/v1/commands?username=bob", "", nil, 422, "query.username", ""},
		{"5 an unknown form of a list", "GET", "/api/v1/tickets?format=xlsx", "", nil, 422, "query.format", ""},
		{"5 a form of a list without forms", "GET", "/api/v1/records?format=csv", "", nil, 422, "query.format", ""},
		{"5 a cursor of another list as CSV", "GET", "/api/v1/tickets?format=csv&after=sessions:s-1", "", nil, 422, "query.after", ""},
		{"5 settings without If-Match", "PATCH", "/api/v1/cps/CP_001/settings", `{"name":"x"}`, nil, 422, "If-Match", ""},
		{"5 settings of any version", "PATCH", "/api/v1/cps/CP_001/settings", `{"name":"x"}`, header("If-Match", "*"), 422, "If-Match", ""},
		{"16 a control character in a setting", "PATCH", "/api/v1/cps/CP_001/settings", `{"name":"a\u0000b"}`, header("If-Match", `"4"`), 422, "#bad_setting", ""},
		{"16 a script as a setting", "PATCH", "/api/v1/cps/CP_001/settings", `{"name":"<script>"}`, header("If-Match", `"4"`), 200, "", "set CP_001 version 4 <script>"},
		{"24 another setting", "PATCH", "/api/v1/cps/CP_001/settings", `{"admitted":true}`, header("If-Match", `"4"`), 422, "body.admitted", ""},
		{"26 a setting of null", "PATCH", "/api/v1/cps/CP_001/settings", `{"name":null}`, header("If-Match", `"4"`), 400, "is null", ""},
		{"26 settings of an unknown charging point", "GET", "/api/v1/cps/CP_999/settings", "", nil, 404, "#unknown_cp", ""},
		{"5 a dead letter -1", "POST", "/api/v1/dead-letters/-1/replay", "", nil, 422, "path.id", ""},
		{"5 dead letters of a charging point", "GET", "/api/v1/dead-letters?cp_id=CP_001", "", nil, 422, "query.cp_id", ""},
		{"10 GET that would replay", "GET", "/api/v1/dead-letters/1/replay", "", nil, 405, "#method_not_allowed", ""},
		{"5 connector 0 of a series", "GET", "/api/v1/cps/CP_001/series?connector=0", "", nil, 422, "query.connector", ""},
		{"5 a series of too many points", "GET", "/api/v1/cps/CP_001/series?points=1000000", "", nil, 422, "query.points", ""},
		{"5 an unknown period", "GET", "/api/v1/summary/tickets?period=week", "", nil, 422, "query.period", ""},
		{"5 no time of a summary", "GET", "/api/v1/summary/tickets?from=2026-13-01", "", nil, 422, "query.from", ""},
		{"5 no time", "GET", "/api/v1/records?from=yesterday", "", nil, 422, "query.from", ""},
		{"5 a filter twice", "GET", "/api/v1/tickets?username=a&username=b", "", nil, 400, "\\\"username\\\" is given more than once", ""},
		{"5 a filter that is empty", "GET", "/api/v1/tickets?cp_id=", "", nil, 400, "has no value: leave it out", ""},
		{"5 a parameter where there are none", "GET", "/api/v1/network?cp_id=CP_001", "", nil, 422, "query.cp_id", ""},
		{"5 a parameter of the stream", "GET", "/api/v1/stream?topics=cps", "", nil, 422, "query.topics", ""},
		{"5 a parameter of an order", "POST", "/api/v1/cps/CP_001/admit?really=true", "", nil, 422, "query.really", ""},
		// What was left out or empty by mistake is not the whole network.
		{"26 availability of what?", "POST", "/api/v1/availability", `{"available":false}`, nil, 422, `write \"all\": true`, ""},
		{"26 availability of null", "POST", "/api/v1/availability", `{"cp_id":null,"available":false}`, nil, 400, "field cp_id: is null; leave it out", ""},
		{"26 availability of nothing", "POST", "/api/v1/availability", `{"cp_id":"","available":false}`, nil, 422, "body.cp_id", ""},
		{"26 availability of a connector of what?", "POST", "/api/v1/availability", `{"connector":1,"available":false}`, nil, 422, "cp_id", ""},
		{"26 availability of all, and yet of one", "POST", "/api/v1/availability", `{"all":true,"cp_id":"CP_001","available":false}`, nil, 422, "body.cp_id", ""},
		{"26 availability of not all", "POST", "/api/v1/availability", `{"all":false,"available":false}`, nil, 422, "body.all", ""},
		{"26 a connector of any", "POST", "/api/v1/reservations", `{"connector":1,"username":"d"}`, nil, 422, "cp_id", ""},
		{"26 any by an empty name", "POST", "/api/v1/reservations", `{"cp_id":"","username":"d"}`, nil, 422, "body.cp_id", ""},
		{"6 cross-site", "POST", "/api/v1/availability", `{"available":false}`, header("Sec-Fetch-Site", "cross-site"), 403, "#cross_origin", ""},
		{"6 foreign origin", "POST", "/api/v1/availability", `{"available":false}`, header("Origin", "http://evil.example"), 403, "#cross_origin", ""},
		// Every browser sends one of the two; a program on this machine may order without.
		{"7 without Origin and Sec-Fetch-Site", "POST", "/api/v1/sessions", start, nil, 202, "", "start CP_001 1 d"},
		{"8 Origin null", "POST", "/api/v1/availability", `{"available":false}`, header("Origin", "null"), 403, "#cross_origin", ""},
		{"9 method overridden", "GET", "/api/v1/availability", "", header("X-HTTP-Method-Override", "POST"), 405, "#method_not_allowed", ""},
		{"10 GET that would change something", "GET", "/api/v1/cps/CP_001/admit", "", nil, 405, "#method_not_allowed", ""},
		{"10 TRACE", "TRACE", "/", "", nil, 405, "#method_not_allowed", ""},
		{"10 POST to the page", "POST", "/", "", nil, 405, "#method_not_allowed", ""},
		{"11 body of 64 KB and 1", "POST", "/api/v1/sessions", strings.Repeat(" ", 64<<10+1), nil, 413, "#body_too_large", ""},
		{"14 multipart with 10 000 parts", "POST", "/api/v1/sessions", strings.Repeat(parts, 10_000) + "--x--", form("multipart/form-data; boundary=x"), 413, "#body_too_large", ""},
		{"14 multipart", "POST", "/api/v1/sessions", parts + "--x--", form("multipart/form-data; boundary=x"), 415, "#unsupported_media_type", ""},
		{"15 form where JSON is expected", "POST", "/api/v1/sessions", "cp_id=CP_001&connector=1&username=d", form("application/x-www-form-urlencoded"), 415, "#unsupported_media_type", ""},
		{"15 JSON that calls itself text", "POST", "/api/v1/sessions", start, form("text/plain"), 415, "#unsupported_media_type", ""},
		{"15 no JSON", "POST", "/api/v1/sessions", "a=b", nil, 400, "is not a JSON object", ""},
		{"15 no body", "POST", "/api/v1/sessions", "", nil, 400, "request body is required", ""},
		{"15 UTF-16", "POST", "/api/v1/sessions", "\xff\xfe{\x00}\x00", form("application/json; charset=utf-16"), 400, "is not valid UTF-8", ""},
		{"15 a byte that is no UTF-8", "POST", "/api/v1/sessions", "{\"cp_id\":\"CP_001\",\"connector\":1,\"username\":\"d\xff\"}", nil, 400, "is not valid UTF-8", ""},
		{"15 trailing garbage", "POST", "/api/v1/sessions", start + "{}", nil, 400, "has data behind its end", ""},
		{"15 repeated key", "POST", "/api/v1/availability", `{"available":true,"available":false}`, nil, 400, "field available: appears twice", ""},
		{"15 nested 20 000 deep", "POST", "/api/v1/sessions", deep, nil, 400, "nested more than 16 deep", ""},
		{"15 text for a number", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":"1","username":"d"}`, nil, 422, "body.connector", ""},
		{"15 missing field", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":1}`, nil, 422, "username", ""},
		// Kept as it is: the answer escapes it, and the page shows it as text.
		{"16 script as a name", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"<script>{{.}}"}`, nil, 202, "", "start CP_001 1 <script>{{.}}"},
		{"16 control character in a name", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"a\u0000b"}`, nil, 422, "#bad_username", ""},
		{"16 name of 65 bytes", "POST", "/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"` + strings.Repeat("x", 65) + `"}`, nil, 422, "body.username", ""},
		{"18 out of the page's folder", "GET", "/..%2f..%2fetc/passwd", "", nil, 404, "", ""},
		{"18 encoded twice", "GET", "/%252e%252e/%252e%252e/etc/passwd", "", nil, 404, "", ""},
		{"18 with backslashes", "GET", `/..%5c..%5cetc`, "", nil, 404, "", ""},
		{"20 forged host", "GET", "/api/v1/network", "", func(r *http.Request) { r.Host = "evil.example" }, 421, "#wrong_host", ""},
		{"24 role beside the fields", "POST", "/api/v1/availability", `{"available":true,"role":"admin"}`, nil, 422, "body.role", ""},
		{"25 reservation in the past", "POST", "/api/v1/reservations", `{"username":"d","until":"1970-01-01T00:00:00.000Z"}`, nil, 422, "body.until", ""},
		{"25 connector that is not a number", "POST", "/api/v1/reservations", `{"username":"d","connector":NaN}`, nil, 400, "field connector", ""},
		{"25 wait of an hour", "GET", "/api/v1/commands/k?wait=1h", "", nil, 422, "query.wait", ""},
		{"25 wait of -1 s", "GET", "/api/v1/commands/k?wait=-1s", "", nil, 422, "query.wait", ""},
		{"26 unknown charging point", "GET", "/api/v1/cps/CP_999", "", nil, 404, "#unknown_cp", ""},
		{"26 unknown action", "POST", "/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"explode"}`, nil, 422, "body.action", ""},
		{"26 tap without a card", "POST", "/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"tap"}`, nil, 422, "body.uid", ""},
		{"26 tap with two names of a card", "POST", "/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"tap","uid":"04A1B2C3","token_hash":"` + strings.Repeat("0", 64) + `"}`, nil, 422, "body.uid", ""},
		{"26 plug with a card", "POST", "/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"plug","uid":"04A1B2C3"}`, nil, 422, "body.uid", ""},
		{"26 unknown fault", "POST", "/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"fault","fault":"explode"}`, nil, 422, "body.fault", ""},
		{"5 a group without If-Match", "POST", "/api/v1/groups/g1", `{"name":"hall","limit_ma":32000,"cps":["CP_001"]}`, nil, 422, "If-Match", ""},
		{"5 a group of any version", "POST", "/api/v1/groups/g1/delete", `{}`, header("If-Match", "*"), 422, "If-Match", ""},
		{"5 a group of a version", "POST", "/api/v1/groups/g1", `{"name":"hall","limit_ma":32000,"cps":["CP_001"]}`, header("If-Match", `"4"`), 202, "", `group "g1" version 4 hall 32000 [CP_001]`},
		{"5 a group of a version is deleted", "POST", "/api/v1/groups/g1/delete", `{}`, header("If-Match", `"4"`), 202, "", "delete group g1 version 4"},
		{"26 a group of a charging point without a name", "POST", "/api/v1/groups", `{"name":"hall","limit_ma":32000,"cps":["CP_001",""]}`, nil, 422, "body.cps[1]", ""},
		{"26 unknown operation", "GET", "/api/v1/nothing", "", nil, 404, "#not_found", ""},
		{"27 key of another order", "POST", "/api/v1/sessions", start, header("Idempotency-Key", "taken"), 422, "#idempotency_key_reused", ""},
		{"27 more keys than are kept", "POST", "/api/v1/sessions", start, header("Idempotency-Key", "too many"), 429, "#too_many_keys", ""},
		{"27 empty key", "POST", "/api/v1/sessions", start, header("Idempotency-Key", ""), 400, "Idempotency-Key: send it once, with 1 to 64 printable ASCII characters", ""},
		{"27 key of 65 characters", "POST", "/api/v1/sessions", start, header("Idempotency-Key", strings.Repeat("x", 65)), 400, "#bad_idempotency_key", ""},
		{"27 key with a control character", "POST", "/api/v1/sessions", start, header("Idempotency-Key", "a\tb"), 400, "#bad_idempotency_key", ""},
		{"27 key that is no ASCII", "POST", "/api/v1/sessions", start, header("Idempotency-Key", "clé"), 400, "#bad_idempotency_key", ""},
		{"27 two keys", "POST", "/api/v1/sessions", start, func(r *http.Request) { r.Header["Idempotency-Key"] = []string{"a", "b"} }, 400, "#bad_idempotency_key", ""},
		{"27 bad key of an operation without a body", "POST", "/api/v1/cps/CP_001/admit", "", header("Idempotency-Key", ""), 400, "#bad_idempotency_key", ""},
		// Whatever else is wrong is found as without a key.
		{"27 key and body of 64 KB and 1", "POST", "/api/v1/sessions", strings.Repeat(" ", 64<<10+1), header("Idempotency-Key", "k"), 413, "#body_too_large", ""},
		{"27 key and no JSON", "POST", "/api/v1/sessions", "a=b", header("Idempotency-Key", "k"), 400, "is not a JSON object", ""},
		{"27 key where nothing is ordered", "GET", "/api/v1/cps/CP_999", "", header("Idempotency-Key", ""), 404, "#unknown_cp", ""},
		{"26 the demo's switches elsewhere", "POST", "/api/v1/demo/parts/kafka", `{"up":false}`, nil, 404, "", ""},
	}
}

// TestBadInputByHTTP: every bad request gets a problem that names what is wrong,
// and does nothing. Every number of the list is tried here or waits.
func TestBadInputByHTTP(t *testing.T) {
	rows := badRequests()
	tried := map[int]bool{
		11: true, 12: true, 13: true, 19: true, 26: true, // by the tests below
		1: true, 2: true, 3: true, 4: true, // by TestAuthorizationMatrix and TestCookiesAndTokens
		21: true, 22: true, 23: true, // by the tests of package accounts
	}
	for _, c := range rows {
		number, _, _ := strings.Cut(c.name, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Errorf("%q begins with no number of the list", c.name)
		}
		tried[n] = true
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := f.do(t, c.method, c.path, c.body, change)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.problem) {
				t.Errorf("got %d, want %d and %q: %.600s", w.Code, c.status, c.problem, w.Body)
			}
			if got := f.orders.all(); got != c.order {
				t.Errorf("Orders received %q, want %q", got, c.order)
			}
			if c.status >= 400 && strings.HasPrefix(c.path, "/api/") && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %q", w.Header().Get("Content-Type"))
			}
			if strings.Contains(w.Body.String(), "<script>") {
				t.Errorf("the answer is not escaped: %s", w.Body)
			}
			good := f.do(t, http.MethodPost, "/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"good"}`)
			if good.Code != http.StatusAccepted {
				t.Errorf("a good request behind it: %d %s", good.Code, good.Body)
			}
		})
	}
	for n := 1; n <= 30; n++ {
		if !tried[n] && laterByHTTP()[n] == "" {
			t.Errorf("number %d has no row and waits for nothing", n)
		}
	}
}

// TestNothingIsSentElsewhere (19): no answer sends a browser to another site.
func TestNothingIsSentElsewhere(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{
		"//evil.example", "//evil.example/..", `/\evil.example`, "/%5cevil.example", "/?next=//evil.example", "/index.html", "/api/v1/../../evil",
		"/api//v1/network", "/.//evil.example", "/%2f%2fevil.example",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080/", http.NoBody)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
		w := httptest.NewRecorder()
		f.server.Handler().ServeHTTP(w, r)
		to := w.Header().Get("Location")
		if strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) || strings.Contains(to, "://") {
			t.Errorf("%s: sent to %s", path, to)
		}
	}
}

// TestRefusedOrders (26): a connector that is reserved, offline or unknown is
// refused with its own kind of problem.
func TestRefusedOrders(t *testing.T) {
	for reason, status := range map[string]int{
		"cp_busy": 409, "cp_unreachable": 409, "cp_unavailable": 409, "too_many": 409, "unknown_cp": 404, "unknown_connector": 404, "unknown_session": 404,
	} {
		f := newFixture(t)
		f.orders.answer = web.Answer{Reason: reason}
		w := f.do(t, http.MethodPost, "/api/v1/reservations", `{"cp_id":"CP_001","connector":1,"username":"d"}`)
		if w.Code != status || !strings.Contains(w.Body.String(), "#"+reason) {
			t.Errorf("%s: %d %s", reason, w.Code, w.Body)
		}
	}
}

// TestThePageShowsTextAsText (16): no script of the page parses text of the API as
// HTML.
func TestThePageShowsTextAsText(t *testing.T) {
	for name, text := range pageSources(t) {
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "{@html", "document.write", "eval(", "new Function", "javascript:", " onclick=\"", " onerror=", " style=\""} {
			if strings.Contains(text, word) {
				t.Errorf("%s uses %s", name, word)
			}
		}
	}
}

// pageSources returns the sources of the page, by the names of their files.
func pageSources(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, root := range []string{"ui/src", "ui/index.html"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(name)
			sources[name] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(sources) < 10 {
		t.Fatalf("%d sources of the page", len(sources))
	}
	return sources
}

// onLines runs f beside a server on lines in memory, in fake time.
func onLines(t *testing.T, f func(fix *fixture, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fix := newFixture(t)
		wires := &kfake.VirtualNetwork{}
		l, err := wires.Listen("tcp", "127.0.0.1:8080")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- fix.server.Run(ctx, l) }()
		f(fix, func() net.Conn {
			c, err := wires.DialContext(t.Context(), "tcp", "127.0.0.1:8080")
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// statuses sends raw bytes and reads the status lines of all answers until the
// server ends the line.
func statuses(t *testing.T, c net.Conn, raw string) (all []int) {
	t.Helper()
	go func() { _, _ = io.WriteString(c, raw) }()
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			_ = c.Close()
			return all
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		all = append(all, res.StatusCode)
	}
}

const smuggled = "POST /api/v1/cps/CP_001/admit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"

// TestSmuggling (13): of two lengths none is believed, and what is hidden in a
// body is never a request.
func TestSmuggling(t *testing.T) {
	head := "POST /api/v1/availability HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
	for name, raw := range map[string]string{
		"two lengths":          head + "Content-Length: 0\r\nContent-Length: " + strconv.Itoa(len(smuggled)) + "\r\n\r\n" + smuggled,
		"length and chunks":    head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunks that are none": head + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled,
		"length negative":      head + "Content-Length: -1\r\n\r\n" + smuggled,
		"blank before a colon": head + "Content-Length : 0\r\n\r\n" + smuggled,
	} {
		onLines(t, func(f *fixture, dial func() net.Conn) {
			got := statuses(t, dial(), raw)
			if len(got) != 1 || got[0] < 400 || got[0] > 501 {
				t.Errorf("%s: answered %v, want one refusal", name, got)
			}
			if received := f.orders.all(); received != "" {
				t.Errorf("%s: Orders received %q", name, received)
			}
		})
	}
}

// TestSlowAndEndless (11, 12): a connection that sends without end, or hardly at
// all, is closed.
func TestSlowAndEndless(t *testing.T) {
	const head = "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	onLines(t, func(f *fixture, dial func() net.Conn) {
		for name, c := range map[string]struct {
			first, then string
			every, most time.Duration
		}{
			"endless chunks": {head + "Transfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat(" ", 0x400) + "\r\n", 0, time.Second},
			"slow headers":   {"POST / HTTP/1.1\r\n", "X-A: b\r\n", time.Second, 6 * time.Second},
			"endless header": {"POST / HTTP/1.1\r\nX-A: ", strings.Repeat("x", 1024), 0, time.Second},
			"slow body":      {head + "Content-Length: 1000\r\n\r\n", " ", time.Second, 32 * time.Second},
			"no request":     {"", "", time.Second, 32 * time.Second},
		} {
			line, began := dial(), time.Now()
			sent := 0
			var sending sync.WaitGroup
			sending.Go(func() {
				_, err := io.WriteString(line, c.first)
				for err == nil && c.then != "" && sent < 4<<20 {
					var n int
					n, err = io.WriteString(line, c.then)
					sent += n
					time.Sleep(c.every)
				}
			})
			_, _ = io.Copy(io.Discard, line)
			_ = line.Close()
			if took := time.Since(began); took > c.most {
				t.Errorf("%s: ended after %s, want at most %s", name, took, c.most)
			}
			sending.Wait()
			if sent > 1<<20 {
				t.Errorf("%s: %d bytes were read", name, sent)
			}
		}
		if received := f.orders.all(); received != "" {
			t.Errorf("Orders received %q", received)
		}
	})
}

// TestAnEndlessQueryIsRefused (5): lists read nothing strange into their place.
func TestAnEndlessQueryIsRefused(t *testing.T) {
	f := newFixture(t)
	for _, list := range []string{"sessions", "tickets", "reservations", "commands", "records", "gaps", "alarms"} {
		for _, query := range []string{"after=" + strings.Repeat("x", 161), "cp_id=%2B", "limit=0", "limit=501", "state=" + strings.Repeat("x", 33), "username=" + strings.Repeat("x", 65)} {
			if w := f.do(t, http.MethodGet, fmt.Sprintf("/api/v1/%s?%s", list, query), ""); w.Code != http.StatusUnprocessableEntity {
				t.Errorf("%s?%.40s: %d, want it refused", list, query, w.Code)
			}
		}
	}
}
