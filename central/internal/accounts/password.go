package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The parameters of new hashes: OWASP's minimum for argon2id.
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
	saltBytes = 16
	hashBytes = 32
)

// The largest parameters that are accepted in a stored hash: a file of settings
// could name others.
const (
	maxMemoryKiB = 256 * 1024
	maxPasses    = 16
)

// hasher computes hashes of passwords, at most cap(slots) at once: each needs 19 MiB.
type hasher struct{ slots chan struct{} }

func newHasher() hasher { return hasher{slots: make(chan struct{}, 2)} }

// HashPassword returns the hash of a password, in the format of the reference
// implementation.
func HashPassword(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // it never fails
	p := parameters{memoryKiB, passes, lanes, salt, nil}
	p.hash = argon2.IDKey([]byte(password), salt, p.passes, p.memory, p.lanes, hashBytes)
	return p.String()
}

// noPassword is a hash of no password. A password is compared with it if there is no
// account, so that the answer takes as long.
const noPassword = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// matches reports whether a password has a hash. Without a hash it compares with
// noPassword, and never matches.
func (h hasher) matches(ctx context.Context, password, stored string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-h.slots }()
	known := stored != ""
	if !known {
		stored = noPassword
	}
	p, err := parseHash(stored)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.lanes, uint32(len(p.hash))) //nolint:gosec // parseHash limits it
	return subtle.ConstantTimeCompare(got, p.hash) == 1 && known, nil
}

// hash returns the hash of a new password.
func (h hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.slots }()
	return HashPassword(password), nil
}

// enter waits for a slot.
func (h hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parameters are the parts of a hash.
type parameters struct {
	memory, passes uint32
	lanes          uint8
	salt, hash     []byte
}

func (p *parameters) String() string {
	text := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes, text.EncodeToString(p.salt), text.EncodeToString(p.hash))
}

// errHash is the error of a hash that cannot be used. It does not contain the hash.
var errHash = errors.New("the stored hash of the password cannot be used: set a new password")

// ValidHash reports whether a stored hash can be used; "" can.
func ValidHash(stored string) bool {
	if stored == "" {
		return true
	}
	_, err := parseHash(stored)
	return err == nil
}

// parseHash parses a hash.
func parseHash(s string) (p parameters, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, errHash
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.hash, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if errors.Join(err1, err2) != nil || p.memory < 8 || p.memory > maxMemoryKiB || p.passes < 1 || p.passes > maxPasses || p.lanes < 1 || p.lanes > 16 ||
		len(p.salt) < 8 || len(p.salt) > 64 || len(p.hash) < 16 || len(p.hash) > 64 || p.String() != s {
		return parameters{}, errHash
	}
	return p, nil
}
