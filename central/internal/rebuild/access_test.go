package rebuild_test

import (
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/rebuild"
)

// TestAccountsInSettings: they are written and read without a change, and what cannot
// be an account or a token is refused by its place in the file.
func TestAccountsInSettings(t *testing.T) {
	s := rebuild.Settings{
		Accounts: []rebuild.Account{rebuild.NewAccount(access.Account{Name: "root", Role: access.Admin, Password: "$argon2id$x", MadeAt: 1, ChangedAt: 2})},
		Tokens:   []rebuild.Token{rebuild.NewToken(&access.Token{ID: "t1", Hash: access.HashSecret("s"), Name: "script", Role: access.Driver, Username: "ana", MadeBy: "root", MadeAt: 3})},
	}
	raw, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := rebuild.DecodeSettings(raw)
	if err != nil || len(got.Accounts) != 1 || got.Accounts[0] != s.Accounts[0] || len(got.Tokens) != 1 || got.Tokens[0] != s.Tokens[0] {
		t.Errorf("got %+v %v", got, err)
	}
	for change, want := range map[[2]string]string{
		{`"name": "root"`, `"name": "Root"`}:      "accounts[0]: name",
		{`"role": "admin"`, `"role": "king"`}:     "accounts[0]: role",
		{`"username": "ana"`, `"username": ""`}:   "tokens[0]: username",
		{`"secret_hash": "`, `"secret_hash": "x`}: "tokens[0]: want a token_id",
		{`"token_id": "t1"`, `"token_id": "a b"`}: "tokens[0]: want a token_id",
		{`"password_hash"`, `"password"`}:         "password",
	} {
		bad := strings.Replace(string(raw), change[0], change[1], 1)
		if _, err := rebuild.DecodeSettings([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", change, err, want)
		}
	}
}
