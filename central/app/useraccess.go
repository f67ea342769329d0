package app

import (
	"context"
	"errors"
	"os/user"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/accounts"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/internal/charge"
)

// Access changes accounts and tokens in a database, whether or not a Central runs on
// it: that one reads them for each request, so a change holds at once. Close it.
type Access struct {
	store  *store.Store
	keeper *accounts.Keeper
	by     access.Actor
}

// OpenAccess opens the database of cfg. It is made if it does not exist.
func OpenAccess(ctx context.Context, cfg Config) (*Access, error) {
	s, err := store.Open(ctx, store.Options{Path: cfg.Database.Path})
	if errors.Is(err, store.ErrInUse) {
		s, err = store.OpenBeside(ctx, store.Options{Path: cfg.Database.Path})
	}
	if err != nil {
		return nil, err
	}
	return &Access{
		store: s, keeper: accounts.New(accessStore{Store: s}, ""),
		by: access.Actor{Principal: access.Principal{Name: "command-line:" + ownName()}, From: "this machine"},
	}, nil
}

// ownName returns the name of the user that runs this process.
func ownName() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}

// Close closes the database.
func (a *Access) Close() error { return a.store.Close() }

// as returns the actor in an operation.
func (a *Access) as(operation string) access.Actor {
	by := a.by
	by.Operation = operation
	return by
}

// AddAccount makes an account.
func (a *Access) AddAccount(ctx context.Context, name string, role access.Role, username charge.Username, password string) error {
	return a.keeper.AddAccount(ctx, a.as("add-account"), access.Account{Name: name, Role: role, Username: username}, password, time.Now())
}

// ChangeAccount changes an account and ends its log-ins.
func (a *Access) ChangeAccount(ctx context.Context, name string, c access.Change) error {
	return a.keeper.ChangeAccount(ctx, a.as("change-account"), name, c, time.Now())
}

// Accounts returns all accounts, without the hashes of their passwords.
func (a *Access) Accounts(ctx context.Context) ([]access.Account, error) {
	return a.keeper.Accounts(ctx, "", 0)
}

// AddToken makes a token with a name, a role and what that role needs, for a number of
// days, 0 for ever, and returns its secret.
func (a *Access) AddToken(ctx context.Context, t access.Token, days int) (id, secret string, err error) {
	now := time.Now()
	if days > 0 {
		t.ExpiresAt = charge.At(now.AddDate(0, 0, days))
	}
	t, secret, err = a.keeper.AddToken(ctx, a.as("add-token"), t, now)
	return t.ID, secret, err
}

// Tokens returns all tokens, without the hashes of their secrets.
func (a *Access) Tokens(ctx context.Context) ([]access.Token, error) { return a.keeper.Tokens(ctx) }

// RevokeToken revokes a token.
func (a *Access) RevokeToken(ctx context.Context, id string) error {
	return a.keeper.RevokeToken(ctx, a.as("revoke-token"), id, time.Now())
}
