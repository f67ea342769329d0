package web

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Certificate is the certificate of the server, from two files that are read again
// when they change. It is safe for concurrent use.
type Certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex // guards what follows
	present *tls.Certificate
	files   [2]stamp
	checked time.Time
}

// stamp distinguishes versions of a file.
type stamp struct {
	modified time.Time
	size     int64
}

// checkEvery is how often the files are looked at, at most.
const checkEvery = time.Second

// LoadCertificate reads a certificate with its chain, and its key, from PEM files.
func LoadCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, log: log}
	var err error
	if c.files, err = c.stamps(); err == nil {
		c.present, err = c.load()
	}
	return c, err
}

// stamps looks at the files.
func (c *Certificate) stamps() (s [2]stamp, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return s, fmt.Errorf("%s: no such file", path)
		case err != nil:
			return s, err
		case i == 1 && info.Mode()&0o004 != 0:
			return s, fmt.Errorf("%s: all users can read it (chmod o-r %s)", path, path)
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// load reads the files. Its error does not contain their content.
func (c *Certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.cert, c.key, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", c.cert, err)
		}
	}
	return &pair, nil
}

// At returns the certificate at a moment. If the files have changed and can be read, it is
// the new one; while a new one is being written, the files may not fit each other,
// and the old one stays.
func (c *Certificate) At(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if since := now.Sub(c.checked); since >= 0 && since < checkEvery {
		return c.present
	}
	c.checked = now
	files, err := c.stamps()
	if err == nil && files == c.files {
		return c.present
	}
	var fresh *tls.Certificate
	if err == nil {
		fresh, err = c.load()
	}
	if err != nil {
		c.log.Error("the certificate cannot be read again: the one before stays", slog.String("err", err.Error()))
		return c.present
	}
	c.present, c.files = fresh, files
	c.log.Info("the certificate was read again", slog.Time("until", fresh.Leaf.NotAfter))
	return c.present
}

// Until returns when the certificate expires.
func (c *Certificate) Until() time.Time { return c.At(time.Now()).Leaf.NotAfter }

// Names reports whether the certificate is for the host of a request, with or
// without its port.
func (c *Certificate) Names(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host != "" && c.At(time.Now()).Leaf.VerifyHostname(host) == nil
}

// Config returns the settings of a listener: TLS 1.2 for older browsers, 1.3 for all
// others.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.At(time.Now()), nil
		},
	}
}
