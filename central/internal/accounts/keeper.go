package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
)

// Tx is one transaction of the database. Its reads see its own writes.
type Tx interface {
	Account(name string) (access.Account, bool, error)
	// CountAccounts counts the accounts, and the admins that can sign in.
	CountAccounts() (all, admins int64, err error)
	SaveAccount(a access.Account) error
	// AddLogin also deletes log-ins of the account from before forget, and the
	// oldest beyond access.MaxLogins.
	AddLogin(l access.Login, forget charge.Time) error
	SeeLogin(id string, at charge.Time) error
	EndLogin(account, id string) (bool, error)
	EndLogins(account string) error
	EndOtherLogins(account, except string) error
	AddToken(t access.Token) error
	RevokeToken(id string, at charge.Time) (bool, error)
	Entry(e access.Entry) error
}

// Store is the database.
type Store interface {
	// Write runs fn in one transaction, and rolls it back if fn returns an error.
	Write(ctx context.Context, fn func(Tx) error) error
	HasAccounts(ctx context.Context) (bool, error)
	Account(ctx context.Context, name string) (access.Account, bool, error)
	Accounts(ctx context.Context, after string, limit int) ([]access.Account, error)
	Login(ctx context.Context, hash access.Secret) (access.Login, access.Account, bool, error)
	Logins(ctx context.Context, account string) ([]access.Login, error)
	Token(ctx context.Context, hash access.Secret) (access.Token, bool, error)
	Tokens(ctx context.Context) ([]access.Token, error)
}

