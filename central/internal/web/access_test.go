package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// keeper is an Accounts whose secrets are the names of the roles, filled up to the
// length of a secret. It executes nothing and records what it was asked for.
type keeper struct {
	mu      sync.Mutex
	calls   []string
	entries []access.Entry
	ended   bool  // the log-ins have ended
	refusal error // of what is executed
	broken  error // of recognising
	empty   bool  // there is no account yet
}

// secretOf returns the secret of a role's log-in and token; a screen has a token alone.
func secretOf(r access.Role) string {
	prefix := "login_"
	if r == access.Screen {
		prefix = access.TokenPrefix
	}
	return prefix + string(r) + strings.Repeat("-", 50-len(prefix)-len(r))
}

func principalOf(secret string) (access.Principal, bool) {
	for _, r := range access.Roles() {
		if secret == secretOf(r) {
			p := access.Principal{Name: string(r) + "1", Role: r, LoginID: "login-" + string(r)}
			switch r {
			case access.Driver:
				p.Username = "ana"
			case access.Screen:
				p.CPID = "CP_001"
			case access.Admin, access.Operator, access.Auditor:
			}
			return p, true
		}
	}
	return access.Principal{}, false
}

func (k *keeper) note(format string, args ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, fmt.Sprintf(format, args...))
	return k.refusal
}

func (k *keeper) all() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.calls, "; ")
}

func (k *keeper) Cookie(_ context.Context, secret string, _ time.Time) (access.Principal, bool, error) {
	p, ok := principalOf(secret)
	return p, ok && !k.ended, k.broken
}

func (k *keeper) Bearer(_ context.Context, secret string, _ time.Time) (access.Principal, bool, error) {
	p, ok := principalOf(secret)
	p.Name, p.LoginID = "token:"+p.Name, ""
	return p, ok, k.broken
}

func (k *keeper) Valid(context.Context, string, time.Time) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.ended, nil
}

func (k *keeper) NeedsSetup(context.Context) (bool, error) { return k.empty, nil }

func (k *keeper) SignIn(_ context.Context, name, _ string, from access.Client, _ time.Time) (string, access.Principal, error) {
	err := k.note("sign in %s from %s", name, from.Addr)
	p, _ := principalOf(secretOf(access.Role(name)))
	return secretOf(access.Role(name)), p, err
}

func (k *keeper) SignInByKey(_ context.Context, key string, _ access.Client, _ time.Time) (string, access.Principal, error) {
	err := k.note("sign in by key")
	if key != "right" {
		err = &access.RefusedError{Word: "wrong_credentials", Detail: "no"}
	}
	p, _ := principalOf(secretOf(access.Admin))
	return secretOf(access.Admin), p, err
}

func (k *keeper) SignInScreen(context.Context, string, access.Client, time.Time) (access.Principal, error) {
	p, _ := principalOf(secretOf(access.Screen))
	return p, k.note("sign in screen")
}

func (k *keeper) Setup(_ context.Context, _, name, _ string, _ access.Client, _ time.Time) (string, access.Principal, error) {
	err := k.note("set up %s", name)
	p, _ := principalOf(secretOf(access.Admin))
	return secretOf(access.Admin), p, err
}

func (k *keeper) SignOut(_ context.Context, by access.Actor, _ time.Time) error {
	return k.note("sign out %s", by.LoginID)
}

func (k *keeper) Logins(_ context.Context, p access.Principal, _ time.Time) ([]access.Login, error) {
	return []access.Login{{ID: p.LoginID, Account: p.Name}}, k.note("logins of %s", p.Name)
}

func (k *keeper) EndLogin(_ context.Context, by access.Actor, id string, _ time.Time) error {
	return k.note("end login %s of %s", id, by.Name)
}

func (k *keeper) ChangePassword(_ context.Context, by access.Actor, _, _ string, _ time.Time) error {
	return k.note("password of %s", by.Name)
}

func (k *keeper) Accounts(context.Context, string, int) ([]access.Account, error) {
	return []access.Account{{Name: "root", Role: access.Admin, Password: "$argon2id$hash"}}, k.note("accounts")
}

func (k *keeper) AddAccount(_ context.Context, _ access.Actor, a access.Account, _ string, _ time.Time) error {
	return k.note("add %s %s", a.Name, a.Role)
}

func (k *keeper) ChangeAccount(_ context.Context, _ access.Actor, name string, c access.Change, _ time.Time) error {
	return k.note("change %s %v", name, c.Disabled != nil && *c.Disabled)
}

func (k *keeper) Tokens(context.Context) ([]access.Token, error) {
	return []access.Token{{ID: "t-1", Name: "script", Role: access.Operator}}, k.note("tokens")
}

func (k *keeper) AddToken(_ context.Context, _ access.Actor, t access.Token, _ time.Time) (access.Token, string, error) {
	t.ID = "t-2"
	return t, "carga_secret", k.note("add token %s", t.Name)
}

func (k *keeper) RevokeToken(_ context.Context, _ access.Actor, id string, _ time.Time) error {
	return k.note("revoke %s", id)
}

