package chaos

import (
	"errors"
	"fmt"
	"os"
)

// disk is a small file system in a folder, which can be made full: a tmpfs
// whose size limit is set to what is used, and back. Both take no time and no
// memory. A process that writes sees ENOSPC as on any full disk; space that it
// frees by deleting is available to it.
//
// One goroutine at a time may use a disk.
type disk struct {
	dir  string
	size int64 // size limit in bytes while it is not full
}

// Sizes of the disks. A tmpfs uses memory only for what is written.
const (
	// agentDisk holds the 64 MiB of acknowledged records that an agent keeps,
	// and the 20 MiB of free space below which its journal reports a lack of
	// space.
	agentDisk = 96 << 20
	// centralDisk holds the database of any run.
	centralDisk = 1 << 30
)

// errNoDisk is returned where this process may not mount file systems.
var errNoDisk = errors.New("no small file systems can be mounted here, which takes Linux and root")

// openDisk creates a folder and mounts an empty disk there.
func openDisk(dir string, size int64) (*disk, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if err := mount(dir, size); err != nil {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
			err = errNoDisk
		}
		return nil, fmt.Errorf("disk at %s: %w", dir, err)
	}
	return &disk{dir, size}, nil
}

// fillTries is the number of attempts of fill. Each fails only if the process
// writes between two system calls, so that a few are enough.
const fillTries = 10_000

// fill makes the disk full: no byte is free when it returns. After an error it
// is free.
func (d *disk) fill() error {
	var used, free int64
	var err error
	// The limit is set to what is used; a write in between makes the kernel
	// refuse it, or leaves free space.
	for range fillTries {
		if used, free, err = usage(d.dir); err != nil {
			break
		}
		if free == 0 {
			return nil
		}
		err = resize(d.dir, used) // refused if more is used by now
	}
	return errors.Join(fmt.Errorf("fill the disk at %s: %d bytes are used and %d free: %w", d.dir, used, free, err), d.free())
}

// free restores the size limit.
func (d *disk) free() error {
	if err := resize(d.dir, d.size); err != nil {
		return fmt.Errorf("free the disk at %s: %w", d.dir, err)
	}
	return nil
}

// close unmounts the disk and leaves its contents in the folder. No process may
// use it any more.
func (d *disk) close() error {
	// The contents are copied out of the file system, and moved to where it was
	// mounted.
	saved := d.dir + ".saved"
	err := os.CopyFS(saved, os.DirFS(d.dir))
	if err = errors.Join(err, unmount(d.dir)); err == nil {
		err = errors.Join(os.Remove(d.dir), os.Rename(saved, d.dir))
	}
	if err != nil {
		return fmt.Errorf("close the disk at %s: %w", d.dir, err)
	}
	return nil
}
