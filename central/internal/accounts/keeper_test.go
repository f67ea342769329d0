package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/accounts"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is a real one, as package accounts sees it.
type database struct{ *store.Store }

func (d database) Write(ctx context.Context, fn func(accounts.Tx) error) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// fixture is a keeper at a time that the test moves.
type fixture struct {
	t   *testing.T
	db  database
	k   *accounts.Keeper
	now time.Time
}

const password = "correct horse"

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "c.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, db: database{s}, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	f.k = accounts.New(f.db, "")
	return f
}

func client(addr string) access.Client {
	return access.Client{Addr: netip.MustParseAddr(addr), Agent: "test"}
}

// root is the actor of the tests.
func root() access.Actor {
	return access.Actor{Principal: access.Principal{Name: "root", Role: access.Admin}, Operation: "test", From: "192.0.2.1"}
}

// word returns the word of a refusal; "" for no error.
func (f *fixture) word(err error) string {
	f.t.Helper()
	if err == nil {
		return ""
	}
	r, ok := errors.AsType[*access.RefusedError](err)
	if !ok {
		f.t.Fatal(err)
	}
	return r.Word
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// add makes an account with the password.
func (f *fixture) add(name string, r access.Role) {
	f.t.Helper()
	a := access.Account{Name: name, Role: r}
	if r == access.Driver {
		a.Username = "Ana"
	}
	f.must(f.k.AddAccount(f.t.Context(), root(), a, password, f.now))
}

// signIn signs in with the password and returns the secret.
func (f *fixture) signIn(name string) string {
	f.t.Helper()
	secret, _, err := f.k.SignIn(f.t.Context(), name, password, client("192.0.2.1"), f.now)
	f.must(err)
	return secret
}

// is returns the name of the principal of a cookie; "" if it is none.
func (f *fixture) is(secret string) string {
	f.t.Helper()
	p, ok, err := f.k.Cookie(f.t.Context(), secret, f.now)
	f.must(err)
	if ok != (p.Name != "") {
		f.t.Errorf("%v: %+v", ok, p)
	}
	return p.Name
}

// log returns the audit log, oldest first.
func (f *fixture) log() (lines []string) {
	f.t.Helper()
	all, err := f.db.Entries(f.t.Context(), view.Query{Limit: 1000})
	f.must(err)
	for _, e := range slices.Backward(all) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s: %s %s", e.By, e.Operation, e.Target, e.Result)))
	}
	return lines
}

// TestTheFirstStart: the code makes one admin, once.
func TestTheFirstStart(t *testing.T) {
	f := newFixture(t)
	code, err := f.k.Prepare(t.Context(), f.now)
	f.must(err)
	if len(code) != 19 {
		t.Errorf("code %q", code)
	}
	again, err := accounts.New(f.db, "").Prepare(t.Context(), f.now)
	f.must(err)
	if again == code {
		t.Error("another start has the same code")
	}
	setup := func(code, name, password string) string {
		t.Helper()
		secret, p, err := f.k.Setup(t.Context(), code, name, password, client("192.0.2.1"), f.now)
		if err == nil && (p.Role != access.Admin || f.is(secret) != name) {
			t.Errorf("signed in as %+v", p)
		}
		return f.word(err)
	}
	for _, c := range []struct{ code, name, password, want string }{
		{again, "root", password, "wrong_credentials"},
		{"", "root", password, "wrong_credentials"},
		{code, "Root", password, "bad_account_name"},
		{code, "root", "short", "bad_password"},
		{" " + strings.ToLower(code) + "\n", "root", password, ""},
		{code, "other", password, "already_set_up"},
	} {
		if got := setup(c.code, c.name, c.password); got != c.want {
			t.Errorf("%q %q %q: got %q, want %q", c.code, c.name, c.password, got, c.want)
		}
	}
	if code, err := accounts.New(f.db, "").Prepare(t.Context(), f.now); err != nil || code != "" {
		t.Errorf("a later start has a code: %q %v", code, err)
	}
}