func (k *keeper) MayReserve(charge.Username, time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refusal
}

func (k *keeper) Record(_ context.Context, e access.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = append(k.entries, e)
	return nil
}

// ownedArchive has a session, a ticket, a reservation and a command of ana, with the
// id "ana", and one of each of ben. Everything else is as in archive.
type ownedArchive struct{ archive }

// itemOf returns v if a driver, or "" for any, owns the item with the id.
func itemOf[T any](owner charge.Username, id string, v T) *T {
	if id != "ana" && id != "ben" || owner != "" && string(owner) != id {
		return nil
	}
	return &v
}

func (*ownedArchive) Session(_ context.Context, owner charge.Username, id charge.SessionID) (*view.Session, error) {
	return itemOf(owner, string(id), view.Session{ID: id}), nil
}

func (*ownedArchive) Ticket(_ context.Context, owner charge.Username, id string) (*view.Ticket, error) {
	return itemOf(owner, id, view.Ticket{ID: id}), nil
}

func (*ownedArchive) Reservation(_ context.Context, owner charge.Username, id charge.ReservationID) (*view.Reservation, error) {
	return itemOf(owner, string(id), view.Reservation{ID: id}), nil
}

func (*ownedArchive) Card(_ context.Context, owner charge.Username, id cards.ID) (*view.Card, error) {
	return itemOf(owner, string(id), view.Card{ID: id}), nil
}

func (*ownedArchive) Command(_ context.Context, owner charge.Username, id charge.CommandID) (*view.Command, error) {
	return itemOf(owner, string(id), view.Command{ID: id, EndedAt: 1}), nil
}

type switches struct{}

func (switches) Cut(string) error     { return nil }
func (switches) Restore(string) error { return nil }

// guarded is a fixture with accounts.
type guarded struct {
	fixture
	keeper  *keeper
	archive *ownedArchive
}

