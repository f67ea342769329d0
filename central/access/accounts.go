package access

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/internal/charge"
)

// Principal is the account or token that a request acts for.
type Principal struct {
	Name     string // of the account; of a token "token:" and its name
	Role     Role
	Username charge.Username // of a driver
	CPID     charge.CPID     // of a screen
	LoginID  string          // of the log-in; "" if the request came with a token
}

// Account is a person or a program that may sign in. Accounts are disabled and
// never deleted, so that their names in the audit log keep their meaning.
type Account struct {
	Name     string
	Role     Role
	Username charge.Username // the driver that the account is; set exactly if Role is Driver
	Disabled bool
	// Password is the hash of the password; with "" the account cannot sign in by password.
	Password  string
	MadeAt    charge.Time
	ChangedAt charge.Time
}

// Change is what to change of an account; nil leaves it as it is.
type Change struct {
	Role     *Role
	Username *charge.Username
	Disabled *bool
	Password *string
}

// Client is where a request comes from.
type Client struct {
	Addr  netip.Addr
	Agent string // what it calls itself
}

// From returns the address for the audit log; "" if it is not known.
func (c Client) From() string {
	if !c.Addr.IsValid() {
		return ""
	}
	return c.Addr.Unmap().String()
}

// maxName is the longest name of an account, in bytes.
const maxName = 64

// NamePattern is the form of an account's name, as a regular expression. Small
// letters of ASCII alone: no two names look alike.
const NamePattern = "^[a-z0-9][a-z0-9._@-]{0,63}$"

