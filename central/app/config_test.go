package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/config/configtest"
)

func newConfig() any {
	cfg := app.DefaultConfig()
	return &cfg
}

func TestTheSampleIsTheDefault(t *testing.T) {
	configtest.SampleIsDefault(t, "../../configs/central.yaml", newConfig)
}

func TestBadConfigNamesTheKey(t *testing.T) {
	configtest.NamesTheKey(t, app.EnvPrefix, newConfig, map[string]string{
		"http.listen":                     "HTTP__LISTEN=0.0.0.0:8080",
		"web.access":                      "WEB__ACCESS=none",
		"database.path":                   "DATABASE__PATH=",
		"database.retention":              "DATABASE__RETENTION=1h",
		"kafka.brokers":                   "KAFKA__BROKERS=localhost",
		"network.reservation":             "NETWORK__RESERVATION=1s",
		"network.reservations_per_driver": "NETWORK__RESERVATIONS_PER_DRIVER=0",
		"network.ask_for":                 "NETWORK__ASK_FOR=1ms",
		"network.max_asked":               "NETWORK__MAX_ASKED=4",
		"network.start_wait":              "NETWORK__START_WAIT=1d",
		"network.drivers[1]":              "NETWORK__DRIVERS=ann,b\x01b",
		"tariff.version":                  "TARIFF__VERSION=a b",
		"tariff.start_fee_cents":          "TARIFF__START_FEE_CENTS=-1",
		"tariff.per_kwh_cents":            "TARIFF__PER_KWH_CENTS=1.5",
		"tariff.currency":                 "TARIFF__CURRENCY=euro",
		"log.level":                       "LOG__LEVEL=loud",
	})
}

// TestWhereItMayListen: plain HTTP is offered to this machine alone, or to a proxy
// that is named and serves HTTPS; open access to this machine alone.
func TestWhereItMayListen(t *testing.T) {
	cert, key := certificate(t, t.TempDir(), "central.example")
	tls := []string{"WEB__TLS__CERTIFICATE=" + cert, "WEB__TLS__KEY=" + key}
	const off, public, proxy, open = "HTTP__LISTEN=0.0.0.0:8080", "HTTP__PUBLIC_URL=https://ops.example", "HTTP__TRUSTED_PROXIES=192.0.2.7", "WEB__ACCESS=open"
	for _, c := range []struct {
		name  string
		set   []string
		fault string // the key that is named; "": it may
	}{
		{"as shipped", nil, ""},
		{"plain", []string{off}, "http.listen"},
		{"TLS", append([]string{off}, tls...), ""},
		{"a proxy", []string{off, public, proxy}, ""},
		{"a proxy without a name", []string{off, public}, "http.listen"},
		{"a proxy by plain HTTP", []string{off, "HTTP__PUBLIC_URL=http://ops.example", proxy}, "http.public_url"},
		{"plain HTTP before a loopback address", []string{"HTTP__PUBLIC_URL=http://ops.example"}, "http.public_url"},
		{"plain HTTP of this machine", []string{"HTTP__PUBLIC_URL=http://localhost/carga"}, ""},
		{"open", []string{open}, ""},
		{"open to others", []string{open, off}, "web.access"},
		{"open to others by TLS", append([]string{open, off}, tls...), "web.access"},
		{"open behind a proxy on this machine", []string{open, public}, ""},
		{"another word", []string{"WEB__ACCESS=none"}, "web.access"},
		{"a certificate without a key", tls[:1], "web.tls.key"},
		{"a key without a certificate", tls[1:], "web.tls.certificate"},
		{"a key as certificate", []string{"WEB__TLS__CERTIFICATE=" + key, "WEB__TLS__KEY=" + key}, "web.tls.certificate"},
		{"no such file", []string{"WEB__TLS__CERTIFICATE=nowhere.pem", tls[1]}, "web.tls.certificate"},
	} {
		cfg := app.DefaultConfig()
		var environ []string
		for _, s := range c.set {
			environ = append(environ, app.EnvPrefix+s)
		}
		err := config.Load(&cfg, config.Options{EnvPrefix: app.EnvPrefix, Environ: environ})
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) && !strings.Contains(strings.ToLower(err.Error()), strings.ReplaceAll(c.fault, ".", "__"))) {
			t.Errorf("%s: got %v, want a fault of %q", c.name, err, c.fault)
		}
	}
}

// certificate makes a certificate for some names, and returns its files.
func certificate(t *testing.T, dir string, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: serial, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
