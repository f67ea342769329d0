package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

const (
	accountCols = "name,role,username,disabled,password,made_at,changed_at"
	loginCols   = "login_id,hash,account,made_at,seen_at,origin,agent"
	tokenCols   = "token_id,hash,name,role,username,cp_id,made_by,made_at,expires_at,revoked_at"
	entryCols   = "at,by,role,operation,target,origin,result,commands"
)

// hashOf scans a hash.
type hashOf struct{ v *access.Secret }

// Scan implements sql.Scanner.
func (h hashOf) Scan(src any) error {
	raw, ok := src.([]byte)
	if !ok || len(raw) != len(h.v) {
		return errors.New("a hash has 32 bytes")
	}
	copy(h.v[:], raw)
	return nil
}

func scanAccount(r scanner) (a access.Account, err error) {
	return a, r.Scan(&a.Name, &a.Role, &a.Username, &a.Disabled, &a.Password, &a.MadeAt, &a.ChangedAt)
}

func scanToken(r scanner) (t access.Token, err error) {
	return t, r.Scan(&t.ID, hashOf{&t.Hash}, &t.Name, &t.Role, &t.Username, &t.CPID, &t.MadeBy, &t.MadeAt, &t.ExpiresAt, &t.RevokedAt)
}

func loginTargets(l *access.Login) []any {
	return []any{&l.ID, hashOf{&l.Hash}, &l.Account, &l.MadeAt, &l.SeenAt, &l.From, &l.Agent}
}

// Account returns an account by name, as this transaction sees it.
func (tx *Tx) Account(name string) (a access.Account, ok bool, err error) {
	if tx.err != nil {
		return a, false, tx.err
	}
	a, err = scanAccount(tx.w.conn.QueryRowContext(tx.ctx, "SELECT "+accountCols+" FROM accounts WHERE name=?", name))
	return rowOrNone("read account", a, err)
}

// CountAccounts returns how many accounts there are, and how many of them are
// admins that can sign in.
func (tx *Tx) CountAccounts() (all, admins int64, err error) {
	if tx.err != nil {
		return 0, 0, tx.err
	}
	err = tx.w.conn.QueryRowContext(tx.ctx, "SELECT count(*),count(*) FILTER (WHERE role='admin' AND disabled=0) FROM accounts").Scan(&all, &admins)
	return all, admins, wrap("count accounts", err)
}

// SaveAccount adds an account, or replaces the one of the same name.
func (tx *Tx) SaveAccount(a access.Account) error {
	return wrap("write account", tx.exec(tx.w.tables.accounts.one, a.Name, string(a.Role), string(a.Username), a.Disabled, a.Password, int64(a.MadeAt), int64(a.ChangedAt)))
}

// AddLogin adds a log-in. It deletes those of the account that are older than
// forget, and all but its latest access.MaxLogins.
func (tx *Tx) AddLogin(l access.Login, forget charge.Time) error {
	return wrap("write log-in", errors.Join(
		tx.exec("INSERT INTO logins ("+loginCols+") VALUES (?,?,?,?,?,?,?)", l.ID, l.Hash[:], l.Account, int64(l.MadeAt), int64(l.SeenAt), l.From, l.Agent),
		tx.exec("DELETE FROM logins WHERE account=? AND (made_at<? OR login_id NOT IN (SELECT login_id FROM logins WHERE account=? ORDER BY made_at DESC,rowid DESC LIMIT ?))",
			l.Account, int64(forget), l.Account, access.MaxLogins)))
}

// SeeLogin stores when a log-in was seen last.
func (tx *Tx) SeeLogin(id string, at charge.Time) error {
	return wrap("write log-in", tx.exec("UPDATE logins SET seen_at=? WHERE login_id=?", int64(at), id))
}

// EndLogin deletes one log-in of an account; ok is false if there was none.
func (tx *Tx) EndLogin(account, id string) (ok bool, err error) {
	return tx.changed("DELETE FROM logins WHERE account=? AND login_id=?", account, id)
}

// EndLogins deletes all log-ins of an account.
func (tx *Tx) EndLogins(account string) error {
	return wrap("end log-ins", tx.exec("DELETE FROM logins WHERE account=?", account))
}

// EndOtherLogins deletes all log-ins of an account but one.
func (tx *Tx) EndOtherLogins(account, except string) error {
	return wrap("end log-ins", tx.exec("DELETE FROM logins WHERE account=? AND login_id<>?", account, except))
}

// AddToken adds a token.
func (tx *Tx) AddToken(t access.Token) error {
	return wrap("write token", tx.exec("INSERT INTO tokens ("+tokenCols+") VALUES (?,?,?,?,?,?,?,?,?,?)", t.ID, t.Hash[:], t.Name, string(t.Role),
		string(t.Username), string(t.CPID), t.MadeBy, int64(t.MadeAt), int64(t.ExpiresAt), int64(t.RevokedAt)))
}