func newGuarded(t *testing.T, change ...func(*web.Config)) *guarded {
	t.Helper()
	g := &guarded{keeper: &keeper{}, archive: &ownedArchive{}}
	g.live, g.orders = newNetwork(), &orderLog{answer: web.Answer{Accepted: true}}
	cfg := web.Config{Accounts: g.keeper, Observe: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("broker 192.0.2.9")) })}
	for _, c := range change {
		c(&cfg)
	}
	s, err := web.New(cfg, g.live, g.orders, g.archive, switches{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.server = s
	return g
}

// as makes a request with the cookie of a role, as the page makes it; "" without.
func as(r access.Role) func(*http.Request) {
	return func(req *http.Request) {
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		if r != "" {
			req.Header.Set("Cookie", "sid="+secretOf(r))
		}
	}
}

func bearer(r access.Role) func(*http.Request) { return header("Authorization", "Bearer "+secretOf(r)) }

// route is one operation with a request that is valid but for its permission.
type route struct {
	id, method, path, body string
	owned                  bool // it names an item that has an owner
}

// bodies are valid bodies of the operations that need one, by their ids.
func bodies() map[string]string {
	return map[string]string{
		"sign-in-screen": `{"token":"x"}`,
		"sign-in":        `{"name":"admin","password":"x"}`, "set-up": `{"code":"x","name":"root","password":"x"}`, "change-password": `{"old":"a","password":"b"}`,
		"add-account": `{"name":"eve","role":"auditor"}`, "change-account": `{"disabled":true}`, "add-token": `{"name":"script","role":"operator"}`,
		"reserve": `{"username":"ana"}`, "charge": `{"username":"ana"}`, "start": `{"cp_id":"CP_001","connector":1,"username":"ana"}`, "set-availability": `{"all":true,"available":false}`,
		"simulate": `{"action":"plug"}`, "act-on-site": `{"action":"reset"}`, "explain-gap": `{"note":"n"}`, "clear-alarm": `{"note":"n"}`, "cut-or-restore": `{"up":true}`, "set-cp-settings": `{"name":"n"}`,
		"add-group": `{"name":"hall","limit_ma":32000,"cps":["CP_1"]}`, "change-group": `{"name":"hall","limit_ma":32000,"cps":["CP_1"]}`,
		"add-card": `{"uid":"04A1B2C3","username":"ana"}`, "change-card": `{"blocked":true}`,
		"add-tariff": `{"version":"t2","currency":"EUR","per_kwh":"0.45"}`, "preview-tariff": `{"currency":"EUR","per_kwh":"0.45"}`,
	}
}

// routes returns every operation, from the description of the API.
func (g *guarded) routes(t *testing.T) (all []route) {
	t.Helper()
	var api struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	w := g.do(t, http.MethodGet, "/api/v1/openapi.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &api); err != nil {
		t.Fatal(err)
	}
	owned := regexp.MustCompile(`^/api/v1/(sessions|tickets|reservations|commands|cards)/\{id\}`)
	for path, methods := range api.Paths {
		for method, o := range methods {
			r := route{id: o.OperationID, method: strings.ToUpper(method), body: bodies()[o.OperationID], owned: owned.MatchString(path)}
			id := "ana"
			if strings.Contains(path, "/gaps/") || strings.Contains(path, "/dead-letters/") || strings.Contains(path, "/alarms/") {
				id = "1"
			}
			r.path = strings.NewReplacer("{cp}", "CP_001", "{n}", "1", "{part}", "kafka", "{name}", "root", "{id}", id).Replace(path)
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b route) int { return strings.Compare(a.id, b.id) })
	return all
}

// mayTable is the expectation, written down once more by hand: which roles may
// execute an operation, as letters a(dmin) o(perator) u(auditor) d(river) s(creen),
// and - for a request without a sign-in.
func mayTable() map[string]string {
	const (
		open, signedIn, read, act, own, admin = "aouds-", "aoud", "aou", "ao", "aod", "a"
	)
	return map[string]string{
		"get-me": open, "sign-in": open, "sign-out": open, "set-up": open, "sign-in-screen": open,
		"list-logins": signedIn, "end-login": signedIn, "change-password": signedIn,
		"list-accounts": admin, "add-account": admin, "change-account": admin, "disable-account": admin,
		"get-support": admin, "list-tokens": admin, "add-token": admin, "revoke-token": admin,
		"list-audit": read, "get-network": read, "get-cp": read + "s", "stream": signedIn + "s", "get-series": read, "get-cp-settings": read, "list-dead-letters": read, "list-bridge-dead-letters": read, "sum-tickets": signedIn, "replay-dead-letter": act, "set-cp-settings": act, "list-commands": read, "list-records": read,
		"list-gaps": read, "get-gap": read, "list-alarms": read, "get-alarm": read,
		"get-command": signedIn, "list-sessions": signedIn, "get-session": signedIn, "list-tickets": signedIn, "get-ticket": signedIn,
		"list-reservations": signedIn, "get-reservation": signedIn,
		"reserve": own, "cancel-reservation": own, "start": own, "charge": own, "stop": own,
		"set-availability": act, "simulate": act + "s", "act-on-site": act, "admit": act, "pass-next": act, "release": act, "settle": act, "explain-gap": act, "clear-alarm": act, "lift-fence": act,
		"cut-or-restore": act, "list-groups": read, "add-group": act, "change-group": act, "delete-group": act, "list-cards": signedIn, "get-card": signedIn, "add-card": act, "change-card": act, "delete-card": act,
		"list-tariffs": signedIn, "add-tariff": act, "preview-tariff": act,
	}
}

// TestAuthorizationMatrix: every operation × role × way to sign in × owner, by the
// real handler. A refusal has no effect, on orders or accounts.
func TestAuthorizationMatrix(t *testing.T) {
	letters := map[access.Role]string{access.Admin: "a", access.Operator: "o", access.Auditor: "u", access.Driver: "d", access.Screen: "s", "": "-"}
	all := newGuarded(t).routes(t)
	may := mayTable()
	for _, r := range all {
		if may[r.id] == "" {
			t.Errorf("%s is not in the table of this test", r.id)
		}
	}
	if len(all) != len(may) {
		t.Errorf("%d operations, %d in the table of this test", len(all), len(may))
	}
	g := newGuarded(t)
	for role, letter := range letters {
		for _, r := range all {
			for _, way := range []struct {
				name string
				set  func(*http.Request)
			}{{"cookie", as(role)}, {"token", bearer(role)}} {
				paths := []string{r.path}
				if r.owned {
					paths = append(paths, strings.Replace(r.path, "/ana", "/ben", 1), strings.Replace(r.path, "/ana", "/nothing", 1))
				}
				for _, path := range paths {
					g.keeper.calls, g.orders.received = nil, nil
					ctx, cancel := context.WithCancel(t.Context())
					if r.id == "stream" {
						cancel() // it ends at once
					}
					w := g.do(t, r.method, path, r.body, way.set, func(req *http.Request) {
						*req = *req.WithContext(ctx)
						if r.method == http.MethodPatch || r.id == "change-group" || r.id == "delete-group" {
							req.Header.Set("If-Match", `"1"`)
						}
					})
					cancel()
					g.verdict(t, fmt.Sprintf("%s by %s of %q: %s %s", r.id, way.name, role, r.method, path), w, r, role, path, strings.Contains(may[r.id], letter))
				}
			}
		}
	}
}

// verdict compares one answer of the matrix with what is permitted.
func (g *guarded) verdict(t *testing.T, what string, w *httptest.ResponseRecorder, r route, role access.Role, path string, permitted bool) {
	t.Helper()
	effects := g.orders.all() + g.keeper.all()
	switch {
	case !permitted && role == "":
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "#sign_in_required") || w.Header().Get("WWW-Authenticate") == "" || effects != "" {
			t.Errorf("%s: got %d %s, effects %q; want it refused with 401", what, w.Code, w.Body, effects)
		}
	case !permitted:
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "#not_permitted") || effects != "" {
			t.Errorf("%s: got %d %s, effects %q; want it refused with 403", what, w.Code, w.Body, effects)
		}
	case r.owned && (strings.Contains(path, "/nothing") && r.method == http.MethodGet || role == access.Driver && !strings.Contains(path, "/ana")):
		if w.Code != http.StatusNotFound || effects != "" {
			t.Errorf("%s: got %d %s, effects %q; want it not found", what, w.Code, w.Body, effects)
		}
	case w.Code >= 400:
		t.Errorf("%s: got %d %s, want it permitted", what, w.Code, w.Body)
	}
	if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: content type %q", what, w.Header().Get("Content-Type"))
	}
	if strings.Contains(w.Body.String(), "argon2id") {
		t.Errorf("%s: the answer has the hash of a password", what)
	}
}

