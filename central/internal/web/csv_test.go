package web_test

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"github.com/carga-ev/carga/central/view"
)

// TestCSV: a list as CSV has all rows, in both forms, and no cell is a formula.
func TestCSV(t *testing.T) {
	f := newFixture(t)
	f.archive.rows = 1201
	for _, c := range []struct {
		query, accept string
		comma         rune
		contentType   string
		cost, driver  string
	}{
		{"format=csv", "", ',', "text/csv; charset=utf-8; header=present", "-3.42", "'=Jürgen 漢,;\""},
		{"limit=2", "text/csv, */*;q=0.1", ',', "text/csv; charset=utf-8; header=present", "-3.42", "'=Jürgen 漢,;\""},
		{"format=excel&limit=7", "application/json", ';', "text/csv; charset=windows-1252; header=present", "-3,42", "'=Jürgen ?,;\""},
	} {
		w := f.do(t, http.MethodGet, "/api/v1/tickets?"+c.query, "", header("Accept", c.accept))
		body := w.Body.String()
		if c.comma == ';' {
			var err error
			if body, err = charmap.Windows1252.NewDecoder().String(body); err != nil {
				t.Fatal(err)
			}
		}
		r := csv.NewReader(strings.NewReader(body))
		r.Comma = c.comma
		rows, err := r.ReadAll()
		if err != nil || len(rows) != 1202 || w.Code != http.StatusOK || w.Header().Get("Content-Type") != c.contentType {
			t.Fatalf("%s: %d %s, %d rows, %v", c.query, w.Code, w.Header().Get("Content-Type"), len(rows), err)
		}
		if last := rows[1201]; rows[0][0] != "ticket_id" || last[0] != "1200" || last[4] != c.driver || last[6] != c.cost {
			t.Errorf("%s: head %q, last %q", c.query, rows[0], last)
		}
		if last := rows[1201]; rows[0][13] != "adopted" || last[13] != "true" {
			t.Errorf("%s: head %q, adopted %q", c.query, rows[0], last[13])
		}
		amounts := strings.ReplaceAll("-1.00|-2.42|||-0.59|21|corrected", ".", c.cost[2:3])
		if last := rows[1201]; strings.Join(rows[0][15:], "|") != "start_amount|energy_amount|time_amount|idle_amount|tax|tax_percent|clock" || strings.Join(last[15:], "|") != amounts {
			t.Errorf("%s: head %q, amounts %q", c.query, rows[0][15:], last[15:])
		}
		if !strings.Contains(body, "\r\n") || !strings.Contains(w.Header().Get("Content-Disposition"), "tickets.csv") {
			t.Errorf("%s: %s", c.query, w.Header())
		}
	}
	for _, query := range []string{"", "?format=json"} {
		if w := f.do(t, http.MethodGet, "/api/v1/tickets"+query, "", header("Accept", "*/*")); w.Header().Get("Content-Type") != "application/json" || !strings.HasPrefix(w.Body.String(), `{"items":[{`) {
			t.Errorf("%s: %s", w.Header().Get("Content-Type"), w.Body)
		}
	}
}

// TestTicketsOfASession: the archive gets the filter.
func TestTicketsOfASession(t *testing.T) {
	f := newFixture(t)
	w := f.do(t, http.MethodGet, "/api/v1/tickets?session_id=s1", "")
	if w.Code != http.StatusOK || len(f.archive.queries) != 1 || f.archive.queries[0].SessionID != "s1" {
		t.Errorf("%d %s, asked %+v", w.Code, w.Body, f.archive.queries)
	}
	if w := f.do(t, http.MethodGet, "/api/v1/tickets?session_id=a%20b", ""); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a bad id: %d %s", w.Code, w.Body)
	}
}

// TestSums: the archive gets the filters and the period of a summary.
func TestSums(t *testing.T) {
	f := newFixture(t)
	w := f.do(t, http.MethodGet, "/api/v1/summary/tickets?period=month&cp_id=CP_001&username=ana&from=2026-01-01T00:00:00Z", "")
	if want := (view.Query{From: 1767225600000, CPID: "CP_001", Username: "ana"}); w.Code != http.StatusOK || len(f.archive.queries) != 1 || f.archive.queries[0] != want {
		t.Errorf("%d %s, asked %+v", w.Code, w.Body, f.archive.queries)
	}
	if !strings.Contains(w.Body.String(), `{"items":[{"period":"month","currency":"EUR","tickets":2,"energy_wh":0,"cost":"3.42"}]}`) {
		t.Errorf("got %s", w.Body)
	}
}

// TestSeries: older points are from records, later ones from memory, each once and
// not more than asked for.
func TestSeries(t *testing.T) {
	f := newFixture(t)
	for query, want := range map[string]string{
		"?from=1970-01-01T00:00:08Z&to=1970-01-01T00:00:12Z":             `{"connector":1,"t":[8000,9000,10000,11000],"w":[11000,11000,7200,7200],"e":[1,1,2,2]}`,
		"?from=1970-01-01T00:00:18Z&to=1970-01-01T00:00:30Z&connector=1": `{"connector":1,"t":[18000,19000],"w":[7200,7200],"e":[2,2]}`,
		"?from=1970-01-01T00:00:00Z&to=1970-01-01T00:00:12Z&points=3":    `{"connector":1,"t":[1,5001,11000],"w":[11000,11000,7200],"e":[1,1,2]}`,
		"?from=1970-01-01T00:00:12Z&to=1970-01-01T00:00:08Z":             `{"connector":1,"t":[],"w":[],"e":[]}`,
	} {
		if w := f.do(t, http.MethodGet, "/api/v1/cps/CP_001/series"+query, ""); w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s: %d %s, want %s", query, w.Code, w.Body, want)
		}
	}
	for _, path := range []string{"CP_009/series", "CP_001/series?connector=2"} {
		if w := f.do(t, http.MethodGet, "/api/v1/cps/"+path, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "#unknown_connector") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