// RevokeToken revokes a token; ok is false if there is none that is not revoked.
func (tx *Tx) RevokeToken(id string, at charge.Time) (ok bool, err error) {
	return tx.changed("UPDATE tokens SET revoked_at=? WHERE token_id=? AND revoked_at=0", int64(at), id)
}

// changed runs a statement and reports whether it changed a row.
func (tx *Tx) changed(query string, args ...any) (bool, error) {
	res, err := tx.run(query, args...)
	if err != nil {
		return false, wrap("write access", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Entry adds an entry to the audit log; its number is given by the database.
func (tx *Tx) Entry(e access.Entry) error {
	commands := e.Commands
	if commands == nil {
		commands = []charge.CommandID{}
	}
	raw, err := json.Marshal(commands)
	if err != nil {
		return wrap("write audit log", err)
	}
	return wrap("write audit log", tx.exec(tx.w.tables.entries.one, int64(e.At), e.By, string(e.Role), e.Operation, e.Target, e.From, e.Result, string(raw)))
}

// HasAccounts reports whether there is any account.
func (s *Store) HasAccounts(ctx context.Context) (ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM accounts)").Scan(&ok)
	return ok, wrap("read accounts", err)
}

// Account returns an account by name; ok is false if there is none.
func (s *Store) Account(ctx context.Context, name string) (a access.Account, ok bool, err error) {
	a, err = scanAccount(s.ro.QueryRowContext(ctx, "SELECT "+accountCols+" FROM accounts WHERE name=?", name))
	return rowOrNone("read account", a, err)
}

// Accounts returns at most limit accounts after a name, by name; 0 means all.
func (s *Store) Accounts(ctx context.Context, after string, limit int) ([]access.Account, error) {
	return collect(ctx, s, "read accounts", func(r *sql.Rows) (access.Account, error) { return scanAccount(r) },
		"SELECT "+accountCols+" FROM accounts WHERE name>? ORDER BY name LIMIT ?", after, unlimited(limit))
}

// unlimited returns the LIMIT for at most n rows; all for 0.
func unlimited(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

// Login returns the log-in with a secret, and its account; ok is false if there is
// none.
func (s *Store) Login(ctx context.Context, hash access.Secret) (l access.Login, a access.Account, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT l.login_id,l.hash,l.account,l.made_at,l.seen_at,l.origin,l.agent,"+
		"a.name,a.role,a.username,a.disabled,a.password,a.made_at,a.changed_at FROM logins l JOIN accounts a ON a.name=l.account WHERE l.hash=?", hash[:]).
		Scan(append(loginTargets(&l), &a.Name, &a.Role, &a.Username, &a.Disabled, &a.Password, &a.MadeAt, &a.ChangedAt)...)
	_, ok, err = rowOrNone("read log-in", struct{}{}, err)
	return l, a, ok, err
}

// Logins returns the log-ins of an account, the latest first.
func (s *Store) Logins(ctx context.Context, account string) ([]access.Login, error) {
	return collect(ctx, s, "read log-ins", func(r *sql.Rows) (l access.Login, err error) { return l, r.Scan(loginTargets(&l)...) },
		"SELECT "+loginCols+" FROM logins WHERE account=? ORDER BY made_at DESC,rowid DESC", account)
}

// Token returns the token with a secret; ok is false if there is none.
func (s *Store) Token(ctx context.Context, hash access.Secret) (t access.Token, ok bool, err error) {
	t, err = scanToken(s.ro.QueryRowContext(ctx, "SELECT "+tokenCols+" FROM tokens WHERE hash=?", hash[:]))
	return rowOrNone("read token", t, err)
}

// Tokens returns all tokens, the latest first.
func (s *Store) Tokens(ctx context.Context) ([]access.Token, error) {
	return collect(ctx, s, "read tokens", func(r *sql.Rows) (access.Token, error) { return scanToken(r) },
		"SELECT "+tokenCols+" FROM tokens ORDER BY made_at DESC,rowid DESC")
}

// Entries returns a page of the audit log, the latest first; the key is the number of
// an entry. Entries are never deleted, so a cursor never becomes invalid.
func (s *Store) Entries(ctx context.Context, q view.Query) ([]access.Entry, error) {
	var c conditions
	if q.By != "" {
		c.add("by=?", q.By)
	}
	if q.Operation != "" {
		c.add("operation=?", q.Operation)
	}
	c.between("at", &q)
	if q.After != "" {
		after, err := strconv.ParseInt(q.After, 10, 64)
		if err != nil {
			return nil, view.ErrGone
		}
		c.add("n<?", after)
	}
	return collect(ctx, s, "read audit log", func(r *sql.Rows) (e access.Entry, err error) {
		err = r.Scan(&e.N, &e.At, &e.By, &e.Role, &e.Operation, &e.Target, &e.From, &e.Result, jsonOf{&e.Commands})
		e.Commands = nilIfEmpty(e.Commands)
		return e, err
	}, "SELECT n,"+entryCols+" FROM audit_log"+c.String()+" ORDER BY n DESC LIMIT ?", append(slices.Clone(c.args), limitOf(&q))...)
}
