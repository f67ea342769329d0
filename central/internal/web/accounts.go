package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// asRefused returns the refusal in an error.
func asRefused(err error) (*access.RefusedError, bool) {
	return errors.AsType[*access.RefusedError](err)
}

// Account is one account.
type Account struct {
	Name      string          `json:"name"`
	Role      access.Role     `json:"role" enum:"admin,operator,auditor,driver"`
	Username  charge.Username `json:"username,omitempty" doc:"the driver that the account is"`
	Disabled  bool            `json:"disabled"`
	MadeAt    charge.Time     `json:"made_at"`
	ChangedAt charge.Time     `json:"changed_at"`
}

// Token is one token. Its secret is shown once, in the answer that made it.
type Token struct {
	ID        string          `json:"token_id"`
	Name      string          `json:"name"`
	Role      access.Role     `json:"role" enum:"admin,operator,auditor,driver,screen"`
	Username  charge.Username `json:"username,omitempty" doc:"the driver that it acts for"`
	CPID      charge.CPID     `json:"cp_id,omitempty" doc:"the charging point that a screen shows"`
	MadeBy    string          `json:"made_by"`
	MadeAt    charge.Time     `json:"made_at"`
	ExpiresAt charge.Time     `json:"expires_at,omitzero"`
	RevokedAt charge.Time     `json:"revoked_at,omitzero"`
	Secret    string          `json:"secret,omitempty" doc:"send it as Authorization: Bearer"`
}

func tokenShown(t *access.Token) Token {
	return Token{
		ID: t.ID, Name: t.Name, Role: t.Role, Username: t.Username, CPID: t.CPID, MadeBy: t.MadeBy, MadeAt: t.MadeAt, ExpiresAt: t.ExpiresAt, RevokedAt: t.RevokedAt,
	}
}

type accountsInput struct {
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	After string `query:"after" maxLength:"160" pattern:"^accounts:[a-z0-9._@-]+$" doc:"next of the page before"`
}

type addAccountInput struct {
	Body struct {
		Name     string `json:"name" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._@-]{0,63}$"`
		Role     string `json:"role" enum:"admin,operator,auditor,driver"`
		Username string `json:"username,omitempty" minLength:"1" maxLength:"64" doc:"of a driver: the name under which it charges"`
		Password string `json:"password,omitempty" minLength:"1" maxLength:"1024" doc:"of 10 to 256 bytes; absent: the account cannot be signed in to yet"`
	}
}

// NameInput names an account.
type NameInput struct {
	Name string `path:"name" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._@-]{0,63}$"`
}

type changeAccountInput struct {
	NameInput
	Body struct {
		Role     *string `json:"role,omitempty" enum:"admin,operator,auditor,driver"`
		Username *string `json:"username,omitempty" minLength:"1" maxLength:"64" doc:"of a driver"`
		Disabled *bool   `json:"disabled,omitempty"`
		Password *string `json:"password,omitempty" minLength:"1" maxLength:"1024"`
	}
}

