package accounts

import (
	"context"
	"strings"
	"testing"
)

// TestStoredHashes: only hashes in the one format are used, within bounds; another
// one is refused without being shown.
func TestStoredHashes(t *testing.T) {
	h := newHasher()
	good := HashPassword("correct horse")
	if ok, err := h.matches(t.Context(), "correct horse", good); !ok || err != nil {
		t.Errorf("got %v %v", ok, err)
	}
	if ok, err := h.matches(t.Context(), "correct horses", good); ok || err != nil {
		t.Errorf("another password: %v %v", ok, err)
	}
	if ok, err := h.matches(t.Context(), "", ""); ok || err != nil {
		t.Errorf("no hash: %v %v", ok, err)
	}
	if !ValidHash(noPassword) || !ValidHash(good) || !ValidHash("") {
		t.Error("a good hash is refused")
	}
	for _, bad := range []string{
		"x", "$", "correct horse", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1), strings.Replace(good, "m=19456", "m=99999999", 1),
		strings.Replace(good, "t=2", "t=0", 1), strings.Replace(good, "t=2", "t=9999", 1), strings.Replace(good, "p=1", "p=0", 1), good + "$", good[:len(good)-30], good + "=",
		strings.Replace(good, "m=19456", "m=019456", 1), "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
	} {
		ok, err := h.matches(t.Context(), "correct horse", bad)
		if ok || err == nil || ValidHash(bad) || strings.Contains(err.Error(), "$") {
			t.Errorf("%s: %v %v", bad, ok, err)
		}
	}
}

// TestTwoHashesAtOnce: a third one waits until its request ends.
func TestTwoHashesAtOnce(t *testing.T) {
	h := newHasher()
	for range 2 {
		if err := h.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.matches(ctx, "x", ""); err == nil {
		t.Error("a third one was computed")
	}
	<-h.slots
	if _, err := h.hash(ctx, "x"); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}
