package world

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"syscall"

	"github.com/carga-ev/carga/agent/journal"
)

// sector is the unit, in bytes, that a power cut writes completely or not at all.
const sector = 512

// errDead is returned to the code of a process that was killed inside an
// operation. No result of that code has any effect any more.
var errDead = errors.New("the process is dead")

// disk is the storage of one charging point, under the journal. Each file has the
// data that a reader sees and, for sectors that are not synced, what the medium
// holds instead. The same is kept for the directory.
//
// A kill of the process keeps everything that was written, as the page cache does.
// A power cut writes a random subset of the unsynced sectors, and a prefix of the
// changes of the directory.
type disk struct {
	rng   random
	files map[string]*inode // the directory as a reader sees it
	// Changes of the directory that are not on the medium, oldest first.
	pending []func(map[string]*inode)
	durable map[string]*inode // the directory on the medium

	full, failWrite, failSync, failRead, dropsSyncs, slow bool // faults, see Kind
	// BugSyncErrorLost: failed syncs report success.
	hidesSyncErrors bool

	// The process died; every operation fails until the next boot.
	dead bool
	// The operation at which the process dies; 0: none.
	killAt         int64
	ops            int64 // operations so far
	onDeath        func(power bool)
	deathCutsPower bool // the death at killAt is a power cut
}

// inode is one file. It survives renames, and a directory may name it on the
// medium and not for readers, or the other way round.
type inode struct {
	data []byte
	// By offset: sectors as they are on the medium; nil: beyond the end of the file there.
	unsynced map[int64][]byte
	// Like unsynced, after a failed sync: later syncs do not write them either.
	lost map[int64][]byte
	size int64 // on the medium
}

// newDisk creates an empty disk.
func newDisk(rng random) *disk {
	return &disk{rng: rng, files: map[string]*inode{}, durable: map[string]*inode{}}
}

// step counts an operation, and kills the process before the one at killAt.
func (d *disk) step() error {
	if d.dead {
		return errDead
	}
	d.ops++
	if d.killAt != 0 && d.ops >= d.killAt {
		d.killAt = 0
		d.dead = true
		d.onDeath(d.deathCutsPower)
		return errDead
	}
	return nil
}

// cutPower loses what was not synced, and makes the medium what readers see next.
func (d *disk) cutPower() {
	n := 0
	if len(d.pending) > 0 {
		n = d.rng.IntN(len(d.pending) + 1)
	}
	// Changes of the directory are ordered, as in a journaling file system.
	for _, change := range d.pending[:n] {
		change(d.durable)
	}
	d.pending = nil
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		d.durable[name].tear(d.rng)
	}
	d.files = maps.Clone(d.durable)
}

// tear applies a power cut to a file: each unsynced sector reached the medium or
// not, at random; sectors of a failed sync never did.
func (f *inode) tear(rng random) {
	if len(f.unsynced) == 0 && len(f.lost) == 0 {
		return
	}
	// Sorted, so that a seed always tears the same sectors.
	for _, at := range slices.Sorted(maps.Keys(f.unsynced)) {
		if rng.IntN(2) == 0 {
			f.restore(at, f.unsynced[at])
		}
	}
	for _, at := range slices.Sorted(maps.Keys(f.lost)) {
		f.restore(at, f.lost[at])
	}
	// The new size is metadata: it may not have reached the medium although sectors did.
	if int64(len(f.data)) > f.size && rng.IntN(2) == 0 {
		f.data = f.data[:f.size]
	}
	f.unsynced, f.lost, f.size = nil, nil, int64(len(f.data))
}

// restore puts back a sector as it is on the medium, zeros where it has none.
func (f *inode) restore(at int64, old []byte) {
	end := min(at+sector, int64(len(f.data)))
	if at < end {
		clear(f.data[at:end])
		copy(f.data[at:end], old)
	}
}

// image copies the medium as it is now, without anything unsynced.
func (d *disk) image() map[string]*inode {
	out := map[string]*inode{}
	for name, f := range d.durable {
		c := &inode{data: bytes.Clone(f.data)}
		for at, old := range f.unsynced {
			c.restore(at, old)
		}
		for at, old := range f.lost {
			c.restore(at, old)
		}
		if int64(len(c.data)) > f.size {
			c.data = c.data[:f.size]
		}
		c.size = int64(len(c.data))
		out[name] = c
	}
	return out
}

// restoreImage replaces the medium by an image; nil is an empty disk.
func (d *disk) restoreImage(image map[string]*inode) {
	d.pending = nil
	d.durable = map[string]*inode{}
	for name, f := range image {
		d.durable[name] = &inode{data: bytes.Clone(f.data), size: f.size}
	}
	d.files = maps.Clone(d.durable)
}

// change changes the directory; the change is durable with the next SyncDir.
func (d *disk) change(do func(map[string]*inode)) {
	do(d.files)
	d.pending = append(d.pending, do)
}

