package world

import (
	"syscall"

	"github.com/carga-ev/carga/agent/journal/journaltest"
)

// disk is the storage of one charging point, under the journal. A kill of the
// process keeps everything that was written, as the page cache does. A power cut
// writes a random subset of what was not synced.
type disk struct {
	*journaltest.Disk
	rng random

	failWrite, failSync, failRead, dropsSyncs, slow bool // faults, see Kind
	// BugSyncErrorLost: failed syncs report success.
	hidesSyncErrors bool
}

// newDisk creates an empty disk.
func newDisk(rng random) *disk {
	d := &disk{Disk: journaltest.New(), rng: rng}
	d.Fault = d.fault
	return d
}

// fault is the error of an operation.
func (d *disk) fault(o journaltest.Op) error {
	switch o.Kind {
	case journaltest.Create, journaltest.Rename, journaltest.Remove, journaltest.Write:
		if d.failWrite {
			return syscall.EIO
		}
	case journaltest.Sync, journaltest.SyncDir:
		switch {
		case d.dropsSyncs, d.failSync && d.hidesSyncErrors:
			return journaltest.ErrLied
		case d.failSync:
			return syscall.EIO
		}
	case journaltest.Read:
		if d.failRead {
			return syscall.EIO
		}
	case journaltest.List, journaltest.Open, journaltest.Free:
	}
	return nil
}

// setFull fills the disk, or gives it space again. What is there can be overwritten
// on a full disk, and deleting frees nothing.
func (d *disk) setFull(full bool) {
	d.Capacity = 0
	if full {
		d.Capacity = 1
	}
}

// cutPower loses what was not synced, as the random source decides.
func (d *disk) cutPower() { d.Cut(d.rng.IntN) }
