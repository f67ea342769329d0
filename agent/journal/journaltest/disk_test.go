package journaltest_test

import (
	"errors"
	"os"
	"testing"

	"github.com/carga-ev/carga/agent/journal/journaltest"
)

// nothing is a power cut that leaves nothing of what was not synced.
func nothing(int) int { return 0 }

// TestASuccessReportedFalsely: the process sees what it wrote, no later sync writes
// it, and a power cut shows it.
func TestASuccessReportedFalsely(t *testing.T) {
	d, lies := journaltest.New(), false
	d.Fault = func(o journaltest.Op) error {
		if lies && (o.Kind == journaltest.Sync || o.Kind == journaltest.SyncDir) {
			return journaltest.ErrLied
		}
		return nil
	}
	f, err := d.Create("a")
	good := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	good(err, d.SyncDir())
	lies = true
	_, err = f.WriteAt([]byte("lost"), 0)
	good(err, f.Sync())
	lies = false
	_, err = f.WriteAt([]byte("kept"), 4)
	good(err, f.Sync())
	if got := string(d.ReadFile("a")); got != "lostkept" {
		t.Errorf("the process reads %q", got)
	}
	if got := string(d.Medium().ReadFile("a")); got != "\x00\x00\x00\x00kept" {
		t.Errorf("the medium has %q", got)
	}
	lies = true
	_, err = d.Create("b")
	good(err, d.SyncDir())
	d.Cut(nothing)
	if names, err := d.List(); err != nil || len(names) != 1 {
		t.Errorf("after a power cut the names are %v, %v; want only the one that was synced", names, err)
	}
	if got := string(d.ReadFile("a")); got != "\x00\x00\x00\x00kept" {
		t.Errorf("after a power cut: %q", got)
	}
}

// TestACrashAtAnOperation: that operation has no effect, and none works before the
// restart.
func TestACrashAtAnOperation(t *testing.T) {
	d, died := journaltest.New(), 0
	d.CrashAfter(2, func() { died++ })
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, journaltest.ErrCrashed) || died != 1 {
			t.Errorf("%v, %d deaths", err, died)
		}
	}
	if err := d.SyncDir(); !errors.Is(err, journaltest.ErrCrashed) {
		t.Error(err)
	}
	d.WithoutFaults(func() {
		if names, err := d.List(); err != nil || len(names) != 1 {
			t.Errorf("%v, %v", names, err)
		}
	})
	d.Restart()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file of the dead process: %v", err)
	}
	if b := d.ReadFile("a"); len(b) != 0 {
		t.Errorf("the operation had an effect: %q", b)
	}
	if _, err := d.Open("a"); err != nil {
		t.Error(err)
	}
	image := d.Clone()
	d.WriteFile("c", []byte("new"))
	d.Replace(image)
	if names, err := d.List(); err != nil || len(names) != 1 || names[0] != "a" {
		t.Errorf("an image does not replace everything: %v, %v", names, err)
	}
}
