package rebuild

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/internal/charge"
)

// Account is one account. The hash of its password is in the file, so that it can be
// signed in to after a rebuild: keep the file as safe as the database.
type Account struct {
	Name      string          `json:"name"`
	Role      access.Role     `json:"role"`
	Username  charge.Username `json:"username,omitempty"`
	Disabled  bool            `json:"disabled"`
	Password  string          `json:"password_hash"`
	MadeAt    charge.Time     `json:"made_at"`
	ChangedAt charge.Time     `json:"changed_at"`
}

func (a *Account) access() access.Account { return access.Account(*a) }

// NewAccount returns an account as it is exported.
func NewAccount(a access.Account) Account { return Account(a) }

// Token is one token that is not revoked, with the hash of its secret.
type Token struct {
	ID        string          `json:"token_id"`
	Hash      string          `json:"secret_hash"` // SHA-256, base64
	Name      string          `json:"name"`
	Role      access.Role     `json:"role"`
	Username  charge.Username `json:"username,omitempty"`
	CPID      charge.CPID     `json:"cp_id,omitempty"` // of a screen
	MadeBy    string          `json:"made_by"`
	MadeAt    charge.Time     `json:"made_at"`
	ExpiresAt charge.Time     `json:"expires_at,omitzero"`
}

// NewToken returns a token as it is exported.
func NewToken(t *access.Token) Token {
	return Token{
		ID: t.ID, Hash: base64.StdEncoding.EncodeToString(t.Hash[:]), Name: t.Name, Role: t.Role, Username: t.Username, CPID: t.CPID,
		MadeBy: t.MadeBy, MadeAt: t.MadeAt, ExpiresAt: t.ExpiresAt,
	}
}

// access returns the token, and what is wrong with it.
func (t *Token) access() (out access.Token, err error) {
	out = access.Token{ID: t.ID, Name: t.Name, Role: t.Role, Username: t.Username, CPID: t.CPID, MadeBy: t.MadeBy, MadeAt: t.MadeAt, ExpiresAt: t.ExpiresAt}
	raw, err := base64.StdEncoding.DecodeString(t.Hash)
	if err != nil || len(raw) != len(out.Hash) || !charge.ValidID(t.ID) {
		return out, errors.New("want a token_id, and 32 bytes in base64 as secret_hash")
	}
	copy(out.Hash[:], raw)
	return out, out.Check()
}

// validateAccess refuses accounts and tokens that there cannot be.
func (s *Settings) validateAccess() error {
	for i := range s.Accounts {
		a := s.Accounts[i].access()
		if err := a.Check(); err != nil {
			return fmt.Errorf("settings: accounts[%d]: %w", i, err)
		}
	}
	for i := range s.Tokens {
		if _, err := s.Tokens[i].access(); err != nil {
			return fmt.Errorf("settings: tokens[%d]: %w", i, err)
		}
	}
	return nil
}

// writeAccess writes accounts and tokens. Log-ins are not exported: their browsers
// sign in again.
func (s *Settings) writeAccess(tx Tx) (errs []error) {
	for i := range s.Accounts {
		errs = append(errs, tx.SaveAccount(s.Accounts[i].access()))
	}
	for i := range s.Tokens {
		t, err := s.Tokens[i].access()
		errs = append(errs, err, tx.AddToken(t))
	}
	return errs
}
