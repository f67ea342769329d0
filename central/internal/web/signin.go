package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/internal/charge"
)

// Me is the principal of a request, and what it may do.
type Me struct {
	Name        string              `json:"name" doc:"of the account; empty: not signed in"`
	Role        string              `json:"role" enum:",admin,operator,auditor,driver,screen" doc:"empty: not signed in"`
	Username    charge.Username     `json:"username,omitempty" doc:"the driver that the account is"`
	CPID        charge.CPID         `json:"cp_id,omitempty" doc:"the charging point that a screen shows"`
	Access      string              `json:"access" enum:"accounts,open" doc:"open: every request acts for the operator local"`
	Setup       bool                `json:"setup" doc:"there is no account yet: make the first one"`
	Permissions []access.Permission `json:"permissions" nullable:"false" doc:"what the page offers"`
}

// me returns the answer about a principal.
func (s *Server) me(ctx context.Context, p access.Principal, known bool) (Me, error) {
	m := Me{Access: "accounts", Permissions: []access.Permission{}}
	if known {
		m.Name, m.Role, m.Username, m.CPID, m.Permissions = p.Name, string(p.Role), p.Username, p.CPID, p.Role.Permissions()
	}
	if s.accounts == nil {
		m.Access = "open"
		return m, nil
	}
	if known {
		return m, nil
	}
	var err error
	m.Setup, err = s.accounts.NeedsSetup(ctx)
	return m, err
}

// signedInOutput is the answer to a sign-in.
type signedInOutput struct {
	SetCookie string `header:"Set-Cookie" doc:"the cookie of the log-in"`
	Body      Me
}

type cookieOutput struct {
	SetCookie string `header:"Set-Cookie" doc:"deletes the cookie of the log-in"`
}

type signInInput struct {
	Body struct {
		Name     string `json:"name" maxLength:"64"`
		Password string `json:"password" maxLength:"1024"`
	}
}

type screenInput struct {
	Body struct {
		Token string `json:"token" maxLength:"64" doc:"the secret of a token of the role screen"`
	}
}

type setupInput struct {
	Body struct {
		Code     string `json:"code" maxLength:"64" doc:"that Central printed into its log when it started"`
		Name     string `json:"name" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._@-]{0,63}$" doc:"of the first admin"`
		Password string `json:"password" maxLength:"1024" doc:"of 10 to 256 bytes"`
	}
}

type passwordInput struct {
	Body struct {
		Old      string `json:"old" maxLength:"1024"`
		Password string `json:"password" maxLength:"1024" doc:"the new one, of 10 to 256 bytes"`
	}
}

// LoginView is one log-in as its account sees it.
type LoginView struct {
	ID      string      `json:"login_id"`
	MadeAt  charge.Time `json:"made_at"`
	SeenAt  charge.Time `json:"seen_at" doc:"the last request, to within a minute"`
	From    string      `json:"from" doc:"the address from which it was made"`
	Agent   string      `json:"agent" doc:"what the browser calls itself"`
	Present bool        `json:"present" doc:"this request has it"`
}

// itemsOutput is a list without pages.
type itemsOutput[T any] struct {
	Body struct {
		Items []T `json:"items" nullable:"false"`
	}
}

func itemsOf[A, B any](all []A, to func(*A) B) *itemsOutput[B] {
	out := &itemsOutput[B]{}
	out.Body.Items = []B{}
	for i := range all {
		out.Body.Items = append(out.Body.Items, to(&all[i]))
	}
	return out
}

// open is the problem of operations that need accounts while access is open.
func (s *Server) open() error {
	if s.accounts != nil {
		return nil
	}
	return problem("access_open", "")
}

// change describes an operation that changes accounts.
func change(id, method, path, summary string, status int, errors ...int) huma.Operation {
	return op(id, method, path, summary, status, append([]int{
		http.StatusForbidden, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
	}, errors...)...)
}