// TestADriverSeesItsOwnAlone: its lists are limited to it, whatever it filters for.
func TestADriverSeesItsOwnAlone(t *testing.T) {
	for _, list := range []string{"sessions", "tickets", "reservations", "cards"} {
		g := newGuarded(t)
		for _, query := range []string{"", "?username=ben", "?username=ana"} {
			if w := g.do(t, http.MethodGet, "/api/v1/"+list+query, "", as(access.Driver)); w.Code != http.StatusOK {
				t.Fatalf("%s%s: %d %s", list, query, w.Code, w.Body)
			}
		}
		g.do(t, http.MethodGet, "/api/v1/"+list, "", as(access.Operator))
		for i, q := range g.archive.queries {
			if want := charge.Username("ana"); i < 3 && q.Owner != want || i == 3 && q.Owner != "" {
				t.Errorf("%s, query %d: owner %q", list, i, q.Owner)
			}
		}
		if len(g.archive.queries) != 4 {
			t.Errorf("%s: %d queries", list, len(g.archive.queries))
		}
	}
}

// TestAScreenHasOneChargingPoint: it reads and moves its own alone, and no answer names
// a driver. Its token signs in a browser, and no other token does.
func TestAScreenHasOneChargingPoint(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		status             int
		order              string
	}{
		{"GET", "/cps/CP_001", "", 200, ""},
		{"GET", "/cps/CP_002", "", 404, ""},
		{"POST", "/cps/CP_001/connectors/1/simulate", `{"action":"plug"}`, 202, "simulate CP_001 1 plug "},
		{"POST", "/cps/CP_002/connectors/1/simulate", `{"action":"plug"}`, 404, ""},
		{"GET", "/tickets", "", 403, ""},
		{"POST", "/cps/CP_001/admit", "", 403, ""},
	} {
		for _, way := range []func(*http.Request){as(access.Screen), bearer(access.Screen)} {
			g := newGuarded(t)
			g.live.set(view.Connector{Connector: 1, Status: charge.StatusCharging, SessionID: "s1", Username: "Ana", ReservationID: "r1"}, "")
			w := g.do(t, c.method, "/api/v1"+c.path, c.body, way)
			if w.Code != c.status || g.orders.all() != c.order || strings.Contains(w.Body.String(), "Ana") || c.method == "GET" && c.status == 200 && !strings.Contains(w.Body.String(), "s1") {
				t.Errorf("%s %s: got %d %s, orders %q", c.method, c.path, w.Code, w.Body, g.orders.all())
			}
		}
	}
	g := newGuarded(t)
	secret := secretOf(access.Screen)
	w := g.do(t, http.MethodPost, "/api/v1/session/screen", `{"token":"`+secret+`"}`)
	if got := w.Header().Get("Set-Cookie"); w.Code != http.StatusOK || !strings.HasPrefix(got, "sid="+secret+"; Path=/; Max-Age=") || !strings.Contains(got, "HttpOnly") || !strings.Contains(w.Body.String(), `"cp_id":"CP_001"`) {
		t.Errorf("%d %s, cookie %q", w.Code, w.Body, got)
	}
	operator := "carga_" + strings.TrimPrefix(secretOf(access.Operator), "login_")
	if w := g.do(t, http.MethodGet, "/api/v1/network", "", header("Cookie", "sid="+operator)); w.Code != http.StatusUnauthorized {
		t.Errorf("the token of an operator as a cookie: %d %s", w.Code, w.Body)
	}
}

