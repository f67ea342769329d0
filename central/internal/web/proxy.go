package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/carga-ev/carga/internal/loopback"
)

// proxyRules describe how browsers reach this server: directly, or through a
// reverse proxy that serves it under another name and perhaps below a path. They
// decide which Host headers are accepted and which path of a request is meant.
type proxyRules struct {
	secure  bool                   // browsers reach it by HTTPS
	alone   bool                   // only a trusted proxy or this machine may make requests
	named   func(host string) bool // whether the certificate is for a host; nil: plain HTTP
	origin  string                 // scheme and host under which browsers reach it; "" if not configured
	host    string                 // of origin, without a default port, lower case
	base    string                 // the path below which the proxy serves it, without a slash at its end
	trusted []netip.Prefix         // addresses of proxies whose X-Forwarded headers are used
}

// newProxyRules returns the rules of a configuration.
func newProxyRules(cfg *Config) proxyRules {
	f := proxyRules{alone: cfg.ProxyAlone, trusted: cfg.TrustedProxies}
	if cfg.TLS != nil {
		f.secure, f.named = true, cfg.TLS.Names
	}
	if u := cfg.PublicURL; u != nil {
		f.host = withoutPort(u.Host, u.Scheme)
		f.origin, f.base = u.Scheme+"://"+f.host, strings.TrimRight(u.Path, "/")
		f.secure = f.secure || u.Scheme == "https"
	}
	return f
}

// withoutPort removes the default port of a scheme from a host, as browsers do.
func withoutPort(host, scheme string) string {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.ToLower(strings.TrimSuffix(host, port))
}

// original returns the request as the browser made it to the proxy: with the host
// of X-Forwarded-Host, if a trusted proxy set it, and without the base path, which
// some proxies remove and some pass on.
func (f *proxyRules) original(r *http.Request) *http.Request {
	host := r.Host
	if forwarded := nearest(r.Header.Values("X-Forwarded-Host")); forwarded != "" && f.trusts(r.RemoteAddr) {
		host = forwarded
	}
	// "/cargo" is not below the base "/carga" nor "/cargax": the rest must begin with
	// a slash.
	path, below := strings.CutPrefix(r.URL.Path, f.base)
	below = below && f.base != "" && strings.HasPrefix(path, "/")
	if host == r.Host && !below {
		return r
	}
	original := new(http.Request)
	*original = *r
	original.Host = host
	if below {
		original.URL = new(url.URL)
		*original.URL = *r.URL
		original.URL.Path, original.URL.RawPath = path, strings.TrimPrefix(r.URL.RawPath, f.base)
	}
	return original
}

// nearest returns the last value of a header to which each proxy appends one: that
// of the proxy nearest to this server. The others may come from the client.
func nearest(values []string) string {
	if len(values) == 0 {
		return ""
	}
	all := strings.Split(values[len(values)-1], ",")
	return strings.TrimSpace(all[len(all)-1])
}

// trusts reports whether the remote address of a connection is a trusted proxy.
func (f *proxyRules) trusts(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(f.trusted, func(p netip.Prefix) bool { return p.Contains(at.Addr().Unmap()) })
}

// serves reports whether the Host of a request names this server. A browser that an
// attacker's name server led here sends another name.
func (f *proxyRules) serves(host string) bool {
	return loopback.Asked(host) || f.named != nil && f.named(host) || f.host != "" && (strings.EqualFold(host, f.host) || withoutPort(host, "http") == f.host || withoutPort(host, "https") == f.host)
}

// peer returns the address of the other end of a connection.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// client returns the address of the client: of the connection, or what a trusted
// proxy reports.
func (f *proxyRules) client(r *http.Request) netip.Addr {
	if f.trusts(r.RemoteAddr) {
		if a, err := netip.ParseAddr(nearest(r.Header.Values("X-Forwarded-For"))); err == nil {
			return a.Unmap()
		}
	}
	return peer(r)
}

// local reports whether a request was made by a program on this machine, and not
// passed on by a proxy.
func (f *proxyRules) local(r *http.Request) bool {
	return peer(r).IsLoopback() && f.host == "" && len(f.trusted) == 0 && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == "" &&
		r.Header.Get("Via") == ""
}

// otherScheme reports whether a request that may change something came to a trusted
// proxy by another scheme than that of the page which made it: a page that was
// loaded over http, which an attacker on the network can alter, may not order what is
// served over https.
func (f *proxyRules) otherScheme(r *http.Request) bool {
	scheme := nearest(r.Header.Values("X-Forwarded-Proto"))
	origin, _, ok := strings.Cut(r.Header.Get("Origin"), "://")
	return ok && scheme != "" && f.trusts(r.RemoteAddr) && !strings.EqualFold(scheme, origin) &&
		r.Method != http.MethodGet && r.Method != http.MethodHead
}