// networkOf returns what is limited together: an IPv4 address, or the 64 bits of an
// IPv6 address that one customer has.
func networkOf(c access.Client) string {
	a := c.Addr.Unmap()
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Keeper is the shell around package access.
type Keeper struct {
	store   Store
	hasher  hasher
	names   *Limiter // of sign-ins, by account
	clients *Limiter // of sign-ins, by network of the client
	reserve *Limiter // of reservations, by driver
	failed  *Limiter // of entries about failed sign-ins
	key     access.Secret
	hasKey  bool // there is a key of the demo

	mu    sync.Mutex
	setup access.Secret // mu guards it: hash of the code of the first start
	open  bool          // mu guards it: there is a code
}

// DemoAccount is the account of the demo's key.
const DemoAccount = "demo"

// maxKeys bounds the memory of each limiter: about 300 bytes a key.
const maxKeys = 10_000

// New returns a keeper. key, if it is not "", is a secret that signs in as admin
// DemoAccount: only the demo has one.
func New(store Store, key string) *Keeper {
	k := &Keeper{
		store: store, hasher: newHasher(),
		names:   NewLimiter(12*time.Second, 5, 5*time.Minute, maxKeys),
		clients: NewLimiter(3*time.Second, 20, 5*time.Minute, maxKeys),
		reserve: NewLimiter(10*time.Second, 6, time.Minute, maxKeys),
		failed:  NewLimiter(time.Second, 60, time.Second, 1),
	}
	if key != "" {
		k.key, k.hasKey = access.HashSecret(key), true
	}
	return k
}

// NewSecret returns 256 random bits as text.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// newID returns an id that is not secret.
func newID(now time.Time) string { return ids.New(now, rand.Reader) }

// newCode returns 80 random bits in a form that people can copy.
func newCode() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // it never fails
	s := base32.StdEncoding.EncodeToString(b[:])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// Prepare makes the demo's account if there is a key. Otherwise, if there is no
// account, it returns a new code with which the first admin can be made, until the
// next start.
func (k *Keeper) Prepare(ctx context.Context, now time.Time) (code string, err error) {
	if k.hasKey {
		return "", k.makeDemoAccount(ctx, now)
	}
	has, err := k.store.HasAccounts(ctx)
	if err != nil || has {
		return "", err
	}
	code = newCode()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setup, k.open = access.HashSecret(code), true
	return code, nil
}

func (k *Keeper) makeDemoAccount(ctx context.Context, now time.Time) error {
	return k.store.Write(ctx, func(tx Tx) error {
		if _, ok, err := tx.Account(DemoAccount); ok || err != nil {
			return err
		}
		return tx.SaveAccount(access.Account{Name: DemoAccount, Role: access.Admin, MadeAt: charge.At(now), ChangedAt: charge.At(now)})
	})
}

// NeedsSetup reports whether there is no account yet.
func (k *Keeper) NeedsSetup(ctx context.Context) (bool, error) {
	has, err := k.store.HasAccounts(ctx)
	return !has, err
}

// Cookie returns the principal of a request with the secret of a log-in; ok is false
// if the secret is not, or not any more, that of a log-in.
func (k *Keeper) Cookie(ctx context.Context, secret string, now time.Time) (p access.Principal, ok bool, err error) {
	l, a, ok, err := k.loginOf(ctx, secret, now)
	if err != nil || !ok {
		return access.Principal{}, false, err
	}
	if charge.At(now).Sub(l.SeenAt) >= access.SeenEvery {
		// If it cannot be stored the log-in ends earlier than it should; the request is
		// served all the same.
		_ = k.store.Write(ctx, func(tx Tx) error { return tx.SeeLogin(l.ID, charge.At(now)) })
	}
	return access.Principal{Name: a.Name, Role: a.Role, Username: a.Username, LoginID: l.ID}, true, nil
}

// Valid reports whether the log-in with a secret has not ended. It does not count as
// a request.
func (k *Keeper) Valid(ctx context.Context, secret string, now time.Time) (bool, error) {
	_, _, ok, err := k.loginOf(ctx, secret, now)
	return ok, err
}

// loginOf returns the log-in with a secret and its account; ok is false if it has ended.
func (k *Keeper) loginOf(ctx context.Context, secret string, now time.Time) (l access.Login, a access.Account, ok bool, err error) {
	l, a, ok, err = k.store.Login(ctx, access.HashSecret(secret))
	return l, a, ok && !a.Disabled && !l.Expired(a.Role, charge.At(now)), err
}

// Bearer returns the principal of a request with a token; ok is false if the token
// cannot be used.
func (k *Keeper) Bearer(ctx context.Context, secret string, now time.Time) (p access.Principal, ok bool, err error) {
	hash := access.HashSecret(secret)
	if k.isKey(hash) {
		return access.Principal{Name: DemoAccount, Role: access.Admin}, true, nil
	}
	t, ok, err := k.store.Token(ctx, hash)
	if err != nil || !ok || !t.Usable(charge.At(now)) {
		return access.Principal{}, false, err
	}
	return t.Principal(), true, nil
}

func (k *Keeper) isKey(hash access.Secret) bool {
	return k.hasKey && subtle.ConstantTimeCompare(hash[:], k.key[:]) == 1
}

// tooMany is the refusal of a limiter.
func tooMany(wait time.Duration) error {
	wait = max(wait.Truncate(time.Second)+time.Second, time.Second)
	return &access.RefusedError{Word: "too_many_requests", Detail: fmt.Sprintf("too many attempts: try again in %s", wait), After: wait}
}

// wrong is the refusal of a sign-in. It does not reveal what was wrong.
func wrong() error {
	return &access.RefusedError{Word: "wrong_credentials", Detail: "the name or the secret is wrong, or the account is disabled"}
}

// SignIn signs in with a password. It returns the secret of the new log-in.
func (k *Keeper) SignIn(ctx context.Context, name, password string, from access.Client, now time.Time) (secret string, p access.Principal, err error) {
	if wait := k.clients.Try(networkOf(from), now); wait > 0 {
		return "", p, tooMany(wait)
	}
	if wait := k.names.Try(name, now); wait > 0 {
		return "", p, tooMany(wait)
	}
	var a access.Account
	ok := false
	if access.ValidName(name) && len(password) <= access.MaxPassword {
		if a, ok, err = k.store.Account(ctx, name); err != nil {
			return "", p, err
		}
	} else {
		password = "" // it cannot be right; a hash of it need not be long
	}
	same, err := k.hasher.matches(ctx, password, a.Password)
	if err != nil {
		return "", p, err
	}
	if !ok || !same || a.Disabled {
		k.names.Failed(name, now)
		k.clients.Failed(networkOf(from), now)
		k.noteFailure(ctx, "sign-in", name, from, now)
		return "", p, wrong()
	}
	k.names.Succeeded(name)
	k.clients.Succeeded(networkOf(from))
	return k.begin(ctx, name, "sign-in", from, now)
}

// noteFailure adds an entry about a failed sign-in, unless there are too many: the
// log must not be filled from outside. The name is kept only if it can be one: a
// password may be typed into its field.
func (k *Keeper) noteFailure(ctx context.Context, operation, name string, from access.Client, now time.Time) {
	if k.failed.Try("", now) > 0 {
		return
	}
	if !access.ValidName(name) {
		name = ""
	}
	actor := access.Actor{Operation: operation, From: from.From()}
	_ = k.store.Write(ctx, func(tx Tx) error { return tx.Entry(actor.Entry(charge.At(now), name, "wrong_credentials")) }) // it is refused either way
}

// SignInByKey signs in with the key of the demo.
func (k *Keeper) SignInByKey(ctx context.Context, key string, from access.Client, now time.Time) (secret string, p access.Principal, err error) {
	if wait := k.clients.Try(networkOf(from), now); wait > 0 {
		return "", p, tooMany(wait)
	}
	if !k.isKey(access.HashSecret(key)) {
		k.clients.Failed(networkOf(from), now)
		return "", p, wrong()
	}
	k.clients.Succeeded(networkOf(from))
	return k.begin(ctx, DemoAccount, "sign-in", from, now)
}

// SignInScreen accepts the token of a screen, which its browser keeps in a cookie.
// No other token signs in a browser.
func (k *Keeper) SignInScreen(ctx context.Context, secret string, from access.Client, now time.Time) (p access.Principal, err error) {
	if wait := k.clients.Try(networkOf(from), now); wait > 0 {
		return p, tooMany(wait)
	}
	p, ok, err := k.Bearer(ctx, secret, now)
	switch {
	case err != nil:
		return access.Principal{}, err
	case !ok || p.Role != access.Screen:
		k.clients.Failed(networkOf(from), now)
		k.noteFailure(ctx, "sign-in-screen", "", from, now)
		return access.Principal{}, wrong()
	}
	k.clients.Succeeded(networkOf(from))
	actor := access.Actor{Principal: p, Operation: "sign-in-screen", From: from.From()}
	return p, k.Record(ctx, actor.Entry(charge.At(now), string(p.CPID), access.Done))
}

// begin makes a log-in of an account that is not disabled.
func (k *Keeper) begin(ctx context.Context, name, operation string, from access.Client, now time.Time) (secret string, p access.Principal, err error) {
	err = k.store.Write(ctx, func(tx Tx) error {
		secret, p, err = login(tx, name, operation, from, now)
		return err
	})
	return secret, p, err
}

// login adds a log-in and its entry.
func login(tx Tx, name, operation string, from access.Client, now time.Time) (string, access.Principal, error) {
	a, ok, err := tx.Account(name)
	if err != nil {
		return "", access.Principal{}, err
	}
	if !ok || a.Disabled {
		return "", access.Principal{}, wrong()
	}
	secret := NewSecret()
	_, absolute := a.Role.Lives()
	p := access.Principal{Name: a.Name, Role: a.Role, Username: a.Username, LoginID: newID(now)}
	l := access.Login{
		ID: p.LoginID, Hash: access.HashSecret(secret), Account: name, MadeAt: charge.At(now), SeenAt: charge.At(now),
		From: from.From(), Agent: shorten(from.Agent),
	}
	if err := tx.AddLogin(l, charge.At(now.Add(-absolute))); err != nil {
		return "", access.Principal{}, err
	}
	actor := access.Actor{Principal: p, Operation: operation, From: from.From()}
	return secret, p, tx.Entry(actor.Entry(charge.At(now), name, access.Done))
}

// shorten cuts what a browser calls itself, which may be anything.
func shorten(s string) string {
	s = strings.ToValidUTF8(s, "")
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}

// Setup makes the first account, an admin, and signs it in.
func (k *Keeper) Setup(ctx context.Context, code, name, password string, from access.Client, now time.Time) (secret string, p access.Principal, err error) {
	if wait := k.clients.Try(networkOf(from), now); wait > 0 {
		return "", p, tooMany(wait)
	}
	if needed, err := k.NeedsSetup(ctx); err != nil || !needed {
		return "", p, orRefused(err, "already_set_up", "there are accounts already: sign in")
	}
	hash := access.HashSecret(strings.ToUpper(strings.TrimSpace(code)))
	k.mu.Lock()
	right := k.open && subtle.ConstantTimeCompare(hash[:], k.setup[:]) == 1
	k.mu.Unlock()
	if !right {
		k.clients.Failed(networkOf(from), now)
		k.noteFailure(ctx, "set-up", "", from, now)
		return "", p, &access.RefusedError{Word: "wrong_credentials", Detail: "this is not the code that Central printed into its log at its last start"}
	}
	a := access.Account{Name: name, Role: access.Admin, MadeAt: charge.At(now), ChangedAt: charge.At(now)}
	if err := firstError(a.Check, func() error { return access.CheckPassword(name, password) }); err != nil {
		return "", p, err
	}
	if a.Password, err = k.hasher.hash(ctx, password); err != nil {
		return "", p, err
	}
	err = k.store.Write(ctx, func(tx Tx) error {
		if n, _, err := tx.CountAccounts(); err != nil || n > 0 {
			return orRefused(err, "already_set_up", "there are accounts already: sign in")
		}
		if err := tx.SaveAccount(a); err != nil {
			return err
		}
		secret, p, err = login(tx, name, "set-up", from, now)
		return err
	})
	if err == nil {
		k.mu.Lock()
		k.open = false
		k.mu.Unlock()
	}
	return secret, p, err
}

// firstError returns the first error of some checks.
func firstError(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// orRefused returns err, or a refusal if there is none.
func orRefused(err error, word, detail string) error {
	if err != nil {
		return err
	}
	return &access.RefusedError{Word: word, Detail: detail}
}

// SignOut ends the log-in of a request.
func (k *Keeper) SignOut(ctx context.Context, by access.Actor, now time.Time) error {
	return k.EndLogin(ctx, by, by.LoginID, now)
}

// Logins returns the log-ins of an account that have not ended, the latest first.
func (k *Keeper) Logins(ctx context.Context, p access.Principal, now time.Time) ([]access.Login, error) {
	all, err := k.store.Logins(ctx, p.Name)
	open := all[:0]
	for i := range all {
		if !all[i].Expired(p.Role, charge.At(now)) {
			open = append(open, all[i])
		}
	}
	return open, err
}

// EndLogin ends one of the actor's own log-ins.
func (k *Keeper) EndLogin(ctx context.Context, by access.Actor, id string, now time.Time) error {
	return k.store.Write(ctx, func(tx Tx) error {
		if ok, err := tx.EndLogin(by.Name, id); err != nil || !ok {
			return orRefused(err, "unknown_login", "there is no such log-in of this account")
		}
		return tx.Entry(by.Entry(charge.At(now), id, access.Done))
	})
}

// MayReserve counts a reservation of a driver.
func (k *Keeper) MayReserve(driver charge.Username, now time.Time) error {
	if wait := k.reserve.Try(string(driver), now); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

// Record adds an entry of the audit log, about what changes nothing in the database.
func (k *Keeper) Record(ctx context.Context, e access.Entry) error {
	return k.store.Write(ctx, func(tx Tx) error { return tx.Entry(e) })
}
