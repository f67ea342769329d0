package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/accounts"
	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/loopback"
)

// Web is the access to the page and the API, and their encryption.
type Web struct {
	// Access is AccessAccounts or AccessOpen.
	Access string `yaml:"access"`
	// TLS serves HTTPS.
	TLS TLS `yaml:"tls"`
}

// TLS names the PEM files of the certificate, with its chain, and of its key. They
// are read again when they change. Both empty: plain HTTP.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

func (t *TLS) used() bool { return t.Certificate != "" || t.Key != "" }

// The values of Web.Access.
const (
	AccessAccounts = "accounts" // each request needs an account or a token
	AccessOpen     = "open"     // every request acts for one operator; on loopback alone
)

// onLoopback reports whether only this machine reaches the page.
func (c *Config) onLoopback() bool {
	host, _, err := net.SplitHostPort(c.HTTP.Listen)
	return err == nil && loopback.Host(host)
}

// behindProxy reports whether a proxy that is named serves the page to others by
// HTTPS.
func (c *Config) behindProxy() bool {
	u, err := c.HTTP.publicURL()
	return err == nil && u != nil && u.Scheme == "https" && len(c.HTTP.TrustedProxies) > 0
}

// openToOthers reports whether any machine could do everything.
func (c *Config) openToOthers() bool { return c.Web.Access == AccessOpen && !c.onLoopback() }

// plainToOthers reports whether passwords would come from other machines in plain
// HTTP.
func (c *Config) plainToOthers() bool {
	return c.Web.Access != AccessOpen && !c.onLoopback() && !c.Web.TLS.used() && !c.behindProxy()
}

// validateAccess refuses what would let others in without an account, or make them
// send passwords in plain HTTP.
func (c *Config) validateAccess(p *config.Problems) {
	switch {
	case c.Web.Access != AccessAccounts && c.Web.Access != AccessOpen:
		p.Addf("web.access", "want accounts, or open where only this machine reaches the page")
	case c.openToOthers():
		p.Addf("web.access", "open lets any client do everything: want http.listen at a loopback address such as 127.0.0.1, or web.access: accounts")
	}
	if u, err := c.HTTP.publicURL(); c.Web.Access == AccessAccounts && err == nil && u != nil && u.Scheme == "http" && !loopback.Host(u.Hostname()) {
		p.Addf("http.public_url", "want https://: passwords and cookies must not be sent in plain HTTP")
	}
	switch {
	case c.Web.TLS.used():
		c.Web.TLS.validate(p)
	case c.Web.Access == AccessAccounts && c.plainToOthers():
		p.Addf("http.listen", "want a loopback address such as 127.0.0.1, or web.tls.certificate and web.tls.key; "+
			"or, behind a proxy that serves HTTPS, http.public_url: https://… and the address of the proxy in http.trusted_proxies")
	}
}

// checkAccess is validateAccess without a file to name.
func (c *Config) checkAccess() error {
	switch {
	case c.openToOthers():
		return fmt.Errorf("web.access: open needs a loopback address, not http.listen %s", c.HTTP.Listen)
	case c.plainToOthers():
		return fmt.Errorf("http.listen %s: needs web.tls, or a proxy that serves HTTPS", c.HTTP.Listen)
	}
	return nil
}

func (t *TLS) validate(p *config.Problems) {
	switch {
	case t.Certificate == "":
		p.Addf("web.tls.certificate", "is missing: want the PEM file of the certificate for web.tls.key")
	case t.Key == "":
		p.Addf("web.tls.key", "is missing: want the PEM file of the key for web.tls.certificate")
	default:
		if _, err := web.LoadCertificate(t.Certificate, t.Key, slog.New(slog.DiscardHandler)); err != nil {
			p.Addf("web.tls.certificate", "%v", err)
		}
	}
}

// certificate loads the certificate; nil for plain HTTP.
func (t *TLS) certificate(log *slog.Logger) (*web.Certificate, error) {
	if !t.used() {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	c, err := web.LoadCertificate(t.Certificate, t.Key, log)
	if err != nil {
		return nil, fmt.Errorf("web.tls: %w", err)
	}
	if left := time.Until(c.Until()); left < 0 {
		log.Error("the certificate has expired: browsers refuse the page until its files are replaced", slog.Time("until", c.Until()))
	}
	return c, nil
}

// errDamaged is the error of changes while the database is damaged: nothing more is
// written to it, see package ingest.
var errDamaged = errors.New("the database is damaged: nothing is written to it")

// accessStore is the database as package accounts needs it.
type accessStore struct {
	*store.Store
	live *ingest.Live
}

var _ accounts.Store = accessStore{}

// Write implements accounts.Store.
func (s accessStore) Write(ctx context.Context, fn func(accounts.Tx) error) error {
	if s.live != nil {
		if _, damaged := s.live.Alarm(); damaged {
			return errDamaged
		}
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

var _ web.Accounts = (*accounts.Keeper)(nil)

// newAccounts returns what finds the principal of a request; nil if access is open.
// While there is no account it logs the code with which the first one is made.
func newAccounts(ctx context.Context, cfg *Config, deps *Deps, s accessStore, log *slog.Logger) (web.Accounts, error) {
	if cfg.Web.Access == AccessOpen {
		return nil, nil //nolint:nilnil // access is open
	}
	k := accounts.New(s, deps.SignInKey)
	code, err := k.Prepare(ctx, time.Now())
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	if code != "" {
		log.Warn("there is no account yet: make the first one with this code, at /setup of the page or with \"central user add\"", slog.String("setup_code", code))
	}
	return k, nil
}

// NewSignInKey returns a random key for Deps.SignInKey.
func NewSignInKey() string { return access.TokenPrefix + accounts.NewSecret() }
