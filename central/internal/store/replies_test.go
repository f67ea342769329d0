package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/internal/charge"
)

var request = bytes.Repeat([]byte{7}, 32)

func TestARepliedKeyIsKeptOnce(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	if n, err := s.Replies(t.Context()); err != nil || n != 0 {
		t.Errorf("got %d replies %v, want none", n, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.Reply("k", request, []byte(`{"a":1}`), 5) })
	got, reply, ok, err := s.Reply(t.Context(), "k")
	if err != nil || !ok || !bytes.Equal(got, request) || string(reply) != `{"a":1}` {
		t.Errorf("got %x %s %v %v, want what was kept", got, reply, ok, err)
	}
	if _, _, ok, err := s.Reply(t.Context(), "K"); ok || err != nil {
		t.Errorf("another key: got %v %v", ok, err)
	}
	for name, err := range map[string]error{
		"the key again": s.Write(t.Context(), func(tx *store.Tx) error { return tx.Reply("k", request, []byte(`{}`), 6) }),
		"no key":        s.Write(t.Context(), func(tx *store.Tx) error { return tx.Reply("", request, []byte(`{}`), 6) }),
		"no JSON":       s.Write(t.Context(), func(tx *store.Tx) error { return tx.Reply("l", request, []byte(`{`), 6) }),
		"half a hash":   s.Write(t.Context(), func(tx *store.Tx) error { return tx.Reply("l", request[:16], []byte(`{}`), 6) }),
	} {
		if err == nil {
			t.Errorf("%s was kept", name)
		}
	}
}

// Those of the past go, oldest first and so many at a time; those of a clock that
// was ahead go when they are old by now.
func TestOldRepliesAreForgotten(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error {
		var errs []error
		for i, at := range []charge.Time{9000, 100, 200, 300, 400, 500, 600} {
			errs = append(errs, tx.Reply(fmt.Sprint(i), request, []byte(`{}`), at))
		}
		return errors.Join(errs...)
	})
	for _, c := range []struct {
		before charge.Time
		limit  int
		want   string
		count  int64
	}{{300, 2, "03456", 7}, {300, 10, "03456", 7}, {500, 10, "056", 7}, {650, 10, "0", 1}, {750, 10, "", 0}} {
		write(t, s, func(tx *store.Tx) error { _, err := tx.ForgetReplies(c.before, 700, c.limit); return err })
		var left []byte
		for i := range 7 {
			_, _, ok, err := s.Reply(t.Context(), fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				left = fmt.Append(left, i)
			}
		}
		if n, err := s.Replies(t.Context()); err != nil || n != c.count || string(left) != c.want {
			t.Errorf("left: %s, counted %d %v; want %s and %d", left, n, err, c.want, c.count)
		}
	}
}

// A database of the program before is taken on as it is: its ledger is the same,
// and replies can be kept.
func TestDatabaseWithoutRepliesOpens(t *testing.T) {
	s := databaseOfAMonth(t, 1, 60)
	before, err := s.Hash(t.Context())
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := store.DownTo(t.Context(), s.Path(), 2); err != nil {
		t.Fatal(err)
	}
	exec(t, s.Path(), "DROP TABLE replies")
	s = open(t, s.Path())
	if after, err := s.Hash(t.Context()); err != nil || after != before {
		t.Errorf("ledger hash: got %s %v, want %s", after, err, before)
	}
	write(t, s, func(tx *store.Tx) error { return tx.Reply("k", request, []byte(`{}`), 5) })
	audited(t, s)
}