// TestADriverOrdersForItselfAlone: the name is that of the account; another one is
// refused.
func TestADriverOrdersForItselfAlone(t *testing.T) {
	for _, c := range []struct {
		role         access.Role
		path, body   string
		status       int
		order, words string
	}{
		{access.Driver, "/reservations", `{"cp_id":"CP_001"}`, 202, "reserve CP_001 0 ana", ""},
		{access.Driver, "/reservations", `{"username":"ana"}`, 202, "reserve  0 ana", ""},
		{access.Driver, "/reservations", `{"username":"ben"}`, 403, "", "#not_permitted"},
		{access.Driver, "/reservations", `{"username":"Ana"}`, 403, "", "#not_permitted"},
		{access.Driver, "/sessions", `{"cp_id":"CP_001","connector":1}`, 202, "start CP_001 1 ana", ""},
		{access.Driver, "/sessions", `{"cp_id":"CP_001","connector":1,"username":"ben"}`, 403, "", "#not_permitted"},
		{access.Operator, "/sessions", `{"cp_id":"CP_001","connector":1}`, 422, "", "#bad_username"},
		{access.Operator, "/sessions", `{"cp_id":"CP_001","connector":1,"username":"ben"}`, 202, "start CP_001 1 ben", ""},
		{access.Driver, "/sessions", `{"cp_id":"CP_001","connector":1,"role":"admin"}`, 422, "", "body.role"},
	} {
		g := newGuarded(t)
		w := g.do(t, http.MethodPost, "/api/v1"+c.path, c.body, as(c.role))
		if w.Code != c.status || g.orders.all() != c.order || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%s %s %s: got %d %s, orders %q", c.role, c.path, c.body, w.Code, w.Body, g.orders.all())
		}
	}
	g := newGuarded(t)
	g.keeper.refusal = &access.RefusedError{Word: "too_many_requests", Detail: "wait", After: 7 * time.Second}
	w := g.do(t, http.MethodPost, "/api/v1/reservations", `{}`, as(access.Driver))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "7" || g.orders.all() != "" {
		t.Errorf("too many: got %d %s, Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
}

// TestCookiesAndTokens: what is no secret of a log-in or a token is no sign-in.
func TestCookiesAndTokens(t *testing.T) {
	admin := secretOf(access.Admin)
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set(name, value)
		}
	}
	for _, c := range []struct {
		name   string
		change []func(*http.Request)
		status int
	}{
		{"a cookie", []func(*http.Request){set("Cookie", "sid="+admin)}, 200},
		{"cut short", []func(*http.Request){set("Cookie", "sid="+admin[:49])}, 401},
		{"of another length", []func(*http.Request){set("Cookie", "sid="+admin+strings.Repeat("x", 1000))}, 401},
		{"empty", []func(*http.Request){set("Cookie", "sid=")}, 401},
		{"by another name", []func(*http.Request){set("Cookie", "session="+admin)}, 401},
		{"of HTTPS, by plain HTTP", []func(*http.Request){set("Cookie", "__Host-sid="+admin)}, 401},
		{"with SQL", []func(*http.Request){set("Cookie", "sid='OR'1'='1'--"+strings.Repeat("x", 34))}, 401},
		{"a token", []func(*http.Request){set("Authorization", "Bearer "+admin)}, 200},
		{"small letters", []func(*http.Request){set("Authorization", "bearer "+admin)}, 200},
		{"a wrong token and a right cookie", []func(*http.Request){set("Cookie", "sid="+admin), set("Authorization", "Bearer "+strings.Repeat("x", 50))}, 401},
		{"a short token and a right cookie", []func(*http.Request){set("Cookie", "sid="+admin), set("Authorization", "Bearer x")}, 401},
		{"a password for a proxy, and a cookie", []func(*http.Request){set("Cookie", "sid="+admin), set("Authorization", "Basic YTpi")}, 200},
		{"a token in the query", []func(*http.Request){func(r *http.Request) { r.URL.RawQuery = "key=" + admin }}, 401},
	} {
		g := newGuarded(t)
		if w := g.do(t, http.MethodGet, "/api/v1/network", "", c.change...); w.Code != c.status {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
	}
	g := newGuarded(t)
	g.keeper.ended = true
	if w := g.do(t, http.MethodGet, "/api/v1/network", "", as(access.Admin)); w.Code != http.StatusUnauthorized {
		t.Errorf("a log-in that has ended: got %d", w.Code)
	}
	g = newGuarded(t)
	g.keeper.broken = errors.New("disk failed at /var/lib")
	if w := g.do(t, http.MethodGet, "/api/v1/network", "", as(access.Admin)); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "/var/lib") {
		t.Errorf("no database: got %d %s", w.Code, w.Body)
	}
}

