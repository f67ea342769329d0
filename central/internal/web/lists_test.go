package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// pages follows a list of tickets to its end.
func (f *fixture) pages(t *testing.T, limit int) (pages []int) {
	t.Helper()
	after := ""
	for range 20 {
		w := f.do(t, http.MethodGet, fmt.Sprintf("/api/v1/tickets?limit=%d%s", limit, after), "")
		var page struct {
			Items []view.Ticket `json:"items"`
			Next  string        `json:"next"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
		}
		pages = append(pages, len(page.Items))
		if page.Next == "" {
			return pages
		}
		after = "&after=" + page.Next
	}
	t.Fatal("the list has no end")
	return nil
}

// TestNoPageIsEmpty: next leads to more, and only where there is more.
func TestNoPageIsEmpty(t *testing.T) {
	for rows, want := range map[int][]int{0: {0}, 2: {2}, 3: {3}, 4: {3, 1}, 6: {3, 3}, 7: {3, 3, 1}} {
		f := newFixture(t)
		f.archive.rows = rows
		if got := f.pages(t, 3); !slices.Equal(got, want) {
			t.Errorf("%d rows in pages of 3: got %v, want %v", rows, got, want)
		}
	}
}

// TestACursorWhoseRowIsGone: every list answers 410 for the cursor of a deleted
// row.
func TestACursorWhoseRowIsGone(t *testing.T) {
	f := newFixture(t)
	f.archive.gone = true
	for list, key := range map[string]string{
		"sessions": "s-1", "tickets": "1", "reservations": "r-1", "commands": "c-1", "records": "CP_1/j-1/7", "gaps": "7", "alarms": "7", "dead-letters": "7",
	} {
		w := f.do(t, http.MethodGet, "/api/v1/"+list+"?after="+list+":"+key, "")
		if w.Code != http.StatusGone || !strings.Contains(w.Body.String(), "#cursor_gone") {
			t.Errorf("%s: got %d %s, want 410", list, w.Code, w.Body)
		}
		if q := f.archive.queries; q[len(q)-1].After != key {
			t.Errorf("%s: asked after %q, want %q", list, q[len(q)-1].After, key)
		}
	}
}

// TestFiltersReachTheArchive: the archive receives each filter as it was given;
// alarms are open ones unless a state is given.
func TestFiltersReachTheArchive(t *testing.T) {
	const cp, username, from, to = "cp_id=CP_001&", "username=ana&", "from=2026-01-01T00:00:00Z&", "to=2026-01-01T02:00:00%2B01:00"
	base := view.Query{From: 1767225600000, To: 1767229200000, Limit: 51}
	with := func(cp charge.CPID, username charge.Username, state string) view.Query {
		q := base
		q.CPID, q.Username, q.State = cp, username, state
		return q
	}
	for query, want := range map[string]view.Query{
		"sessions?" + cp + username + "state=closed&" + from + to:     with("CP_001", "ana", "closed"),
		"tickets?" + cp + username + from + to:                        with("CP_001", "ana", ""),
		"reservations?" + cp + username + "state=active&" + from + to: with("CP_001", "ana", "active"),
		"commands?" + cp + "state=sent&" + from + to:                  with("CP_001", "", "sent"),
		"records?" + cp + from + to:                                   with("CP_001", "", ""),
		"gaps?" + cp + "state=filled&" + from + to:                    with("CP_001", "", "filled"),
		"alarms?" + cp + "state=cleared&" + from + to:                 with("CP_001", "", "cleared"),
		"dead-letters?state=replayed&" + from + to:                    with("", "", "replayed"),
		"alarms?" + from + to:                                         with("", "", "open"),
		"alarms?state=all&" + from + to:                               with("", "", ""),
	} {
		f := newFixture(t)
		w := f.do(t, http.MethodGet, "/api/v1/"+query, "")
		if w.Code != http.StatusOK || len(f.archive.queries) != 1 || f.archive.queries[0] != want {
			t.Errorf("%s: %d %s, asked %+v, want %+v", query, w.Code, w.Body, f.archive.queries, want)
		}
	}
}

// TestOneItem: each item of a list can be read alone, and is 304 for a client that
// has it.
func TestOneItem(t *testing.T) {
	f := newFixture(t)
	f.archive.command = &view.Command{ID: "1"}
	for _, path := range []string{"sessions/1", "tickets/1", "reservations/1", "commands/1", "gaps/1", "alarms/1", "cps/CP_001"} {
		w := f.do(t, http.MethodGet, "/api/v1/"+path, "")
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || tag == "" {
			t.Errorf("%s: %d %s, ETag %q", path, w.Code, w.Body, tag)
		}
		for _, given := range []string{tag, `"other", W/` + tag, "*"} {
			if w := f.do(t, http.MethodGet, "/api/v1/"+path, "", header("If-None-Match", given)); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
				t.Errorf("%s with If-None-Match %s: %d %s, want 304 without a body", path, given, w.Code, w.Body)
			}
		}
		if w := f.do(t, http.MethodGet, "/api/v1/"+path, "", header("If-None-Match", `"other"`)); w.Code != http.StatusOK {
			t.Errorf("%s with another ETag: %d", path, w.Code)
		}
		none := strings.Replace(strings.Replace(path, "/1", "/2", 1), "/CP_001", "/CP_009", 1)
		w = f.do(t, http.MethodGet, "/api/v1/"+none, "")
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "#unknown_") {
			t.Errorf("%s: %d %s, want 404", none, w.Code, w.Body)
		}
	}
	was := f.do(t, http.MethodGet, "/api/v1/commands/1", "").Header().Get("ETag")
	f.archive.command = &view.Command{ID: "1", State: "done"}
	if now := f.do(t, http.MethodGet, "/api/v1/commands/1", "").Header().Get("ETag"); now == was {
		t.Error("another state has the same ETag")
	}
}

// TestAllowNamesTheMethods: 405 carries what may be done, for each address there
// is.
func TestAllowNamesTheMethods(t *testing.T) {
	f := newFixture(t)
	for path, want := range map[string]string{
		"/api/v1/sessions": "GET, HEAD, POST", "/api/v1/sessions/s-1": "GET, HEAD", "/api/v1/sessions/s-1/stop": "POST", "/api/v1/availability": "POST",
		"/api/v1/network": "GET, HEAD", "/api/v1/stream": "GET, HEAD", "/api/v1/openapi.json": "GET, HEAD", "/": "GET, HEAD", "/cp/CP_001": "GET, HEAD",
	} {
		for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			w := f.do(t, method, path, "")
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != want || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %d, Allow %q, %s; want 405 with %q", method, path, w.Code, w.Header().Get("Allow"), w.Header().Get("Content-Type"), want)
			}
		}
	}
	if w := f.do(t, http.MethodPut, "/api/v1/nothing", ""); w.Code != http.StatusNotFound {
		t.Errorf("a method at no address: %d, want 404", w.Code)
	}
}

// TestProblemsArePlain: whatever is refused has an absolute type that the page of
// problems explains, and neither repeats what came nor speaks of Go.
func TestProblemsArePlain(t *testing.T) {
	const secret = "hunter2hunter2"
	explained, err := os.ReadFile("../../../docs/PROBLEMS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := badRequests()
	for _, body := range []string{
		`{"cp_id":"` + secret + `!","connector":1,"username":"d"}`, `{"connector":"` + secret + `","username":"d"}`, `{"username":1.5}`, `[]`, `{`, `{"username":`,
		`{"cp_id":"CP_001","connector":1.0,"username":"d"}`, `{"cp_id":"CP_001","connector":1e0,"username":"d"}`, `{"username":"` + secret + strings.Repeat("x", 80) + `"}`,
		`{"` + strings.Repeat("k", 300) + `":1}`,
	} {
		rows = append(rows, badRequest{name: body, method: http.MethodPost, path: "/api/v1/sessions", body: body, status: 1})
	}
	golang := regexp.MustCompile(`json:|unmarshal|strconv|Go |struct|invalid character|EOF|goroutine|%!|\bnil\b|http:`)
	typed := regexp.MustCompile(`^https://github\.com/carga-ev/carga/blob/main/docs/PROBLEMS\.md#([a-z_]+)$`)
	for _, c := range rows {
		if c.status < 400 && c.status != 1 || strings.Contains(c.path, "%2f") || strings.Contains(c.path, "%5c") || strings.Contains(c.path, "%252e") {
			continue // good, or a file that is not there
		}
		change := c.change
		if change == nil {
			change = func(*http.Request) {}
		}
		w := newFixture(t).do(t, c.method, c.path, c.body, change)
		var p struct {
			Type, Title, Detail string
			Status              int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title == "" || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: no problem: %d %s %s", c.name, w.Code, w.Header().Get("Content-Type"), w.Body)
			continue
		}
		word := typed.FindStringSubmatch(p.Type)
		if word == nil || !strings.Contains(string(explained), "\n### "+word[1]+"\n") {
			t.Errorf("%s: type %q is not explained", c.name, p.Type)
		}
		if got := golang.FindString(strings.ReplaceAll(w.Body.String(), p.Type, "")); got != "" || strings.Contains(w.Body.String(), secret) || w.Body.Len() > 1000 {
			t.Errorf("%s: speaks of Go (%q), repeats what came or is long: %s", c.name, got, w.Body)
		}
	}
}