// TestSignIn: nothing but the right password of an account that is not disabled signs
// in, and no answer reveals what was wrong.
func TestSignIn(t *testing.T) {
	f := newFixture(t)
	f.add("admin", access.Admin)
	f.add("gone", access.Operator)
	f.must(f.k.ChangeAccount(t.Context(), root(), "gone", access.Change{Disabled: new(true)}, f.now))
	f.must(f.k.AddAccount(t.Context(), root(), access.Account{Name: "without", Role: access.Auditor}, "", f.now))
	for i, c := range []struct{ name, password, want string }{
		{"admin", password, ""},
		{"admin", password + " ", "wrong_credentials"},
		{"admin", "", "wrong_credentials"},
		{"admin", password + "\x00", "wrong_credentials"},
		{"admin", strings.Repeat("x", 1<<20), "wrong_credentials"},
		{"Admin", password, "wrong_credentials"},
		{"ADMIN", password, "wrong_credentials"},
		{"аdmin", password, "wrong_credentials"}, // Cyrillic
		{"admin ", password, "wrong_credentials"},
		{"admin\x00", password, "wrong_credentials"},
		{"' OR 1=1 --", password, "wrong_credentials"},
		{"", "", "wrong_credentials"},
		{"gone", password, "wrong_credentials"},
		{"without", "", "wrong_credentials"},
		{"without", password, "wrong_credentials"},
		{"unknown", password, "wrong_credentials"},
	} {
		_, _, err := f.k.SignIn(t.Context(), c.name, c.password, client(fmt.Sprintf("192.0.2.%d", i)), f.now)
		if got := f.word(err); got != c.want {
			t.Errorf("%.20q %.20q: got %q, want %q", c.name, c.password, got, c.want)
		}
		if err != nil && err.Error() != "the name or the secret is wrong, or the account is disabled" {
			t.Errorf("%q: %v", c.name, err)
		}
		f.now = f.now.Add(time.Minute)
	}
	for _, line := range f.log() {
		if strings.Contains(line, password) || strings.Contains(line, "OR 1=1") {
			t.Errorf("the log has %q", line)
		}
	}
}

// TestALoginEnds: by itself, by its account, and when the account changes.
func TestALoginEnds(t *testing.T) {
	for _, c := range []struct {
		role           access.Role
		idle, absolute time.Duration
	}{{access.Admin, 15 * time.Minute, 12 * time.Hour}, {access.Operator, 15 * time.Minute, 12 * time.Hour}, {access.Driver, 24 * time.Hour, 30 * 24 * time.Hour}} {
		f := newFixture(t)
		f.add("eve", c.role)
		first := f.signIn("eve")
		f.now = f.now.Add(c.idle - time.Millisecond)
		if f.is(first) != "eve" {
			t.Errorf("%s: ended before it was idle for %s", c.role, c.idle)
		}
		f.now = f.now.Add(c.idle)
		if f.is(first) != "" {
			t.Errorf("%s: idle for %s and not ended", c.role, c.idle)
		}
		second, began := f.signIn("eve"), f.now
		if second == first {
			t.Error("the secret of before")
		}
		for f.now.Sub(began) < c.absolute {
			if f.is(second) != "eve" {
				t.Errorf("%s: ended after %s", c.role, f.now.Sub(began))
				break
			}
			f.now = f.now.Add(c.idle / 2)
		}
		if f.is(second) != "" {
			t.Errorf("%s: not ended after %s", c.role, c.absolute)
		}
		third := f.signIn("eve")
		f.now = f.now.Add(-2 * time.Minute)
		if f.is(third) != "" {
			t.Errorf("%s: a log-in of the future is one", c.role)
		}
	}
	for name, change := range map[string]access.Change{
		"role": {Role: new(access.Auditor)}, "disabled": {Disabled: new(true)}, "password": {Password: new("another word")}, "nothing": {},
	} {
		f := newFixture(t)
		f.add("root", access.Admin)
		f.add("eve", access.Operator)
		secret := f.signIn("eve")
		f.must(f.k.ChangeAccount(t.Context(), root(), "eve", change, f.now))
		if f.is(secret) != "" {
			t.Errorf("%s: the log-in of before still works", name)
		}
	}
	f := newFixture(t)
	f.add("eve", access.Operator)
	f.add("ben", access.Operator)
	one, other, ben := f.signIn("eve"), f.signIn("eve"), f.signIn("ben")
	p, _, err := f.k.Cookie(t.Context(), one, f.now)
	f.must(err)
	all, err := f.k.Logins(t.Context(), p, f.now)
	f.must(err)
	if len(all) != 2 || all[1].ID != p.LoginID || all[0].From != "192.0.2.1" {
		t.Errorf("log-ins: %+v", all)
	}
	bens, err := f.k.Logins(t.Context(), access.Principal{Name: "ben", Role: access.Operator}, f.now)
	f.must(err)
	by := access.Actor{Principal: p, Operation: "end-login"}
	if got := f.word(f.k.EndLogin(t.Context(), by, bens[0].ID, f.now)); got != "unknown_login" || f.is(ben) != "ben" {
		t.Errorf("a log-in of another account: %q", got)
	}
	f.must(f.k.EndLogin(t.Context(), by, all[0].ID, f.now))
	if f.is(other) != "" || f.is(one) != "eve" {
		t.Error("the wrong log-in ended")
	}
	f.must(f.k.SignOut(t.Context(), by, f.now))
	if f.is(one) != "" {
		t.Error("signed out and still in")
	}
	if ok, err := f.k.Valid(t.Context(), ben, f.now); !ok || err != nil {
		t.Errorf("ben: %v %v", ok, err)
	}
	if ok, err := f.k.Valid(t.Context(), one, f.now); ok || err != nil {
		t.Errorf("eve: %v %v", ok, err)
	}
}