// TestRequestsWithACookieNeedAnOrigin: browsers send one; a request that has a cookie
// and no origin was not made by the page. A token needs none.
func TestRequestsWithACookieNeedAnOrigin(t *testing.T) {
	cookie := header("Cookie", "sid="+secretOf(access.Operator))
	for _, c := range []struct {
		name   string
		change []func(*http.Request)
		status int
	}{
		{"no header", []func(*http.Request){cookie}, 403},
		{"an empty origin", []func(*http.Request){cookie, header("Origin", "")}, 403},
		{"same origin", []func(*http.Request){cookie, header("Sec-Fetch-Site", "same-origin")}, 200},
		{"an old browser", []func(*http.Request){cookie, header("Origin", "http://127.0.0.1:8080")}, 200},
		{"another origin", []func(*http.Request){cookie, header("Origin", "http://evil.example")}, 403},
		{"no origin", []func(*http.Request){cookie, header("Origin", "null")}, 403},
		{"another site", []func(*http.Request){cookie, header("Sec-Fetch-Site", "cross-site")}, 403},
		{"another page of the site", []func(*http.Request){cookie, header("Sec-Fetch-Site", "same-site")}, 403},
		{"a token", []func(*http.Request){bearer(access.Operator)}, 200},
		{"a cookie that is none", []func(*http.Request){header("Cookie", "sid=x")}, 403},
		{"neither", nil, 401},
	} {
		g := newGuarded(t)
		w := g.do(t, http.MethodPost, "/api/v1/cps/CP_001/admit", "", c.change...)
		if w.Code != c.status || c.status != 200 && g.orders.all() != "" {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
	}
	g := newGuarded(t)
	if w := g.do(t, http.MethodDelete, "/api/v1/session", "", cookie); w.Code != http.StatusForbidden || g.keeper.all() != "" {
		t.Errorf("a forged sign-out: got %d", w.Code)
	}
}

// TestSignInSetsACookie: which cookie depends on how browsers reach the page.
func TestSignInSetsACookie(t *testing.T) {
	for _, c := range []struct {
		public, want string
	}{
		{"", "sid=" + secretOf(access.Operator) + "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"},
		{"https://ops.example", "__Host-sid=" + secretOf(access.Operator) + "; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict"},
		{"https://ops.example/carga/", "__Secure-sid=" + secretOf(access.Operator) + "; Path=/carga; Max-Age=43200; HttpOnly; Secure; SameSite=Strict"},
	} {
		g := newGuarded(t, func(cfg *web.Config) {
			if c.public != "" {
				cfg.PublicURL, _ = url.Parse(c.public)
			}
		})
		w := g.do(t, http.MethodPost, "/api/v1/session", `{"name":"operator","password":"x"}`)
		if got := w.Header().Get("Set-Cookie"); w.Code != http.StatusOK || got != c.want {
			t.Errorf("%q: %d %s, cookie %q, want %q", c.public, w.Code, w.Body, got, c.want)
		}
		var me web.Me
		if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil || me.Role != "operator" || me.Name != "operator1" || !slices.Contains(me.Permissions, access.CPAdmit) {
			t.Errorf("answered %s %v", w.Body, err)
		}
		name, _, _ := strings.Cut(c.want, "=")
		w = g.do(t, http.MethodGet, "/api/v1/network", "", header("Cookie", name+"="+secretOf(access.Operator)))
		if w.Code != http.StatusOK {
			t.Errorf("%q: its own cookie: %d", c.public, w.Code)
		}
		w = g.do(t, http.MethodDelete, "/api/v1/session", "", func(r *http.Request) {
			r.Header.Set("Cookie", name+"="+secretOf(access.Operator))
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		})
		if got := w.Header().Get("Set-Cookie"); w.Code != http.StatusNoContent || !strings.Contains(got, name+"=;") || !strings.Contains(got, "Max-Age=0") {
			t.Errorf("%q: sign out: %d %q", c.public, w.Code, got)
		}
		if !strings.Contains(g.keeper.all(), "sign out login-operator") {
			t.Errorf("sign out: %s", g.keeper.all())
		}
	}
}

// TestANewSignInReplacesTheOld: the log-in of before ends, so that it cannot be used
// by a program that knew it.
func TestANewSignInReplacesTheOld(t *testing.T) {
	g := newGuarded(t)
	if w := g.do(t, http.MethodPost, "/api/v1/session", `{"name":"admin","password":"x"}`, as(access.Driver)); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := g.keeper.all(); got != "sign in admin from 192.0.2.1; sign out login-driver" {
		t.Errorf("got %q", got)
	}
}

// TestSignInByLink: a link signs in and leads to a path of this server alone.
func TestSignInByLink(t *testing.T) {
	for _, c := range []struct {
		query, to string
		status    int
	}{
		{"?key=right", "/", 303},
		{"?key=right&next=/d", "/d", 303},
		{"?key=right&next=//evil.example", "/", 303},
		{"?key=right&next=%5C%5Cevil.example", "/", 303},
		{"?key=right&next=https://evil.example", "/", 303},
		{"?key=wrong", "", 401},
	} {
		g := newGuarded(t)
		w := g.do(t, http.MethodGet, "/signin"+c.query, "")
		if w.Code != c.status || w.Header().Get("Location") != c.to || (c.status == 303) != (w.Header().Get("Set-Cookie") != "") {
			t.Errorf("%s: got %d to %q, cookie %q", c.query, w.Code, w.Header().Get("Location"), w.Header().Get("Set-Cookie"))
		}
	}
	g := newGuarded(t, func(cfg *web.Config) { cfg.PublicURL, _ = url.Parse("https://ops.example/carga") })
	if w := g.do(t, http.MethodGet, "/carga/signin?key=right&next=/d", ""); w.Header().Get("Location") != "/carga/d" {
		t.Errorf("below a path: to %q", w.Header().Get("Location"))
	}
}

// TestMe: before and after a sign-in, at the first start, and with open access.
func TestMe(t *testing.T) {
	get := func(f *fixture, change ...func(*http.Request)) (m web.Me) {
		t.Helper()
		w := f.do(t, http.MethodGet, "/api/v1/me", "", change...)
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return m
	}
	g := newGuarded(t)
	if m := get(&g.fixture); m.Role != "" || m.Access != "accounts" || m.Setup || m.Permissions == nil || len(m.Permissions) != 0 {
		t.Errorf("not signed in: %+v", m)
	}
	if m := get(&g.fixture, as(access.Driver)); m.Role != "driver" || m.Username != "ana" || slices.Contains(m.Permissions, access.NetworkRead) {
		t.Errorf("a driver: %+v", m)
	}
	g.keeper.empty = true
	if m := get(&g.fixture); !m.Setup {
		t.Errorf("the first start: %+v", m)
	}
	open := newFixture(t)
	if m := get(open); m.Role != "operator" || m.Name != "local" || m.Access != "open" || slices.Contains(m.Permissions, access.AccountRead) {
		t.Errorf("open: %+v", m)
	}
	for path, want := range map[string]int{"/api/v1/accounts": 403, "/api/v1/tokens": 403, "/api/v1/logins": 200, "/api/v1/audit": 200} {
		if w := open.do(t, http.MethodGet, path, ""); w.Code != want {
			t.Errorf("open: %s: got %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/api/v1/session", "/api/v1/setup", "/api/v1/me/password"} {
		body := map[string]string{"/api/v1/session": bodies()["sign-in"], "/api/v1/setup": bodies()["set-up"], "/api/v1/me/password": bodies()["change-password"]}[path]
		if w := open.do(t, http.MethodPost, path, body); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "#access_open") {
			t.Errorf("open: %s: got %d %s", path, w.Code, w.Body)
		}
	}
}

// TestHealthForOthers: metrics and the reasons of health name brokers and files. A
// program of this machine reads them, others need a permission.
func TestHealthForOthers(t *testing.T) {
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	for _, c := range []struct {
		name, path string
		change     []func(*http.Request)
		status     int
		body       bool
	}{
		{"this machine", "/metrics", []func(*http.Request){from("127.0.0.1:9")}, 200, true},
		{"this machine", "/readyz", []func(*http.Request){from("[::1]:9")}, 200, true},
		{"through a proxy", "/metrics", []func(*http.Request){from("127.0.0.1:9"), header("X-Forwarded-For", "203.0.113.1")}, 401, false},
		{"another machine", "/metrics", nil, 401, false},
		{"another machine", "/readyz", nil, 200, false},
		{"another machine", "/livez", nil, 200, false},
		{"a driver", "/metrics", []func(*http.Request){bearer(access.Driver)}, 403, false},
		{"an auditor", "/metrics", []func(*http.Request){bearer(access.Auditor)}, 200, true},
		{"an auditor", "/readyz", []func(*http.Request){bearer(access.Auditor)}, 200, true},
	} {
		w := newGuarded(t).do(t, http.MethodGet, c.path, "", c.change...)
		if w.Code != c.status || strings.Contains(w.Body.String(), "192.0.2.9") != c.body {
			t.Errorf("%s: %s: got %d %q", c.name, c.path, w.Code, w.Body)
		}
	}
	behind := newGuarded(t, func(cfg *web.Config) { cfg.PublicURL, _ = url.Parse("https://ops.example") })
	if w := behind.do(t, http.MethodGet, "/metrics", "", from("127.0.0.1:9")); w.Code != http.StatusUnauthorized {
		t.Errorf("a proxy on this machine that names nothing: got %d", w.Code)
	}
}

// TestPlainHTTPIsForTheProxyAlone: off loopback it is answered to named proxies and
// this machine.
func TestPlainHTTPIsForTheProxyAlone(t *testing.T) {
	g := newGuarded(t, func(cfg *web.Config) {
		cfg.PublicURL, _ = url.Parse("https://ops.example")
		cfg.TrustedProxies, cfg.ProxyAlone = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}, true
	})
	for addr, want := range map[string]int{"192.0.2.7:1": 200, "127.0.0.1:1": 200, "192.0.2.8:1": 421, "[2001:db8::1]:1": 421, "[::ffff:192.0.2.7]:1": 200, "": 421} {
		w := g.do(t, http.MethodGet, "/api/v1/me", "", func(r *http.Request) { r.RemoteAddr, r.Host = addr, "ops.example" })
		if w.Code != want {
			t.Errorf("%s: got %d %s, want %d", addr, w.Code, w.Body, want)
		}
	}
}

// TestAddressOfTheClient: a trusted proxy reports it; what others report is ignored.
func TestAddressOfTheClient(t *testing.T) {
	g := newGuarded(t, func(cfg *web.Config) { cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")} })
	for i, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "203.0.113.9", "203.0.113.9"},
		{"192.0.2.1:5", "198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{"192.0.2.1:5", "nonsense", "192.0.2.1"},
		{"192.0.2.2:5", "203.0.113.9", "192.0.2.2"},
	} {
		g.do(t, http.MethodPost, "/api/v1/session", bodies()["sign-in"], func(r *http.Request) {
			r.RemoteAddr = c.remote
			r.Header.Set("X-Forwarded-For", c.forwarded)
		})
		if got := g.keeper.calls[i]; got != "sign in admin from "+c.want {
			t.Errorf("%v: got %q", c, got)
		}
	}
}

// TestSecurityHeaders: on pages, answers and refusals.
func TestSecurityHeaders(t *testing.T) {
	https := func(cfg *web.Config) { cfg.PublicURL, _ = url.Parse("https://ops.example") }
	for _, path := range []string{"/", "/api/v1/me", "/api/v1/network", "/nothing", "/signin?key=wrong"} {
		w := newGuarded(t).do(t, http.MethodGet, path, "")
		h := w.Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; ", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=()",
		} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if h.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: HSTS by plain HTTP", path)
		}
		if got := newGuarded(t, https).do(t, http.MethodGet, path, "").Header().Get("Strict-Transport-Security"); got == "" {
			t.Errorf("%s: no HSTS behind HTTPS", path)
		}
	}
}