// ValidName reports whether s may name an account.
func ValidName(s string) bool {
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || c != '.' && c != '_' && c != '@' && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// Check returns what is wrong with an account.
func (a *Account) Check() error {
	if !ValidName(a.Name) {
		return refuse("bad_account_name", "name: use 1 to %d of a-z, 0-9 and . _ @ -, beginning with a letter or digit", maxName)
	}
	if a.Role == Screen {
		return refuse("bad_role", "role: a screen has a token and no account")
	}
	return checkRole(a.Role, a.Username)
}

// checkRole checks a role, and that exactly a driver has a username.
func checkRole(r Role, username charge.Username) error {
	switch {
	case !r.Valid():
		return refuse("bad_role", "role: want admin, operator, auditor or driver; or screen, of a token")
	case r != Driver && username != "":
		return refuse("bad_role", "username: only the role driver has one")
	case r != Driver:
		return nil
	case username == "":
		return refuse("bad_username", "username: name the driver that the account is")
	}
	if err := names.Check(string(username)); err != nil {
		return refuse("bad_username", "username %s", err.Error())
	}
	return nil
}

// The limits of a password, in bytes.
const (
	MinPassword = 10
	MaxPassword = 256
)

// CheckPassword returns what is wrong with a new password.
func CheckPassword(name, password string) error {
	for i := range len(password) {
		if password[i] < ' ' || password[i] == 0x7f {
			return refuse("bad_password", "password: has a control character")
		}
	}
	switch {
	case len(password) < MinPassword || len(password) > MaxPassword:
		return refuse("bad_password", "password: use %d to %d characters", MinPassword, MaxPassword)
	case password == name:
		return refuse("bad_password", "password: use another one than the name")
	}
	return nil
}

// Secret is the SHA-256 of a random secret: what is stored of it.
type Secret [sha256.Size]byte

// HashSecret returns what is stored of a secret.
func HashSecret(secret string) Secret { return sha256.Sum256([]byte(secret)) }

// Login is one log-in of an account: a browser with a cookie.
type Login struct {
	ID      string
	Hash    Secret
	Account string
	MadeAt  charge.Time
	SeenAt  charge.Time // the last request, to within SeenEvery
	From    string      // the address of the client
	Agent   string      // what the browser calls itself
}

// SeenEvery is how often the last request of a log-in is stored.
const SeenEvery = time.Minute

// MaxLogins is how many log-ins an account may have; the oldest end beyond it.
const MaxLogins = 20

// Lives returns how long a log-in of a role lasts without a request, and at most.
func (r Role) Lives() (idle, absolute time.Duration) {
	switch r {
	case Driver:
		return 24 * time.Hour, 30 * 24 * time.Hour
	case Screen: // its cookie has a token: that one's end counts
		return 400 * 24 * time.Hour, 400 * 24 * time.Hour
	case Admin, Operator, Auditor:
	}
	return 15 * time.Minute, 12 * time.Hour
}

// Expired reports whether a log-in has ended by itself. A log-in of the future was
// made while the clock was ahead: it has ended, too.
func (l *Login) Expired(r Role, now charge.Time) bool {
	idle, absolute := r.Lives()
	return now.Sub(l.SeenAt) >= idle || now.Sub(l.MadeAt) >= absolute || l.MadeAt.Sub(now) > time.Minute
}

// TokenPrefix begins the secret of each token, so that tools find one that was
// published by mistake.
const TokenPrefix = "carga_"

// Token lets a program act without a sign-in.
type Token struct {
	ID        string
	Hash      Secret
	Name      string // for people
	Role      Role
	Username  charge.Username // as of an account
	CPID      charge.CPID     // of a screen: the charging point that it shows
	MadeBy    string
	MadeAt    charge.Time
	ExpiresAt charge.Time // 0: never
	RevokedAt charge.Time // 0: not revoked
}

// maxTokenName is the longest name of a token, in bytes.
const maxTokenName = 64

// Check returns what is wrong with a token.
func (t *Token) Check() error {
	for i := range len(t.Name) {
		if t.Name[i] < ' ' || t.Name[i] > '~' {
			return refuse("bad_token", "name: use printable ASCII characters")
		}
	}
	if t.Name == "" || len(t.Name) > maxTokenName {
		return refuse("bad_token", "name: use 1 to %d characters", maxTokenName)
	}
	if t.ExpiresAt != 0 && t.ExpiresAt <= t.MadeAt {
		return refuse("bad_token", "expires_at: is over already")
	}
	if (t.Role == Screen) != (t.CPID != "") || t.CPID != "" && !t.CPID.Valid() {
		return refuse("bad_token", "cp_id: the role screen needs the charging point that it shows, and no other role has one")
	}
	return checkRole(t.Role, t.Username)
}

// Usable reports whether a token may be used.
func (t *Token) Usable(now charge.Time) bool {
	return t.RevokedAt == 0 && (t.ExpiresAt == 0 || now < t.ExpiresAt)
}

// Principal returns the principal of a request with the token.
func (t *Token) Principal() Principal {
	return Principal{Name: "token:" + t.Name, Role: t.Role, Username: t.Username, CPID: t.CPID}
}

// Entry is one entry of the audit log, with its names in the API.
type Entry struct {
	N         int64              `json:"n"` // grows with each entry
	At        charge.Time        `json:"at"`
	By        string             `json:"by" doc:"the account, token:NAME, or empty if it is not known"`
	Role      Role               `json:"role,omitempty"`
	Operation string             `json:"operation" doc:"the id of the operation"` // of the API, or of the command line
	Target    string             `json:"target" doc:"what it was about: an id, and values with the names that the API has for them; * is any or all charging points"`
	From      string             `json:"from" doc:"the address of the client"`
	Result    string             `json:"result" doc:"done, or the word of the problem"`
	Commands  []charge.CommandID `json:"commands,omitempty"`
}

// Done is the result of what was not refused.
const Done = "done"

// Actor is a principal in one operation, from one address: what is the same in all
// entries of a request.
type Actor struct {
	Principal
	Operation string
	From      string
}

// Entry returns an entry of the actor.
func (a *Actor) Entry(at charge.Time, target, result string) Entry {
	return Entry{At: at, By: a.Name, Role: a.Role, Operation: a.Operation, Target: target, From: a.From, Result: result}
}

// RefusedError is the error of what is not permitted or not possible. Word is the kind of
// the problem, Detail a text for people.
type RefusedError struct {
	Word, Detail string
	After        time.Duration // when it may be tried again; 0: not known
}

// Error implements error.
func (r *RefusedError) Error() string { return r.Detail }

func refuse(word, format string, args ...any) *RefusedError {
	return &RefusedError{Word: word, Detail: fmt.Sprintf(format, args...)}
}