// TestLoginsAreBounded: the oldest end.
func TestLoginsAreBounded(t *testing.T) {
	f := newFixture(t)
	f.add("eve", access.Operator)
	var secrets []string
	for range access.MaxLogins + 3 {
		f.now = f.now.Add(13 * time.Second)
		secrets = append(secrets, f.signIn("eve"))
	}
	for i, s := range secrets {
		if (f.is(s) != "") != (i >= 3) {
			t.Errorf("log-in %d: %q", i, f.is(s))
		}
	}
}

// TestSecretsAreNotStored: the database has their hashes.
func TestSecretsAreNotStored(t *testing.T) {
	f := newFixture(t)
	f.add("eve", access.Operator)
	secret := f.signIn("eve")
	_, token, err := f.k.AddToken(t.Context(), root(), access.Token{Name: "script", Role: access.Auditor}, f.now)
	f.must(err)
	a, _, err := f.db.Account(t.Context(), "eve")
	f.must(err)
	if !strings.HasPrefix(a.Password, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("password %q", a.Password)
	}
	if one, other := accounts.HashPassword(password), accounts.HashPassword(password); one == other {
		t.Error("two hashes of one password are equal")
	}
	if len(secret) < 43 || !strings.HasPrefix(token, "carga_") || len(token) < 49 {
		t.Errorf("secrets %q %q", secret, token)
	}
	l, _, ok, err := f.db.Login(t.Context(), access.HashSecret(secret))
	f.must(err)
	if !ok || strings.Contains(string(l.Hash[:]), secret) {
		t.Errorf("log-in %+v", l)
	}
}

