package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/carga-ev/carga/internal/loopback"
)

// proxyRules is what stands between browsers and this server: nothing, or a reverse
// proxy that serves it under another name, and perhaps below a path.
type proxyRules struct {
	insecure bool
	origin   string // scheme and host under which browsers reach it; "" if nobody said
	host     string // of origin
	base     string // the path below which it is served there, without a slash at its end
	trusted  []netip.Prefix
}

func newProxyRules(cfg *Config) proxyRules {
	f := proxyRules{insecure: cfg.Insecure, trusted: cfg.TrustedProxies}
	if u := cfg.PublicURL; u != nil {
		f.host = withoutPort(u.Host, u.Scheme)
		f.origin, f.base = u.Scheme+"://"+f.host, strings.TrimRight(u.Path, "/")
	}
	return f
}

// withoutPort cuts off the port that a scheme has anyway, as browsers do.
func withoutPort(host, scheme string) string {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.ToLower(strings.TrimSuffix(host, port))
}

// original returns a request as it was made to the proxy: with the host that was
// asked for, if a trusted proxy says so, and without the base path, which some
// proxies cut off and some do not.
func (f *proxyRules) original(r *http.Request) *http.Request {
	host := r.Host
	if forwarded := nearest(r.Header.Values("X-Forwarded-Host")); forwarded != "" && f.trusts(r.RemoteAddr) {
		host = forwarded
	}
	path, below := strings.CutPrefix(r.URL.Path, f.base)
	below = below && f.base != "" && strings.HasPrefix(path, "/")
	if host == r.Host && !below {
		return r
	}
	asked := new(http.Request)
	*asked = *r
	asked.Host = host
	if below {
		asked.URL = new(url.URL)
		*asked.URL = *r.URL
		asked.URL.Path, asked.URL.RawPath = path, strings.TrimPrefix(r.URL.RawPath, f.base)
	}
	return asked
}

// nearest is the last of the values of a header that proxies append to: that of the
// nearest.
func nearest(values []string) string {
	if len(values) == 0 {
		return ""
	}
	all := strings.Split(values[len(values)-1], ",")
	return strings.TrimSpace(all[len(all)-1])
}

// trusts reports whether the other end of a connection is a trusted proxy.
func (f *proxyRules) trusts(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(f.trusted, func(p netip.Prefix) bool { return p.Contains(at.Addr().Unmap()) })
}

// serves reports whether a request asks for this server: a browser led astray by
// somebody else's name server asks for another.
func (f *proxyRules) serves(host string) bool {
	return f.insecure || loopback.Asked(host) || f.host != "" && (strings.EqualFold(host, f.host) || withoutPort(host, "http") == f.host || withoutPort(host, "https") == f.host)
}

// otherScheme reports whether a trusted proxy says that a request came by another
// scheme than that of the page which made it: http may not order what https shows.
func (f *proxyRules) otherScheme(r *http.Request) bool {
	scheme := nearest(r.Header.Values("X-Forwarded-Proto"))
	origin, _, ok := strings.Cut(r.Header.Get("Origin"), "://")
	return ok && scheme != "" && f.trusts(r.RemoteAddr) && !strings.EqualFold(scheme, origin) &&
		r.Method != http.MethodGet && r.Method != http.MethodHead
}
