package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/internal/charge"
)

// Accounts returns at most limit accounts after a name, by name, without the hashes
// of their passwords; 0 means all.
func (k *Keeper) Accounts(ctx context.Context, after string, limit int) ([]access.Account, error) {
	all, err := k.store.Accounts(ctx, after, limit)
	for i := range all {
		all[i].Password = ""
	}
	return all, err
}

// AddAccount makes an account. Without a password it cannot be signed in to until it
// has one.
func (k *Keeper) AddAccount(ctx context.Context, by access.Actor, a access.Account, password string, now time.Time) error {
	if err := a.Check(); err != nil {
		return err
	}
	if password != "" {
		var err error
		if a.Password, err = k.newPassword(ctx, a.Name, password); err != nil {
			return err
		}
	}
	a.MadeAt, a.ChangedAt = charge.At(now), charge.At(now)
	return k.store.Write(ctx, func(tx Tx) error {
		if _, ok, err := tx.Account(a.Name); err != nil || ok {
			return orRefused(err, "account_exists", "there is an account of this name already")
		}
		if err := tx.SaveAccount(a); err != nil {
			return err
		}
		return tx.Entry(by.Entry(a.ChangedAt, a.Name+" role="+string(a.Role), access.Done))
	})
}

// newPassword checks a new password and returns its hash.
func (k *Keeper) newPassword(ctx context.Context, name, password string) (string, error) {
	if err := access.CheckPassword(name, password); err != nil {
		return "", err
	}
	return k.hasher.hash(ctx, password)
}

// words lists what a change changes, for the audit log, without a secret.
func words(c *access.Change) (s string) {
	if c.Role != nil {
		s += " role=" + string(*c.Role)
	}
	if c.Username != nil {
		s += " username=" + string(*c.Username)
	}
	if c.Disabled != nil {
		s += fmt.Sprintf(" disabled=%t", *c.Disabled)
	}
	if c.Password != nil {
		s += " password=***"
	}
	return s
}

// ChangeAccount changes an account and ends all its log-ins: its user has to
// sign in again, with the new role and the new password. The last admin that can
// sign in stays one.
func (k *Keeper) ChangeAccount(ctx context.Context, by access.Actor, name string, c access.Change, now time.Time) error {
	hash := ""
	if c.Password != nil {
		var err error
		if hash, err = k.newPassword(ctx, name, *c.Password); err != nil {
			return err
		}
	}
	return k.store.Write(ctx, func(tx Tx) error {
		a, ok, err := tx.Account(name)
		if err != nil || !ok {
			return orRefused(err, "unknown_account", "there is no account of this name")
		}
		wasAdmin := a.Role == access.Admin && !a.Disabled
		if c.Role != nil {
			a.Role = *c.Role
			if a.Role != access.Driver {
				a.Username = ""
			}
		}
		if c.Username != nil {
			a.Username = *c.Username
		}
		if c.Disabled != nil {
			a.Disabled = *c.Disabled
		}
		if c.Password != nil {
			a.Password = hash
		}
		if err := a.Check(); err != nil {
			return err
		}
		a.ChangedAt = charge.At(now)
		if err := firstError(func() error { return tx.SaveAccount(a) }, func() error { return tx.EndLogins(name) }); err != nil {
			return err
		}
		if _, admins, err := tx.CountAccounts(); err != nil || wasAdmin && admins == 0 {
			return orRefused(err, "last_admin", "no other admin could sign in: make another account an admin first")
		}
		return tx.Entry(by.Entry(a.ChangedAt, name+words(&c), access.Done))
	})
}

// ChangePassword changes the actor's own password and ends its other log-ins.
func (k *Keeper) ChangePassword(ctx context.Context, by access.Actor, old, password string, now time.Time) error {
	if wait := k.names.Try(by.Name, now); wait > 0 {
		return tooMany(wait)
	}
	a, ok, err := k.store.Account(ctx, by.Name)
	if err != nil || !ok {
		return orRefused(err, "unknown_account", "a token has no password")
	}
	same, err := k.hasher.matches(ctx, old[:min(len(old), access.MaxPassword+1)], a.Password)
	if err != nil {
		return err
	}
	if !same {
		k.names.Failed(by.Name, now)
		return &access.RefusedError{Word: "wrong_credentials", Detail: "the old password is wrong"}
	}
	hash, err := k.newPassword(ctx, by.Name, password)
	if err != nil {
		return err
	}
	return k.store.Write(ctx, func(tx Tx) error {
		a, ok, err := tx.Account(by.Name)
		if err != nil || !ok {
			return orRefused(err, "unknown_account", "there is no account of this name")
		}
		a.Password, a.ChangedAt = hash, charge.At(now)
		err = firstError(func() error { return tx.SaveAccount(a) }, func() error { return tx.EndOtherLogins(by.Name, by.LoginID) })
		if err != nil {
			return err
		}
		return tx.Entry(by.Entry(a.ChangedAt, by.Name, access.Done))
	})
}

// Tokens returns all tokens, the latest first, without their hashes.
func (k *Keeper) Tokens(ctx context.Context) ([]access.Token, error) {
	all, err := k.store.Tokens(ctx)
	for i := range all {
		all[i].Hash = access.Secret{}
	}
	return all, err
}

// AddToken makes a token and returns it with its secret, which is not stored.
func (k *Keeper) AddToken(ctx context.Context, by access.Actor, t access.Token, now time.Time) (made access.Token, secret string, err error) {
	secret = access.TokenPrefix + NewSecret()
	t.ID, t.Hash, t.MadeBy, t.MadeAt, t.RevokedAt = newID(now), access.HashSecret(secret), by.Name, charge.At(now), 0
	if err := t.Check(); err != nil {
		return t, "", err
	}
	return t, secret, k.store.Write(ctx, func(tx Tx) error {
		if err := tx.AddToken(t); err != nil {
			return err
		}
		return tx.Entry(by.Entry(t.MadeAt, t.ID+" "+t.Name+" role="+string(t.Role), access.Done))
	})
}

// RevokeToken revokes a token.
func (k *Keeper) RevokeToken(ctx context.Context, by access.Actor, id string, now time.Time) error {
	return k.store.Write(ctx, func(tx Tx) error {
		if ok, err := tx.RevokeToken(id, charge.At(now)); err != nil || !ok {
			return orRefused(err, "unknown_token", "there is no such token, or it is revoked already")
		}
		return tx.Entry(by.Entry(charge.At(now), id, access.Done))
	})
}
