package process_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/process"
)

// TestHintsNameTheRemedy: a port in use and an address that the machine does not
// have are different faults.
func TestHintsNameTheRemedy(t *testing.T) {
	var lc net.ListenConfig
	busy, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr, hint string
		later      bool
	}{
		{busy.Addr().String(), "another program uses the port", false},
		{"192.0.2.77:9464", "this machine does not have the address", true},
		{"no-such-name.invalid:9464", "this machine does not have the address", true},
	} {
		l, err := process.Listen(t.Context(), c.addr)
		if err == nil {
			t.Errorf("%s is opened: %v", c.addr, l.Close())
			continue
		}
		if !strings.Contains(err.Error(), c.hint) || process.NotThereYet(err) != c.later {
			t.Errorf("%s: got %v, want %q, later %v", c.addr, err, c.hint, c.later)
		}
	}
	if err := busy.Close(); err != nil {
		t.Error(err)
	}
}

func TestRetryEndsWithSuccessWithAnotherErrorOrWithItsContext(t *testing.T) {
	full := fmt.Errorf("write: %w", syscall.ENOSPC)
	other := errors.New("other")
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			answers []error
			want    error
		}{
			{[]error{nil}, nil},
			{[]error{full, full, nil}, nil},
			{[]error{other}, other},
			{[]error{full, syscall.EROFS, other}, other},
		} {
			calls := 0
			err := process.Retry(t.Context(), func() error { calls++; return c.answers[calls-1] }, process.FolderMayHeal)
			if !errors.Is(err, c.want) || calls != len(c.answers) {
				t.Errorf("%v: got %v after %d", c.answers, err, calls)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		calls := 0
		err := process.Retry(ctx, func() error { calls++; return full }, process.FolderMayHeal)
		if !errors.Is(err, context.DeadlineExceeded) || calls < 360 || calls > 800 { // a pause is 5 to 10 s
			t.Errorf("got %v after %d attempts in an hour", err, calls)
		}
	})
}

func TestExplainFolder(t *testing.T) {
	for err, hint := range map[error]string{
		syscall.EROFS: "mount it writable", syscall.ENOSPC: "free some", syscall.EDQUOT: "free some", syscall.EACCES: "may not write", syscall.EIO: "",
	} {
		got := process.ExplainFolder("data_dir /x", fmt.Errorf("open: %w", err))
		if !errors.Is(got, err) || !strings.HasPrefix(got.Error(), "data_dir /x: open: ") || !strings.Contains(got.Error(), hint) {
			t.Errorf("%v: got %v, want %q", err, got, hint)
		}
	}
}