// Lock implements journal.FS. It always succeeds: the simulation starts one
// process at a time.
func (d *disk) Lock() (io.Closer, error) { return io.NopCloser(nil), d.step() }

// List implements journal.FS.
func (d *disk) List() ([]string, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.files)), nil
}

// Open implements journal.FS.
func (d *disk) Open(name string) (journal.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f := d.files[name]
	if f == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return &handle{d, f}, nil
}

// Create implements journal.FS.
func (d *disk) Create(name string) (journal.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	switch {
	case d.failWrite:
		return nil, syscall.EIO
	case d.full:
		return nil, syscall.ENOSPC
	case d.files[name] != nil:
		return nil, fmt.Errorf("create %s: %w", name, fs.ErrExist)
	}
	f := &inode{}
	d.change(func(dir map[string]*inode) { dir[name] = f })
	return &handle{d, f}, nil
}

// Rename implements journal.FS.
func (d *disk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	switch {
	case d.failWrite:
		return syscall.EIO
	case d.files[from] == nil:
		return fmt.Errorf("rename %s: %w", from, fs.ErrNotExist)
	}
	f := d.files[from]
	d.change(func(dir map[string]*inode) {
		delete(dir, from)
		dir[to] = f
	})
	return nil
}

// Remove implements journal.FS.
func (d *disk) Remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	switch {
	case d.failWrite:
		return syscall.EIO
	case d.files[name] == nil:
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	d.change(func(dir map[string]*inode) { delete(dir, name) })
	return nil
}

// SyncDir implements journal.FS. With dropsSyncs it reports success and does nothing.
func (d *disk) SyncDir() error {
	if err := d.step(); err != nil {
		return err
	}
	if d.failSync {
		return syscall.EIO
	}
	if !d.dropsSyncs {
		for _, change := range d.pending {
			change(d.durable)
		}
		d.pending = nil
	}
	return nil
}

// Free implements journal.FS. It reads no disk and is not counted as an operation.
func (d *disk) Free() (int64, error) {
	switch {
	case d.dead:
		return 0, errDead
	case d.full:
		return 0, nil
	}
	return math.MaxInt64, nil
}

// handle is an open file.
type handle struct {
	disk *disk
	file *inode
}

// ReadAt implements io.ReaderAt.
func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	switch err := h.disk.step(); {
	case err != nil:
		return 0, err
	case h.disk.failRead:
		return 0, syscall.EIO
	case at >= int64(len(h.file.data)):
		return 0, io.EOF
	}
	n := copy(b, h.file.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. It remembers what the medium holds of each
// sector that it touches, unless the sector was unsynced already.
func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	if err := h.disk.step(); err != nil {
		return 0, err
	}
	switch {
	case h.disk.failWrite:
		return 0, syscall.EIO
	case h.disk.full && at+int64(len(b)) > int64(len(h.file.data)):
		// Overwriting needs no new blocks, so it works on a full disk.
		return 0, syscall.ENOSPC
	}
	f := h.file
	if f.unsynced == nil {
		f.unsynced = map[int64][]byte{}
	}
	for s := at / sector * sector; s < at+int64(len(b)); s += sector {
		// The medium's content was saved by an earlier write since the last sync.
		if _, kept := f.unsynced[s]; kept {
			continue
		}
		var was []byte
		if s < f.size {
			was = bytes.Clone(f.data[s:min(s+sector, int64(len(f.data)))])
		}
		f.unsynced[s] = was
	}
	if end := at + int64(len(b)); end > int64(len(f.data)) {
		f.data = append(f.data, make([]byte, end-int64(len(f.data)))...)
	}
	copy(f.data[at:], b)
	return len(b), nil
}

// Sync implements journal.File. After a failed sync the kernel considers the
// sectors clean: they are lost for good, though a reader sees them until the power
// fails, and the next sync succeeds without writing them.
func (h *handle) Sync() error {
	if err := h.disk.step(); err != nil {
		return err
	}
	f := h.file
	switch {
	case h.disk.failSync:
		if f.lost == nil {
			f.lost = map[int64][]byte{}
		}
		for at, old := range f.unsynced {
			if _, kept := f.lost[at]; !kept {
				f.lost[at] = old
			}
		}
		f.unsynced = nil
		if h.disk.hidesSyncErrors {
			return nil
		}
		return syscall.EIO
	case h.disk.dropsSyncs:
		return nil
	}
	for at := range f.unsynced {
		delete(f.lost, at)
	}
	f.unsynced, f.size = nil, int64(len(f.data))
	return nil
}

// Size implements journal.File.
func (h *handle) Size() (int64, error) {
	if h.disk.dead {
		return 0, errDead
	}
	return int64(len(h.file.data)), nil
}

// Close implements io.Closer.
func (h *handle) Close() error { return nil }
