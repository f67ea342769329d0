package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/internal/charge"
)

// permissions is the one table of the API: which permission each operation needs,
// by its id. An operation that is not in it is refused to all. Package access
// has the other half: which role has a permission.
func permissions() map[string]access.Permission {
	return map[string]access.Permission{
		"get-me":   access.Public,
		"sign-in":  access.Public,
		"sign-out": access.Public,
		"set-up":   access.Public,

		"sign-in-screen": access.Public,

		"list-logins":     access.OwnAccess,
		"end-login":       access.OwnAccess,
		"change-password": access.OwnAccess,

		"list-accounts":   access.AccountRead,
		"add-account":     access.AccountChange,
		"change-account":  access.AccountChange,
		"disable-account": access.AccountChange,
		"list-tokens":     access.TokenRead,
		"add-token":       access.TokenChange,
		"revoke-token":    access.TokenChange,
		"list-audit":      access.AuditRead,
		"get-support":     access.SupportRead,

		"get-network":       access.NetworkRead,
		"get-cp":            access.CPRead,
		"stream":            access.StreamRead,
		"get-series":        access.NetworkRead,
		"get-cp-settings":   access.NetworkRead,
		"get-command":       access.CommandRead,
		"list-sessions":     access.SessionRead,
		"get-session":       access.SessionRead,
		"list-tickets":      access.TicketRead,
		"get-ticket":        access.TicketRead,
		"list-reservations": access.ReservationRead,
		"get-reservation":   access.ReservationRead,
		"list-commands":     access.CommandList,
		"list-records":      access.RecordRead,
		"list-gaps":         access.GapRead,
		"get-gap":           access.GapRead,
		"list-dead-letters": access.RecordRead,

		"list-bridge-dead-letters": access.RecordRead,

		"sum-tickets":    access.TicketRead,
		"list-tariffs":   access.TariffRead,
		"add-tariff":     access.TariffChange,
		"preview-tariff": access.TariffChange,
		"list-cards":     access.CardRead,
		"get-card":       access.CardRead,
		"add-card":       access.CardChange,
		"change-card":    access.CardChange,
		"delete-card":    access.CardChange,
		"list-groups":    access.NetworkRead,
		"add-group":      access.GroupChange,
		"change-group":   access.GroupChange,
		"delete-group":   access.GroupChange,
		"list-alarms":    access.AlarmRead,
		"get-alarm":      access.AlarmRead,

		"reserve":            access.ReservationMake,
		"cancel-reservation": access.ReservationCancel,
		"start":              access.SessionStart,
		"charge":             access.SessionStart,
		"stop":               access.SessionStop,
		"set-availability":   access.AvailabilityChange,
		"simulate":           access.CPSimulate,
		"act-on-site":        access.AvailabilityChange,
		"admit":              access.CPAdmit,
		"pass-next":          access.CPPass,
		"release":            access.CPRelease,
		"settle":             access.SessionSettle,
		"explain-gap":        access.GapExplain,
		"clear-alarm":        access.AlarmClear,
		"lift-fence":         access.FenceLift,
		"replay-dead-letter": access.DeadLetterReplay,
		"set-cp-settings":    access.CPSettings,
		"cut-or-restore":     access.DemoSwitch,
	}
}