// TestActors: orders carry their actor, for the audit log; the demo's switches
// write their own entry.
func TestActors(t *testing.T) {
	g := newGuarded(t)
	var actor access.Actor
	g.orders.seen = func(ctx context.Context) { actor = web.ActorOf(ctx) }
	g.do(t, http.MethodPost, "/api/v1/cps/CP_001/admit", "", as(access.Operator))
	if actor.Name != "operator1" || actor.Role != access.Operator || actor.Operation != "admit" || actor.From != "192.0.2.1" {
		t.Errorf("got %+v", actor)
	}
	g.do(t, http.MethodPost, "/api/v1/demo/parts/kafka", `{"up":false}`, bearer(access.Admin))
	if len(g.keeper.entries) != 1 || g.keeper.entries[0].Target != "kafka up=false" || g.keeper.entries[0].By != "token:admin1" || g.keeper.entries[0].Operation != "cut-or-restore" {
		t.Errorf("got %+v", g.keeper.entries)
	}
}

// TestAnAnswerIsNotForAnotherAccount: the same request with the same key is another
// one if another account sends it.
func TestAnAnswerIsNotForAnotherAccount(t *testing.T) {
	g := newGuarded(t)
	for _, r := range []access.Role{access.Admin, access.Operator, access.Admin} {
		g.do(t, http.MethodPost, "/api/v1/cps/CP_001/admit", "", as(r), header("Idempotency-Key", "k"))
	}
	if k := g.orders.keys; len(k) != 3 || k[0] == k[1] || k[0] != k[2] {
		t.Errorf("got %v", k)
	}
}