// TestTokens: they work until they are revoked or over, and are shown without a
// secret.
func TestTokens(t *testing.T) {
	f := newFixture(t)
	is := func(secret string) access.Principal {
		p, ok, err := f.k.Bearer(t.Context(), secret, f.now)
		f.must(err)
		if !ok {
			return access.Principal{}
		}
		return p
	}
	until := f.now.Add(time.Hour)
	short, secret, err := f.k.AddToken(t.Context(), root(), access.Token{Name: "short", Role: access.Driver, Username: "Ana", ExpiresAt: at(until)}, f.now)
	f.must(err)
	long, other, err := f.k.AddToken(t.Context(), root(), access.Token{Name: "long", Role: access.Operator}, f.now)
	f.must(err)
	if p := is(secret); p.Name != "token:short" || p.Role != access.Driver || p.Username != "Ana" || p.LoginID != "" {
		t.Errorf("got %+v", p)
	}
	if is(other).Role != access.Operator || is("carga_x").Role != "" || is("").Role != "" {
		t.Error("the wrong tokens work")
	}
	f.now = until
	if is(secret).Role != "" || is(other).Role == "" {
		t.Error("the end is not observed")
	}
	f.must(f.k.RevokeToken(t.Context(), root(), long.ID, f.now))
	if is(other).Role != "" {
		t.Error("it is revoked and works")
	}
	for _, id := range []string{long.ID, "none"} {
		if got := f.word(f.k.RevokeToken(t.Context(), root(), id, f.now)); got != "unknown_token" {
			t.Errorf("%s: %q", id, got)
		}
	}
	all, err := f.k.Tokens(t.Context())
	f.must(err)
	if len(all) != 2 || all[0].Hash != (access.Secret{}) || all[1].ID != short.ID {
		t.Errorf("tokens %+v", all)
	}
	for _, bad := range []access.Token{
		{Role: access.Operator},
		{Name: "x", Role: "root"},
		{Name: "x", Role: access.Driver},
		{Name: "x", Role: access.Operator, Username: "Ana"},
		{Name: "a\nb", Role: access.Operator},
		{Name: "x", Role: access.Operator, ExpiresAt: at(f.now)},
		{Name: strings.Repeat("x", 65), Role: access.Operator},
		{Name: "x", Role: access.Screen},
		{Name: "x", Role: access.Screen, CPID: "a b"},
		{Name: "x", Role: access.Operator, CPID: "CP_1"},
	} {
		if _, _, err := f.k.AddToken(t.Context(), root(), bad, f.now); err == nil {
			t.Errorf("%+v was made", bad)
		}
	}
}