type addTokenInput struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"64" pattern:"^[ -~]+$" doc:"what it is for"`
		Role     string `json:"role" enum:"admin,operator,auditor,driver,screen"`
		Username string `json:"username,omitempty" minLength:"1" maxLength:"64" doc:"of a driver"`
		CPID     string `json:"cp_id,omitempty" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"of a screen: the charging point that it shows, and nothing else"`
		Days     int    `json:"days,omitempty" minimum:"1" maximum:"3650" doc:"how long it can be used; absent: until it is revoked"`
	}
}

type auditInput struct {
	Paging
	By        string `query:"by" minLength:"1" maxLength:"80" doc:"only of this account or token"`
	Operation string `query:"operation" maxLength:"40" pattern:"^[a-z-]+$" doc:"only of this operation"`
	After     string `query:"after" maxLength:"160" pattern:"^audit:[0-9]{1,18}$" doc:"next of the page before"`
}

// accountRoutes registers the operations of admins about accounts and tokens, and
// the audit log.
func (s *Server) accountRoutes(api huma.API) {
	list(s, api, "accounts", "Accounts, by name", func(in *accountsInput) view.Query {
		return (&Paging{Limit: in.Limit}).query(in.After)
	}, s.listAccounts, func(a *Account) string { return a.Name })
	huma.Register(api, change("add-account", http.MethodPost, "/accounts", "Make an account", http.StatusCreated), s.addAccount)
	huma.Register(api, change("change-account", http.MethodPatch, "/accounts/{name}", "Change an account, and end its log-ins", http.StatusNoContent, http.StatusNotFound),
		func(ctx context.Context, in *changeAccountInput) (*struct{}, error) {
			c := access.Change{Disabled: in.Body.Disabled, Password: in.Body.Password}
			if in.Body.Role != nil {
				c.Role = new(access.Role(*in.Body.Role))
			}
			if in.Body.Username != nil {
				c.Username = new(charge.Username(*in.Body.Username))
			}
			return s.execute("change-account", func(now time.Time) error { return s.accounts.ChangeAccount(ctx, ActorOf(ctx), in.Name, c, now) })
		})
	huma.Register(api, change("disable-account", http.MethodDelete, "/accounts/{name}", "Disable an account, and end its log-ins", http.StatusNoContent, http.StatusNotFound),
		func(ctx context.Context, in *NameInput) (*struct{}, error) {
			return s.execute("disable-account", func(now time.Time) error {
				return s.accounts.ChangeAccount(ctx, ActorOf(ctx), in.Name, access.Change{Disabled: new(true)}, now)
			})
		})
	huma.Register(api, op("list-tokens", http.MethodGet, "/tokens", "Tokens, the latest first", http.StatusOK, http.StatusConflict),
		func(ctx context.Context, _ *struct{}) (*itemsOutput[Token], error) {
			if err := s.open(); err != nil {
				return nil, err
			}
			all, err := s.accounts.Tokens(ctx)
			if err != nil {
				return nil, s.internalError("list-tokens", err)
			}
			return itemsOf(all, tokenShown), nil
		})
	huma.Register(api, change("add-token", http.MethodPost, "/tokens", "Make a token for a program; the answer has its secret", http.StatusCreated), s.addToken)
	huma.Register(api, change("revoke-token", http.MethodDelete, "/tokens/{id}", "Revoke a token", http.StatusNoContent, http.StatusNotFound),
		func(ctx context.Context, in *idInput) (*struct{}, error) {
			return s.execute("revoke-token", func(now time.Time) error { return s.accounts.RevokeToken(ctx, ActorOf(ctx), in.ID, now) })
		})
	list(s, api, "audit", "The audit log: what was changed, when, by which account", func(in *auditInput) view.Query {
		q := in.query(in.After)
		q.By, q.Operation = in.By, in.Operation
		return q
	}, s.archive.Audit, func(e *access.Entry) string { return strconv.FormatInt(e.N, 10) })
}

func (s *Server) listAccounts(ctx context.Context, q view.Query) ([]Account, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	all, err := s.accounts.Accounts(ctx, q.After, q.Limit)
	out := make([]Account, 0, len(all))
	for _, a := range all {
		out = append(out, Account{Name: a.Name, Role: a.Role, Username: a.Username, Disabled: a.Disabled, MadeAt: a.MadeAt, ChangedAt: a.ChangedAt})
	}
	return out, err
}

// madeOutput is the answer to what made a resource.
type madeOutput[T any] struct {
	Location string `header:"Location" doc:"what was made"`
	Body     T
}

func (s *Server) addAccount(ctx context.Context, in *addAccountInput) (*madeOutput[Account], error) {
	now := time.Now()
	a := access.Account{Name: in.Body.Name, Role: access.Role(in.Body.Role), Username: charge.Username(in.Body.Username)}
	if _, err := s.execute("add-account", func(time.Time) error { return s.accounts.AddAccount(ctx, ActorOf(ctx), a, in.Body.Password, now) }); err != nil {
		return nil, err
	}
	return &madeOutput[Account]{
		Location: s.location("accounts/" + a.Name),
		Body:     Account{Name: a.Name, Role: a.Role, Username: a.Username, MadeAt: charge.At(now), ChangedAt: charge.At(now)},
	}, nil
}

func (s *Server) addToken(ctx context.Context, in *addTokenInput) (*madeOutput[Token], error) {
	now := time.Now()
	t := access.Token{Name: in.Body.Name, Role: access.Role(in.Body.Role), Username: charge.Username(in.Body.Username), CPID: charge.CPID(in.Body.CPID)}
	if in.Body.Days > 0 {
		t.ExpiresAt = charge.At(now.AddDate(0, 0, in.Body.Days))
	}
	var secret string
	if _, err := s.execute("add-token", func(time.Time) (err error) {
		t, secret, err = s.accounts.AddToken(ctx, ActorOf(ctx), t, now)
		return err
	}); err != nil {
		return nil, err
	}
	out := &madeOutput[Token]{Location: s.location("tokens/" + t.ID), Body: tokenShown(&t)}
	out.Body.Secret = secret
	return out, nil
}
