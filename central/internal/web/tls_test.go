package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/internal/web"
)

// authority is an own certificate that signs itself, and its files.
type authority struct {
	cert, key string
	pool      *x509.CertPool
	serial    *big.Int
}

// certify writes a certificate for a name into a folder, in place of the one before.
func certify(t *testing.T, dir, name string, until time.Time) *authority {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool()}
	if a.serial, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: a.serial, DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, a.cert, "CERTIFICATE", raw)
	a.write(t, a.key, "PRIVATE KEY", rawKey)
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(leaf)
	return a
}

func (a *authority) write(t *testing.T, path, kind string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveTLS serves with a certificate on a free port until the test ends.
func serveTLS(t *testing.T, c *web.Certificate) (addr string) {
	t.Helper()
	g := newGuarded(t, func(cfg *web.Config) { cfg.TLS = c })
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- g.server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// getTLS makes a request, and returns its response without a body.
func getTLS(t *testing.T, addr, host string, cfg *tls.Config) (*http.Response, error) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/api/v1/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp, resp.Body.Close()
}

// TestHTTPS: current versions and the names of the certificate are served; what is
// older, another name or plain HTTP is refused.
func TestHTTPS(t *testing.T) {
	a := certify(t, t.TempDir(), "central.example", time.Now().Add(time.Hour))
	c, err := web.LoadCertificate(a.cert, a.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTLS(t, c)
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		resp, err := getTLS(t, addr, "central.example", &tls.Config{RootCAs: a.pool, MinVersion: version, MaxVersion: version}) //nolint:bodyclose // getTLS closes it
		if err != nil {
			t.Fatalf("%s: %v", tls.VersionName(version), err)
		}
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s: %s %s, HSTS %q", tls.VersionName(version), resp.Proto, resp.Status, resp.Header.Get("Strict-Transport-Security"))
		}
	}
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":                 {RootCAs: a.pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},                                                               //nolint:gosec // it must be refused
		"without forward secrecy": {RootCAs: a.pool, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},     //nolint:gosec // it must be refused
		"RC4":                     {RootCAs: a.pool, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, //nolint:gosec // it must be refused
		"an unknown authority":    {RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13},
	} {
		if resp, err := getTLS(t, addr, "central.example", cfg); err == nil { //nolint:bodyclose // getTLS closes it
			t.Errorf("%s: answered %s", name, resp.Status)
		}
	}
	if resp, err := getTLS(t, addr, "other.example", &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS13}); err == nil { //nolint:bodyclose // getTLS closes it
		t.Errorf("another name: answered %s", resp.Status)
	}
	resp, err := getTLS(t, addr, "other.example", &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS13, ServerName: "central.example"}) //nolint:bodyclose // getTLS closes it
	if err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a Host that the certificate does not name: %v %v", resp, err)
	}
	var d net.Dialer
	plain, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if _, err := io.WriteString(plain, "GET /api/v1/me HTTP/1.1\r\nHost: central.example\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(plain)
	if !strings.HasPrefix(string(answer), "HTTP/1.0 400") || strings.Contains(string(answer), "permissions") {
		t.Errorf("plain HTTP: answered %q", answer)
	}
}

// TestTheCertificateIsReadAgain when its files change; half-written ones do not
// replace it.
func TestTheCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	first := certify(t, dir, "central.example", time.Now().Add(time.Hour))
	c, err := web.LoadCertificate(first.cert, first.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	serial := func() *big.Int {
		now = now.Add(2 * time.Second)
		return c.At(now).Leaf.SerialNumber
	}
	if serial().Cmp(first.serial) != 0 {
		t.Error("not the first one")
	}
	second := certify(t, dir, "central.example", time.Now().Add(time.Hour))
	if err := os.Chtimes(second.cert, now, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if serial().Cmp(second.serial) != 0 {
		t.Error("the files have changed, and the certificate has not")
	}
	third := certify(t, t.TempDir(), "central.example", time.Now().Add(time.Hour))
	raw, err := os.ReadFile(third.cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second.cert, raw, 0o600); err != nil { // the key is still the old one
		t.Fatal(err)
	}
	if serial().Cmp(second.serial) != 0 {
		t.Error("a certificate without its key is served")
	}
	if raw, err = os.ReadFile(third.key); err == nil {
		err = os.WriteFile(second.key, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if serial().Cmp(third.serial) != 0 {
		t.Error("the new pair is not served")
	}
	if err := errors.Join(os.Remove(second.cert), os.Remove(second.key)); err != nil {
		t.Fatal(err)
	}
	if serial().Cmp(third.serial) != 0 {
		t.Error("without files there is no certificate")
	}
}

// TestBadCertificates are refused at the start, by their files.
func TestBadCertificates(t *testing.T) {
	a, b := certify(t, t.TempDir(), "a.example", time.Now().Add(time.Hour)), certify(t, t.TempDir(), "b.example", time.Now().Add(time.Hour))
	open := certify(t, t.TempDir(), "c.example", time.Now().Add(time.Hour))
	if err := os.Chmod(open.key, 0o604); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ cert, key, want string }{
		"the key of another":   {a.cert, b.key, "does not match"},
		"a key as certificate": {a.key, a.key, "certificate"},
		"a certificate as key": {a.cert, a.cert, "key"},
		"no file":              {"nowhere.pem", a.key, "nowhere.pem: no such file"},
		"no key":               {a.cert, "nowhere.pem", "nowhere.pem: no such file"},
		"a key for all":        {open.cert, open.key, "all users can read it"},
		"a folder":             {t.TempDir(), a.key, "certificate"},
	} {
		if _, err := web.LoadCertificate(c.cert, c.key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	old := certify(t, t.TempDir(), "old.example", time.Now().Add(-time.Hour))
	c, err := web.LoadCertificate(old.cert, old.key, slog.New(slog.DiscardHandler))
	if err != nil || time.Until(c.Until()) > 0 { // Central starts, and logs it
		t.Errorf("an expired one: %v", err)
	}
}