// Accounts finds the principal of a request, and changes accounts and tokens. An
// error *access.RefusedError is answered with the problem that it names.
type Accounts interface {
	// Cookie and Bearer return the principal of a log-in or a token by its secret.
	Cookie(ctx context.Context, secret string, now time.Time) (p access.Principal, ok bool, err error)
	Bearer(ctx context.Context, secret string, now time.Time) (p access.Principal, ok bool, err error)
	// Valid reports whether a log-in has not ended. It is no sign that the log-in is
	// used.
	Valid(ctx context.Context, secret string, now time.Time) (bool, error)
	NeedsSetup(ctx context.Context) (bool, error)
	// SignIn, SignInByKey and Setup return the secret of a new log-in.
	SignIn(ctx context.Context, name, password string, from access.Client, now time.Time) (secret string, p access.Principal, err error)
	SignInByKey(ctx context.Context, key string, from access.Client, now time.Time) (secret string, p access.Principal, err error)
	// SignInScreen returns the principal of the token of a screen.
	SignInScreen(ctx context.Context, secret string, from access.Client, now time.Time) (p access.Principal, err error)
	Setup(ctx context.Context, code, name, password string, from access.Client, now time.Time) (secret string, p access.Principal, err error)
	SignOut(ctx context.Context, by access.Actor, now time.Time) error
	Logins(ctx context.Context, p access.Principal, now time.Time) ([]access.Login, error)
	EndLogin(ctx context.Context, by access.Actor, id string, now time.Time) error
	ChangePassword(ctx context.Context, by access.Actor, old, password string, now time.Time) error
	Accounts(ctx context.Context, after string, limit int) ([]access.Account, error)
	AddAccount(ctx context.Context, by access.Actor, a access.Account, password string, now time.Time) error
	ChangeAccount(ctx context.Context, by access.Actor, name string, c access.Change, now time.Time) error
	Tokens(ctx context.Context) ([]access.Token, error)
	AddToken(ctx context.Context, by access.Actor, t access.Token, now time.Time) (made access.Token, secret string, err error)
	RevokeToken(ctx context.Context, by access.Actor, id string, now time.Time) error
	// MayReserve counts a reservation of a driver, and refuses one too many.
	MayReserve(driver charge.Username, now time.Time) error
	// Record adds an entry of the audit log about what Orders does not execute.
	Record(ctx context.Context, e access.Entry) error
}

// caller is what is known of the origin of a request.
type caller struct {
	principal access.Principal
	known     bool // it is signed in, or access is open
	client    access.Client
	cookie    string // the secret of its log-in; "" without one
	token     string // the secret of its token; "" without one
	err       error  // the database could not be read
}

type callerContextKey struct{}

func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerContextKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

type actorContextKey struct{}

// ActorOf returns the actor of a request, for the audit log, from the context that a
// method of Orders receives.
func ActorOf(ctx context.Context) access.Actor {
	a, _ := ctx.Value(actorContextKey{}).(access.Actor)
	return a
}

// ofOther reports whether a request of a screen is about a charging point other than
// its own. To it there is no other.
func ofOther(ctx context.Context, cp string) bool {
	own := callerOf(ctx).principal.CPID
	return own != "" && cp != string(own)
}

// ownerOf returns the driver to whose data a request is limited; "" means that it is
// not limited.
func ownerOf(ctx context.Context) charge.Username {
	c := callerOf(ctx)
	if c.known && c.principal.Role != access.Driver {
		return ""
	}
	return c.principal.Username // never "" of a driver
}

// local is the principal of every request while access is open.
func local() access.Principal { return access.Principal{Name: "local", Role: access.Operator} }

// identify puts the caller into the context of requests that need one. It refuses
// nothing for want of a sign-in: the table does that, for each operation.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &caller{client: access.Client{Addr: s.proxy.client(r), Agent: r.UserAgent()}}
		switch {
		case s.accounts == nil:
			c.principal, c.known = local(), true
		case strings.HasPrefix(r.URL.Path, "/api/") || slices.Contains(observed(), r.URL.Path):
			s.recognise(r, c)
		}
		// Browsers send one of the two headers, from every page. A request with a cookie
		// and without them was not made by one, or something removed them.
		if c.cookie != "" && !safe(r.Method) && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
			writeProblem(w, "cross_origin", "a request with a cookie needs Sec-Fetch-Site or Origin; programs use a token instead")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerContextKey{}, c)))
	})
}

// safe reports whether a method changes nothing.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// recognise sets the principal of a token or a cookie. A token counts before a
// cookie, because only a program sends one, on purpose. A token that cannot be used
// is not replaced by the cookie.
func (s *Server) recognise(r *http.Request, c *caller) {
	now := time.Now()
	if header := r.Header.Get("Authorization"); header != "" {
		// Another scheme is meant for a proxy.
		if scheme, secret, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
			if plausible(secret) {
				c.token = secret
				c.principal, c.known, c.err = s.accounts.Bearer(r.Context(), secret, now)
			}
			return
		}
	}
	cookie, err := r.Cookie(s.cookieName())
	if err != nil || cookie.Value == "" {
		return
	}
	c.cookie = cookie.Value
	switch {
	case !plausible(c.cookie):
	case strings.HasPrefix(c.cookie, access.TokenPrefix): // of a screen
		c.token = c.cookie
		c.principal, c.known, c.err = s.accounts.Bearer(r.Context(), c.token, now)
		c.known = c.known && c.principal.Role == access.Screen
	default:
		c.principal, c.known, c.err = s.accounts.Cookie(r.Context(), c.cookie, now)
	}
}

