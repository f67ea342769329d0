package journaltest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
)

// handle is an open file. After Kill and Cut its operations fail.
type handle struct {
	d       *Disk
	n       *inode
	name    string
	process int
}

// enter calls Fault for an operation and then locks the disk, also after an
// error: the caller unlocks it.
func (h *handle) enter(o Op) error {
	o.Name = h.name
	err := h.d.fault(o)
	h.d.mu.Lock()
	if h.process != h.d.process {
		return os.ErrClosed
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (h *handle) ReadAt(p []byte, at int64) (int, error) {
	err := h.enter(Op{Kind: Read, At: at, Len: len(p)})
	defer h.d.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case at >= int64(len(h.n.now)):
		return 0, io.EOF
	}
	n := copy(p, h.n.now[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. On a full disk it writes what fits.
func (h *handle) WriteAt(p []byte, at int64) (int, error) {
	err := h.enter(Op{Kind: Write, At: at, Len: len(p)})
	defer h.d.mu.Unlock()
	var short ShortError
	if errors.As(err, &short) {
		p = p[:min(short.Written, len(p))]
	} else if err != nil {
		return 0, err
	}
	if more := at + int64(len(p)) - int64(len(h.n.now)); more > 0 && more > h.d.free() {
		p, err = p[:max(int64(len(p))-(more-max(h.d.free(), 0)), 0)], syscall.ENOSPC
	}
	// The process sees the bytes at once; the medium has them after a sync.
	h.n.now = put(h.n.now, piece{at, p})
	h.n.pending = append(h.n.pending, piece{at, bytes.Clone(p)})
	return len(p), err
}

// Sync implements journal.File.
func (h *handle) Sync() error {
	err := h.enter(Op{Kind: Sync})
	defer h.d.mu.Unlock()
	if errors.Is(err, os.ErrClosed) || errors.Is(err, ErrCrashed) {
		return err
	}
	h.n.sync(err == nil)
	if errors.Is(err, ErrLied) {
		return nil
	}
	return err
}

// sync moves the pending writes to the medium; after a failure they are doubtful.
func (n *inode) sync(good bool) {
	defer func() { n.pending = nil }()
	if !good {
		n.doubtful = append(n.doubtful, n.pending...)
		return
	}
	// A successful write replaces the earlier doubtful ones that it overlaps.
	for _, p := range n.pending {
		n.medium = put(n.medium, p)
		n.doubtful = slices.DeleteFunc(n.doubtful, func(q piece) bool {
			return q.at < p.at+int64(len(p.b)) && p.at < q.at+int64(len(q.b))
		})
	}
}

// Size implements journal.File. It never fails.
func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.n.now)), nil
}

// Close implements io.Closer. It does nothing: a forgotten Close shows in tests
// of the real directory only.
func (h *handle) Close() error { return nil }

// ReadFile returns a file as the running process sees it; nil if there is none.
// Faults do not apply.
func (d *Disk) ReadFile(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[name]; n != nil {
		return bytes.Clone(n.now)
	}
	return nil
}

// WriteFile replaces a file durably; nil removes it. Faults do not apply.
func (d *Disk) WriteFile(name string, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b == nil {
		delete(d.names, name)
		delete(d.durable, name)
		return
	}
	n := &inode{now: bytes.Clone(b), medium: bytes.Clone(b)}
	d.names[name], d.durable[name] = n, n
}

// Used is the size of all files.
func (d *Disk) Used() (bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.names {
		bytes += int64(len(n.now))
	}
	return bytes
}

// Clone copies the disk as the running process sees it. All of the copy is
// durable and no file is open: an image of the disk.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.image(d.names, func(n *inode) []byte { return n.now })
}

// Medium copies what is on the medium, without anything that is not synced.
func (d *Disk) Medium() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.image(d.durable, func(n *inode) []byte { return n.medium })
}

// image copies the files of a directory.
func (d *Disk) image(names map[string]*inode, contents func(*inode) []byte) *Disk {
	c := New()
	for name, n := range names {
		b := contents(n)
		c.names[name] = &inode{now: bytes.Clone(b), medium: bytes.Clone(b)}
	}
	c.durable = maps.Clone(c.names)
	c.Sector = d.Sector
	return c
}

// Replace replaces everything on the disk by a copy of an image. The process that
// uses the disk must have been killed.
func (d *Disk) Replace(image *Disk) {
	c := image.Clone()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names, d.durable, d.changes = c.names, c.durable, nil
}
