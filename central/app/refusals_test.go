package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/wire"
)

// Each refusal has the HTTP status and the problem type of its code. What does
// not exist is 404 everywhere.
func TestRefusalsOfTheOperatorAPI(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		cfg.Network.Reservation = 30 * time.Second
		w, c, o := network(t, cfg)
		const post, get = http.MethodPost, http.MethodGet
		type row struct {
			method, path, body string
			status             int
			word               string // of a refusal
		}
		try := func(when string, rows ...row) {
			t.Helper()
			for _, r := range rows {
				a := c.ask(w, r.method, "/api/v1"+r.path, r.body, "")
				if a.status != r.status || r.word != "" && !strings.Contains(a.body, `PROBLEMS.md#`+r.word+`"`) {
					t.Errorf("%s: %s %s %s: got %d %s, want %d %s", when, r.method, r.path, r.body, a.status, a.body, r.status, r.word)
				}
			}
		}
		try("nothing is known",
			row{post, "/reservations", `{"username":"d"}`, 409, "no_free_cp"},
			row{post, "/reservations", `{"cp_id":"CP_9","username":"d"}`, 404, "unknown_cp"},
			row{post, "/reservations", `{"cp_id":"CP_9","connector":1,"username":"d"}`, 404, "unknown_cp"},
			row{post, "/sessions", `{"cp_id":"CP_9","connector":1,"username":"d"}`, 404, "unknown_cp"},
			row{post, "/availability", `{"cp_id":"CP_9","available":false}`, 404, "unknown_cp"},
			row{post, "/cps/CP_9/connectors/1/simulate", `{"action":"plug"}`, 404, "unknown_cp"},
			row{post, "/cps/CP_9/admit", "", 404, "unknown_cp"},
			row{post, "/cps/CP_9/pass-next", "", 404, "unknown_cp"},
			row{post, "/cps/CP_9/release", "", 404, "unknown_cp"},
			row{post, "/reservations/none/cancel", "", 404, "unknown_reservation"},
			row{post, "/sessions/none/stop", "", 404, "unknown_session"},
			row{post, "/sessions/none/settle", "", 404, "unknown_session"},
			row{post, "/gaps/7/explain", `{"note":"w"}`, 404, "unknown_gap"},
			row{post, "/alarms/7/clear", `{"note":"w"}`, 404, "unknown_alarm"},
			row{get, "/cps/CP_9", "", 404, "unknown_cp"},
			row{get, "/sessions/none", "", 404, "unknown_session"},
			row{get, "/tickets/none", "", 404, "unknown_ticket"},
			row{get, "/reservations/none", "", 404, "unknown_reservation"},
			row{get, "/commands/none", "", 404, "unknown_command"},
			row{get, "/gaps/7", "", 404, "unknown_gap"},
			row{get, "/alarms/7", "", 404, "unknown_alarm"},
			row{get, "/tickets?after=tickets:none", "", 410, "cursor_gone"},
			row{get, "/records?after=records:CP_9/j/1", "", 410, "cursor_gone"},
		)
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		try("a charging point is known",
			row{get, "/cps/CP_1", "", 200, ""},
			row{get, "/sessions/CP_1-1", "", 200, ""},
			row{get, "/tickets/t.CP_1-1", "", 200, ""},
			row{post, "/reservations", `{"cp_id":"CP_1","connector":7,"username":"d"}`, 404, "unknown_connector"},
			row{post, "/sessions", `{"cp_id":"CP_1","connector":7,"username":"d"}`, 404, "unknown_connector"},
			row{post, "/availability", `{"cp_id":"CP_1","connector":7,"available":false}`, 404, "unknown_connector"},
			row{post, "/cps/CP_1/connectors/7/simulate", `{"action":"plug"}`, 404, "unknown_connector"},
			row{post, "/cps/CP_1/pass-next", "", 409, "not_possible"},
			row{post, "/cps/CP_1/release", "", 409, "not_possible"},
			row{post, "/central/lift-fence", "", 409, "not_possible"},
			row{post, "/cps/CP_1/admit", "", 200, ""},
			row{post, "/sessions/CP_1-1/stop", "", 409, "session_ended"},
			row{post, "/reservations", `{"cp_id":"CP_1","connector":1,"username":"d"}`, 202, ""},
			row{post, "/reservations", `{"cp_id":"CP_1","connector":1,"username":"d"}`, 409, "too_many"},
			row{post, "/reservations", `{"cp_id":"CP_1","connector":1,"username":"e"}`, 409, "cp_busy"},
			row{post, "/sessions", `{"cp_id":"CP_1","connector":1,"username":"e"}`, 409, "cp_busy"},
		)
		id := field(c.get(w, "/api/v1/reservations"), "reservation_id")
		try("a reservation",
			row{get, "/reservations/" + id, "", 200, ""},
			row{post, "/reservations/" + id + "/cancel", "", 202, ""},
			row{post, "/reservations/" + id + "/cancel", "", 409, "reservation_ended"},
			row{post, "/availability", `{"cp_id":"CP_1","available":false}`, 202, ""},
			row{post, "/reservations", `{"cp_id":"CP_1","connector":1,"username":"e"}`, 409, "cp_unavailable"},
			row{post, "/availability", `{"all":true,"available":true}`, 202, ""},
		)
		time.Sleep(3 * time.Minute) // it is forgotten, but for the database
		try("long after", row{post, "/reservations/" + id + "/cancel", "", 409, "reservation_ended"})
		o.stop()
		c.stop()
	})
}

// field returns the text of a field of a JSON object.
func field(s, name string) string {
	_, s, _ = strings.Cut(s, `"`+name+`":"`)
	s, _, _ = strings.Cut(s, `"`)
	return s
}

// Every code with which package orders or the writer refuses an operator is a
// known problem type, so that none is answered as an internal error.
func TestEveryRefusalIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/PROBLEMS.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	for _, dir := range []string{"../orders", "../internal/ingest", "../../internal/wire"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				refusals(t, file, words)
			}
		}
	}
	if len(words) < 15 {
		t.Errorf("only %d words were found: %v", len(words), words)
	}
	drivers := map[string]bool{ // words of the driver's protocol alone
		wire.RefusedStale: true, wire.RefusedInvalid: true, wire.RefusedReused: true,
	}
	for word, name := range words {
		if !drivers[word] && !strings.Contains(string(page), "\n### "+word+"\n") {
			t.Errorf("%s: %q has no kind of problem", name, word)
		}
	}
}

// refusals returns the constants of a file that are named Refused… or refused….
func refusals(t *testing.T, file string, words map[string]string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Names) != 1 || len(v.Values) != 1 || !strings.HasPrefix(strings.ToLower(v.Names[0].Name), "refused") {
			return true
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			word, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			words[word] = v.Names[0].Name
		}
		return true
	})
}