// plausible reports whether s can be a secret, so that it is worth a look-up.
func plausible(s string) bool { return len(s) >= 40 && len(s) <= 64 }

// authorise refuses an operation to a caller without its permission.
func (s *Server) authorise(table map[string]access.Permission) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		id := ctx.Operation().OperationID
		c := callerOf(ctx.Context())
		if problem, detail := allowed(table, id, c); problem != "" {
			_, w := humago.Unwrap(ctx)
			if c.err != nil {
				s.log.Error("the account of a request could not be read", slog.String("err", c.err.Error()))
			}
			writeProblem(w, problem, detail)
			return
		}
		next(huma.WithValue(ctx, actorContextKey{}, access.Actor{Principal: c.principal, Operation: id, From: c.client.From()}))
	}
}

// allowed returns the problem of a caller with an operation; "" if it may execute it.
func allowed(table map[string]access.Permission, operation string, c *caller) (problem, detail string) {
	p, ok := table[operation]
	switch {
	case !ok:
		return "not_permitted", ""
	case p == access.Public:
		return "", ""
	case c.err != nil:
		return "unavailable", ""
	case !c.known:
		return "sign_in_required", ""
	case !c.principal.Role.May(p):
		return "not_permitted", "the role " + string(c.principal.Role) + " does not have the permission " + string(p)
	}
	return "", ""
}

// refusal converts an error of Accounts to the answer of an operation.
func (s *Server) refusal(operation string, err error) error {
	r, ok := errors.AsType[*access.RefusedError](err)
	if !ok {
		return s.internalError(operation, err)
	}
	p := problem(r.Word, r.Detail)
	if r.After > 0 {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(int(r.After.Seconds()))}})
	}
	return p
}

// forDriver returns the driver of an order: a driver orders for itself alone. The
// username of a body may be left out by a driver.
func forDriver(ctx context.Context, username string) (charge.Username, error) {
	own := ownerOf(ctx)
	switch {
	case own != "" && username != "" && charge.Username(username) != own:
		return "", problem("not_permitted", "username: a driver orders for itself alone")
	case own != "":
		return own, nil
	}
	if err := names.Check(username); err != nil {
		return "", problem("bad_username", "username "+err.Error())
	}
	return charge.Username(username), nil
}

// cookieName returns the name of the cookie with the secret of a log-in. Its prefix
// makes browsers refuse one that another host or plain HTTP sets.
func (s *Server) cookieName() string {
	switch {
	case !s.proxy.secure:
		return "sid"
	case s.proxy.base != "":
		return "__Secure-sid"
	}
	return "__Host-sid"
}

// cookie returns the cookie of a log-in as a header; secret "" deletes it.
func (s *Server) cookie(secret string, role access.Role) string {
	_, absolute := role.Lives()
	age := int(absolute.Seconds())
	if secret == "" {
		age = -1
	}
	path := s.proxy.base
	if path == "" {
		path = "/"
	}
	c := http.Cookie{ //nolint:gosec // Secure is left out on plain loopback alone
		Name: s.cookieName(), Value: secret, Path: path, MaxAge: age, HttpOnly: true, Secure: s.proxy.secure, SameSite: http.SameSiteStrictMode,
	}
	return c.String()
}

// loginCheckInterval is how soon a stream ends after its log-in.
const loginCheckInterval = 15 * time.Second

// watchLogin returns a context that ends when the log-in or the token of a request has
// ended, for requests that last long. stop must be called.
func (s *Server) watchLogin(ctx context.Context) (watched context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	c := callerOf(ctx)
	valid := func() (bool, error) { return s.accounts.Valid(ctx, c.cookie, time.Now()) }
	switch {
	case s.accounts == nil:
		return ctx, cancel
	case c.token != "":
		valid = func() (bool, error) {
			_, ok, err := s.accounts.Bearer(ctx, c.token, time.Now())
			return ok, err
		}
	case c.cookie == "" || c.principal.LoginID == "":
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(loginCheckInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// The database may not answer for a moment: that is no end.
			if ok, err := valid(); err == nil && !ok {
				cancel()
				return
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}