// TestScreens: a screen signs in by its token, in its browser too, until that is
// revoked. No other token does, and no account is a screen.
func TestScreens(t *testing.T) {
	f := newFixture(t)
	if got := f.word(f.k.AddAccount(t.Context(), root(), access.Account{Name: "post", Role: access.Screen}, "", f.now)); got != "bad_role" {
		t.Errorf("an account: %q", got)
	}
	made, secret, err := f.k.AddToken(t.Context(), root(), access.Token{Name: "post", Role: access.Screen, CPID: "CP_1"}, f.now)
	f.must(err)
	_, other, err := f.k.AddToken(t.Context(), root(), access.Token{Name: "script", Role: access.Operator}, f.now)
	f.must(err)
	p, err := f.k.SignInScreen(t.Context(), secret, access.Client{}, f.now)
	if err != nil || p.Role != access.Screen || p.CPID != "CP_1" {
		t.Errorf("got %+v %v", p, err)
	}
	for _, wrong := range []string{other, "carga_nothing", ""} {
		if _, err := f.k.SignInScreen(t.Context(), wrong, access.Client{}, f.now); f.word(err) != "wrong_credentials" {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	f.must(f.k.RevokeToken(t.Context(), root(), made.ID, f.now))
	if _, err := f.k.SignInScreen(t.Context(), secret, access.Client{}, f.now); f.word(err) != "wrong_credentials" {
		t.Errorf("revoked: %v", err)
	}
}

// TestTheLastAdminStays: nothing locks all admins out.
func TestTheLastAdminStays(t *testing.T) {
	f := newFixture(t)
	f.add("root", access.Admin)
	f.add("eve", access.Operator)
	for name, c := range map[string]access.Change{"role": {Role: new(access.Operator)}, "disabled": {Disabled: new(true)}} {
		if got := f.word(f.k.ChangeAccount(t.Context(), root(), "root", c, f.now)); got != "last_admin" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	f.must(f.k.ChangeAccount(t.Context(), root(), "eve", access.Change{Role: new(access.Admin)}, f.now))
	f.must(f.k.ChangeAccount(t.Context(), root(), "root", access.Change{Disabled: new(true)}, f.now))
	if got := f.word(f.k.ChangeAccount(t.Context(), root(), "eve", access.Change{Disabled: new(true)}, f.now)); got != "last_admin" {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		name, want string
		change     access.Change
	}{
		{"none", "unknown_account", access.Change{}},
		{"root", "bad_role", access.Change{Role: new(access.Role("king"))}},
		{"root", "bad_username", access.Change{Role: new(access.Driver)}},
		{"root", "bad_password", access.Change{Password: new("short")}},
		{"root", "bad_password", access.Change{Password: new("rootrootro\x00t")}},
	} {
		if got := f.word(f.k.ChangeAccount(t.Context(), root(), c.name, c.change, f.now)); got != c.want {
			t.Errorf("%s %+v: got %q, want %q", c.name, c.change, got, c.want)
		}
	}
	if got := f.word(f.k.AddAccount(t.Context(), root(), access.Account{Name: "eve", Role: access.Auditor}, "", f.now)); got != "account_exists" {
		t.Errorf("got %q", got)
	}
}

// TestOwnPassword: with the old one; the other log-ins end.
func TestOwnPassword(t *testing.T) {
	f := newFixture(t)
	f.add("eve", access.Operator)
	here, there := f.signIn("eve"), f.signIn("eve")
	p, _, err := f.k.Cookie(t.Context(), here, f.now)
	f.must(err)
	by := access.Actor{Principal: p, Operation: "change-password"}
	if got := f.word(f.k.ChangePassword(t.Context(), by, "wrong", "another word", f.now)); got != "wrong_credentials" {
		t.Errorf("got %q", got)
	}
	if got := f.word(f.k.ChangePassword(t.Context(), by, password, "eve", f.now)); got != "bad_password" {
		t.Errorf("got %q", got)
	}
	f.must(f.k.ChangePassword(t.Context(), by, password, "another word", f.now))
	f.now = f.now.Add(2 * time.Minute)
	if f.is(here) != "eve" || f.is(there) != "" {
		t.Errorf("here %q, there %q", f.is(here), f.is(there))
	}
	if _, _, err := f.k.SignIn(t.Context(), "eve", password, client("192.0.2.9"), f.now); f.word(err) != "wrong_credentials" {
		t.Errorf("the old password: %v", err)
	}
	if _, _, err := f.k.SignIn(t.Context(), "eve", "another word", client("192.0.2.9"), f.now); err != nil {
		t.Error(err)
	}
	by.Name = "token:script"
	if got := f.word(f.k.ChangePassword(t.Context(), by, "x", "another word", f.now)); got != "unknown_account" {
		t.Errorf("a token: %q", got)
	}
}

// TestManySignIns: a thousand attempts a minute on one account, or from one address on
// many accounts, compute a few hashes. The right password works again after a while.
func TestManySignIns(t *testing.T) {
	f := newFixture(t)
	f.add("eve", access.Operator)
	try := func(name, pass, addr string) string {
		_, _, err := f.k.SignIn(t.Context(), name, pass, client(addr), f.now)
		return f.word(err)
	}
	tried := 0
	for i := range 1000 {
		if try("eve", "wrong password", fmt.Sprintf("198.51.%d.%d", i/250, i%250)) == "wrong_credentials" {
			tried++
		}
		f.now = f.now.Add(60 * time.Millisecond)
	}
	if tried < 5 || tried > 8 {
		t.Errorf("one account: %d attempts in a minute were tried", tried)
	}
	if got := try("eve", password, "192.0.2.1"); got != "too_many_requests" {
		t.Errorf("the right password within the back-off: %q", got)
	}
	f.now = f.now.Add(6 * time.Minute)
	if got := try("eve", password, "192.0.2.1"); got != "" {
		t.Errorf("the right password after a while: %q", got)
	}
	tried = 0
	for i := range 1000 {
		if try(fmt.Sprintf("user%d", i), "wrong password", "203.0.113.1") == "wrong_credentials" {
			tried++
		}
		f.now = f.now.Add(60 * time.Millisecond)
	}
	if tried < 20 || tried > 26 {
		t.Errorf("one address: %d attempts in a minute were tried", tried)
	}
	if got := try("eve", password, "203.0.113.2"); got != "" {
		t.Errorf("another address: %q", got)
	}
	tried = 0
	for i := range 100 {
		if try(fmt.Sprintf("u%d", i), "wrong password", fmt.Sprintf("2001:db8::%x", i)) == "wrong_credentials" {
			tried++
		}
	}
	if tried != 20 {
		t.Errorf("addresses of one customer: %d were tried", tried)
	}
	if n := len(f.log()); n > 200 {
		t.Errorf("%d entries: the log can be filled from outside", n)
	}
}

// TestReservationsOfADriver: six a minute.
func TestReservationsOfADriver(t *testing.T) {
	f := newFixture(t)
	done := 0
	for range 60 {
		if f.k.MayReserve("ana", f.now) == nil {
			done++
		}
		f.now = f.now.Add(time.Second)
	}
	if done < 6 || done > 12 || f.k.MayReserve("ben", f.now) != nil {
		t.Errorf("%d in a minute", done)
	}
}

// TestTheDemosKey signs in as an admin, also as a token, and nothing else does.
func TestTheDemosKey(t *testing.T) {
	f := newFixture(t)
	key := access.TokenPrefix + accounts.NewSecret()
	k := accounts.New(f.db, key)
	for range 2 { // the second start finds its account
		code, err := k.Prepare(t.Context(), f.now)
		f.must(err)
		if code != "" {
			t.Errorf("it has a code: %s", code)
		}
	}
	secret, p, err := k.SignInByKey(t.Context(), key, client("192.0.2.1"), f.now)
	f.must(err)
	if p.Role != access.Admin || f.is(secret) != accounts.DemoAccount {
		t.Errorf("got %+v", p)
	}
	if p, ok, err := k.Bearer(t.Context(), key, f.now); !ok || err != nil || p.Role != access.Admin {
		t.Errorf("as a token: %+v %v", p, err)
	}
	if _, _, err := k.SignInByKey(t.Context(), key+"x", client("192.0.2.1"), f.now); f.word(err) != "wrong_credentials" {
		t.Errorf("a wrong key: %v", err)
	}
	if _, _, err := f.k.SignInByKey(t.Context(), "", client("192.0.2.1"), f.now); f.word(err) != "wrong_credentials" {
		t.Errorf("no key: %v", err)
	}
	if _, _, err := k.SignIn(t.Context(), accounts.DemoAccount, "", client("192.0.2.1"), f.now); f.word(err) != "wrong_credentials" {
		t.Errorf("by password: %v", err)
	}
}

// TestEveryChangeIsLogged, in its own transaction: what is refused changes nothing.
func TestEveryChangeIsLogged(t *testing.T) {
	f := newFixture(t)
	f.add("root", access.Admin)
	f.add("ana", access.Driver)
	f.must(f.k.ChangeAccount(t.Context(), root(), "ana", access.Change{Disabled: new(false), Password: new("another word")}, f.now))
	if f.word(f.k.ChangeAccount(t.Context(), root(), "root", access.Change{Disabled: new(true)}, f.now)) == "" {
		t.Error("the last admin was disabled")
	}
	f.signIn("root")
	if _, _, err := f.k.SignIn(t.Context(), "root", "wrong password", client("192.0.2.1"), f.now); err == nil {
		t.Error("signed in")
	}
	token, _, err := f.k.AddToken(t.Context(), root(), access.Token{Name: "script", Role: access.Operator}, f.now)
	f.must(err)
	f.must(f.k.RevokeToken(t.Context(), root(), token.ID, f.now))
	want := []string{
		"root test: root role=admin done", "root test: ana role=driver done", "root test: ana disabled=false password=*** done", "root sign-in: root done",
		"sign-in: root wrong_credentials", "root test: " + token.ID + " script role=operator done", "root test: " + token.ID + " done",
	}
	if got := f.log(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