// TestManagingAccounts: each operation of an admin, and what it answers.
func TestManagingAccounts(t *testing.T) {
	g := newGuarded(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		call, answer       string
	}{
		{"POST", "/accounts", `{"name":"eve","role":"auditor","password":"long enough!"}`, 201, "add eve auditor", `"name":"eve"`},
		{"POST", "/accounts", `{"name":"Eve","role":"auditor"}`, 422, "", "body.name"},
		{"POST", "/accounts", `{"name":"ev\u0435","role":"auditor"}`, 422, "", "body.name"},
		{"POST", "/accounts", `{"name":"eve","role":"root"}`, 422, "", "body.role"},
		{"GET", "/accounts", "", 200, "accounts", `"name":"root"`},
		{"PATCH", "/accounts/eve", `{"disabled":true}`, 204, "change eve true", ""},
		{"PATCH", "/accounts/eve", `{"name":"root"}`, 422, "", "body.name"},
		{"DELETE", "/accounts/eve", "", 204, "change eve true", ""},
		{"POST", "/tokens", `{"name":"script","role":"operator","days":30}`, 201, "add token script", `"secret":"carga_secret"`},
		{"GET", "/tokens", "", 200, "tokens", `"token_id":"t-1"`},
		{"DELETE", "/tokens/t-1", "", 204, "revoke t-1", ""},
		{"GET", "/logins", "", 200, "logins of admin1", `"present":true`},
		{"DELETE", "/logins/x", "", 204, "end login x of admin1", ""},
		{"POST", "/me/password", `{"old":"a","password":"b"}`, 204, "password of admin1", ""},
		{"GET", "/audit?by=eve&operation=admit&from=2026-01-01T00:00:00Z", "", 200, "", `"items":[]`},
		{"GET", "/audit?after=audit:x", "", 422, "", "query.after"},
		{"GET", "/accounts?after=tokens:x", "", 422, "", "query.after"},
	} {
		g.keeper.calls = nil
		w := g.do(t, c.method, "/api/v1"+c.path, c.body, as(access.Admin))
		if w.Code != c.status || g.keeper.all() != c.call || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s %s: got %d %s, calls %q", c.method, c.path, c.body, w.Code, w.Body, g.keeper.all())
		}
	}
	g.keeper.refusal = &access.RefusedError{Word: "last_admin", Detail: "no"}
	if w := g.do(t, http.MethodDelete, "/api/v1/accounts/root", "", as(access.Admin)); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "#last_admin") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
