package chaos

import (
	"errors"
	"fmt"
	"os"
)

// disk is a small file system of its own in a folder, so that it can be full: a
// tmpfs, whose bound is drawn in to what is on it and let out again. Neither
// takes time or memory, and whoever writes sees what he sees on any disk without
// a free byte; what he deletes he may use again.
//
// Only one goroutine uses a disk at a time.
type disk struct {
	dir  string
	size int64 // bytes, when it is let out
}

// Sizes of the disks. Memory is taken for what is written only.
const (
	// agentDisk holds the 64 MiB that an agent keeps of what Central has, and the
	// 20 MiB above which its journal does not think of room.
	agentDisk = 96 << 20
	// centralDisk holds the books of any storm.
	centralDisk = 1 << 30
)

// errNoDisk says that a process like this one may not mount file systems here.
var errNoDisk = errors.New("no small file systems can be mounted here, which takes Linux and root")

// openDisk mounts an empty disk at a folder, which is made.
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

// fillTries is far more than it takes to come between two writes of somebody.
const fillTries = 10_000

// fill leaves no byte free.
func (d *disk) fill() error {
	var used, free int64
	var err error
	for range fillTries {
		if used, free, err = usage(d.dir); err != nil {
			break
		}
		if free == 0 {
			return nil
		}
		err = resize(d.dir, used) // refused when somebody wrote meanwhile
	}
	return errors.Join(fmt.Errorf("fill the disk at %s: %d bytes are used and %d free: %w", d.dir, used, free, err), d.free())
}

// free lets it be as large as it was.
func (d *disk) free() error {
	if err := resize(d.dir, d.size); err != nil {
		return fmt.Errorf("free the disk at %s: %w", d.dir, err)
	}
	return nil
}

// close unmounts it. What is on it is in the folder afterwards. All who used it
// must have ended.
func (d *disk) close() error {
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
