package chaos

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/internal/wire"
)

// testDisk mounts a disk of 1 MiB.
func testDisk(t *testing.T) *disk {
	t.Helper()
	d, err := openDisk(filepath.Join(t.TempDir(), "disk"), 1<<20)
	need.That(t, !errors.Is(err, errNoDisk), "to mount a tmpfs", "run it as root on Linux")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unmount(d.dir) }) // unless it was closed
	return d
}

// TestDiskIsFullAndFree: on a full disk writes fail, reads work, and deleted
// space can be used again. After free all works; after close the contents are
// in the folder.
func TestDiskIsFullAndFree(t *testing.T) {
	d := testDisk(t)
	write := func(name string, bytes int) error {
		return os.WriteFile(filepath.Join(d.dir, name), make([]byte, bytes), 0o600)
	}
	if err := errors.Join(write("old", 64<<10), write("older", 64<<10), d.fill()); err != nil {
		t.Fatal(err)
	}
	if err := write("new", 1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v on a full disk", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(d.dir, "older")), write("new", 64<<10)); err != nil {
		t.Errorf("in the place of what was deleted: %v", err)
	}
	if err := errors.Join(d.free(), write("newer", 512<<10)); err != nil {
		t.Errorf("on a disk that is free again: %v", err)
	}
	if err := write("large", 2<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v beyond its size", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(d.dir, "large")), d.close()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"old": 64 << 10, "new": 64 << 10, "newer": 512 << 10} {
		if info, err := os.Stat(filepath.Join(d.dir, name)); err != nil || info.Size() != want {
			t.Errorf("%s: %v %v; want %d bytes after the end", name, info, err, want)
		}
	}
	if err := unmount(d.dir); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v; it is mounted after its end", err)
	}
}

// TestDiskIsFilledBesideAWriter: a process that writes and deletes at the same
// time does not prevent it.
func TestDiskIsFilledBesideAWriter(t *testing.T) {
	d := testDisk(t)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			path := filepath.Join(d.dir, "busy")
			_ = os.WriteFile(path, make([]byte, 64<<10), 0o600) // fails on the full disk
			_ = os.Remove(path)
		}
	}()
	for range 20 {
		if err := errors.Join(d.fill(), d.free()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// TestDeletedRecordsAreStillCounted: on a full disk a journal deletes
// acknowledged records, and the reconciliation counts them all the same.
func TestDeletedRecordsAreStillCounted(t *testing.T) {
	d := testDisk(t)
	p := &Point{ID: "CP_001", Journal: d.dir, journalCopy: filepath.Join(t.TempDir(), "kept"), disk: d}
	fs, err := journal.OS(p.Journal)
	if err != nil {
		t.Fatal(err)
	}
	const boot charge.JournalID = "boot"
	l, _, err := journal.Open(fs, journal.Options{CP: p.ID, Journal: boot, SegmentSize: 32 << 10, Reserve: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	written := charge.Seq(0)
	write := func() {
		t.Helper()
		if err := l.Append(journal.Final, func(seq charge.Seq, prev string) ([]byte, error) {
			m, err := wire.NewRecord(&wire.FaultRaised{Fault: charge.FaultOther})
			if err != nil {
				return nil, err
			}
			m.CPID, m.Journal, m.Seq, m.Prev, m.Connector, m.At = p.ID, boot, seq, prev, 1, 1
			return m.Encode()
		}); err != nil {
			t.Fatal(err)
		}
		written++
	}
	for written < 500 {
		write()
	}
	if err := errors.Join(l.SetPosition(journal.Position{Journal: boot, Seq: written}), p.FillDisk()); err != nil {
		t.Fatal(err)
	}
	for l.Held()[0].First == 1 {
		write()
	}
	if err := errors.Join(p.copyJournal(), l.Close(), p.FreeDisk()); err != nil {
		t.Fatal(err)
	}
	left, err := readJournal(p.ID, p.Journal)
	if err != nil || len(left) >= int(written) {
		t.Fatalf("%d records of %d are on the disk (%v); want some deleted", len(left), written, err)
	}
	all, err := p.records()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].seq != charge.Seq(i+1) {
			t.Fatalf("record %d is %v", i+1, all[i].recordKey)
		}
	}
	if len(all) != int(written) {
		t.Errorf("%d records of %d are counted", len(all), written)
	}
}