// signInRoutes registers the operations by which a person signs in and out.
func (s *Server) signInRoutes(api huma.API) {
	huma.Register(api, op("get-me", http.MethodGet, "/me", "The account that is signed in, and what it may do", http.StatusOK),
		func(ctx context.Context, _ *struct{}) (*bodyOutput[Me], error) {
			c := callerOf(ctx)
			if c.err != nil {
				return nil, s.internalError("get-me", c.err)
			}
			m, err := s.me(ctx, c.principal, c.known)
			if err != nil {
				return nil, s.internalError("get-me", err)
			}
			return &bodyOutput[Me]{m}, nil
		})
	huma.Register(api, change("sign-in", http.MethodPost, "/session", "Sign in: the answer sets a cookie", http.StatusOK, http.StatusUnauthorized),
		func(ctx context.Context, in *signInInput) (*signedInOutput, error) {
			return s.signedIn(ctx, "sign-in", func(from access.Client, now time.Time) (string, access.Principal, error) {
				return s.accounts.SignIn(ctx, in.Body.Name, in.Body.Password, from, now)
			})
		})
	huma.Register(api, change("sign-in-screen", http.MethodPost, "/session/screen", "Sign in the screen at a charging point: the answer sets a cookie", http.StatusOK, http.StatusUnauthorized),
		func(ctx context.Context, in *screenInput) (*signedInOutput, error) {
			return s.signedIn(ctx, "sign-in-screen", func(from access.Client, now time.Time) (string, access.Principal, error) {
				p, err := s.accounts.SignInScreen(ctx, in.Body.Token, from, now)
				return in.Body.Token, p, err
			})
		})
	huma.Register(api, change("set-up", http.MethodPost, "/setup", "Make the first account, an admin, and sign it in", http.StatusOK, http.StatusUnauthorized),
		func(ctx context.Context, in *setupInput) (*signedInOutput, error) {
			return s.signedIn(ctx, "set-up", func(from access.Client, now time.Time) (string, access.Principal, error) {
				return s.accounts.Setup(ctx, in.Body.Code, in.Body.Name, in.Body.Password, from, now)
			})
		})
	huma.Register(api, op("sign-out", http.MethodDelete, "/session", "Sign out", http.StatusNoContent, http.StatusForbidden),
		func(ctx context.Context, _ *struct{}) (*cookieOutput, error) {
			if c := callerOf(ctx); s.accounts != nil && c.principal.LoginID != "" {
				err := s.accounts.SignOut(ctx, ActorOf(ctx), time.Now())
				if r, gone := asRefused(err); err != nil && (!gone || r.Word != "unknown_login") {
					return nil, s.refusal("sign-out", err)
				}
			}
			return &cookieOutput{s.cookie("", access.Admin)}, nil
		})
	huma.Register(api, op("list-logins", http.MethodGet, "/logins", "The open log-ins of the own account", http.StatusOK),
		func(ctx context.Context, _ *struct{}) (*itemsOutput[LoginView], error) {
			if s.accounts == nil {
				return itemsOf[access.Login](nil, func(*access.Login) LoginView { return LoginView{} }), nil
			}
			p := ActorOf(ctx).Principal
			all, err := s.accounts.Logins(ctx, p, time.Now())
			if err != nil {
				return nil, s.internalError("list-logins", err)
			}
			return itemsOf(all, func(l *access.Login) LoginView {
				return LoginView{ID: l.ID, MadeAt: l.MadeAt, SeenAt: l.SeenAt, From: l.From, Agent: l.Agent, Present: l.ID == p.LoginID}
			}), nil
		})
	huma.Register(api, change("end-login", http.MethodDelete, "/logins/{id}", "End a log-in of the own account", http.StatusNoContent, http.StatusNotFound),
		func(ctx context.Context, in *idInput) (*struct{}, error) {
			return s.execute("end-login", func(now time.Time) error { return s.accounts.EndLogin(ctx, ActorOf(ctx), in.ID, now) })
		})
	huma.Register(api, change("change-password", http.MethodPost, "/me/password", "Change the own password, and end the other log-ins", http.StatusNoContent,
		http.StatusUnauthorized, http.StatusNotFound),
		func(ctx context.Context, in *passwordInput) (*struct{}, error) {
			return s.execute("change-password", func(now time.Time) error {
				return s.accounts.ChangePassword(ctx, ActorOf(ctx), in.Body.Old, in.Body.Password, now)
			})
		})
}

// execute executes an operation of Accounts that has no answer.
func (s *Server) execute(operation string, do func(now time.Time) error) (*struct{}, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := do(time.Now()); err != nil {
		return nil, s.refusal(operation, err)
	}
	return nil, nil //nolint:nilnil // 204
}

// signedIn executes a sign-in and returns the answer with its cookie. A log-in that
// the request came with ends.
func (s *Server) signedIn(ctx context.Context, operation string, do func(from access.Client, now time.Time) (string, access.Principal, error)) (*signedInOutput, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	secret, p, err := do(c.client, time.Now())
	if err != nil {
		return nil, s.refusal(operation, err)
	}
	s.leave(ctx, c)
	m, err := s.me(ctx, p, true)
	if err != nil {
		return nil, s.internalError(operation, err)
	}
	return &signedInOutput{SetCookie: s.cookie(secret, p.Role), Body: m}, nil
}

// leave ends the log-in that a request came with, because it has a new one. If that
// fails the log-in ends by itself.
func (s *Server) leave(ctx context.Context, c *caller) {
	if c.known && c.principal.LoginID != "" {
		actor := access.Actor{Principal: c.principal, Operation: "sign-out", From: c.client.From()}
		_ = s.accounts.SignOut(ctx, actor, time.Now())
	}
}

// signInByLink is GET /signin with a key: it signs in and leads to the path next, or
// to the page. Without a key it is a route of the page.
func (s *Server) signInByLink(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if s.accounts == nil || q.Get("key") == "" {
			page(w, r)
			return
		}
		secret, p, err := s.accounts.SignInByKey(r.Context(), q.Get("key"), callerOf(r.Context()).client, time.Now())
		if refused, ok := asRefused(err); ok {
			writeProblem(w, refused.Word, "this link does not sign in, or not any more")
			return
		}
		if err != nil {
			s.log.Error("a link could not sign in", slog.String("err", err.Error()))
			writeProblem(w, "unavailable", "")
			return
		}
		h := w.Header()
		h.Set("Set-Cookie", s.cookie(secret, p.Role))
		h.Set("Cache-Control", "no-store")
		h.Set("Location", s.proxy.base+ownPath(q.Get("next")))
		w.WriteHeader(http.StatusSeeOther)
	}
}

// ownPath returns a path of this server that a client named, or "/" if it named
// anything else.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f }) {
		return "/"
	}
	return u.String()
}
