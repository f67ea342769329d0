// Package journaltest is a directory in memory for tests of a journal. It
// distinguishes what is on the medium from what is in the page cache, and has the
// faults of real disks: torn and reordered writes, failed syncs, a full disk.
//
// A Disk does nothing by itself: it has no goroutines, no clock and no random
// numbers. Its Fault function decides what fails, and the function given to Cut
// what a power cut leaves. So the same seed of a test gives the same disk.
//
// It keeps two views of every file and name: as the running process sees it, and
// as it is after a power cut. Sync and SyncDir make the second equal the first.
package journaltest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/carga-ev/carga/agent/journal"
)

// Kind is what an operation does.
type Kind string

// The operations that Fault is asked about.
const (
	List    Kind = "list"
	Open    Kind = "open"
	Create  Kind = "create"
	Rename  Kind = "rename"
	Remove  Kind = "remove"
	SyncDir Kind = "sync_dir"
	Free    Kind = "free"
	Read    Kind = "read"
	Write   Kind = "write"
	Sync    Kind = "sync"
)

// Op is one operation.
type Op struct {
	Kind Kind
	Name string // of the file, before a rename
	At   int64  // of Read and Write
	Len  int
}

// ShortError is an error of Write after some of the bytes were written.
type ShortError struct {
	Written int
	Err     error
}

// Error implements error.
func (s ShortError) Error() string { return s.Err.Error() }

// Unwrap returns the wrapped error.
func (s ShortError) Unwrap() error { return s.Err }

// ErrLied as the error of Sync or SyncDir makes it report a success that is none:
// what it was to sync is in doubt, and no later sync writes it again.
var ErrLied = errors.New("reported as done, and not done")

// ErrCrashed is the error of every operation of a process that is dead.
var ErrCrashed = errors.New("the process is dead")

// Disk is a directory in memory. It implements journal.FS. Its methods may be
// called concurrently; its fields are set before.
type Disk struct {
	// Fault is called before each operation, and its error is the operation's. It
	// may panic, which ends the caller as a kill would; Kill or Cut must follow.
	Fault func(Op) error
	// Capacity is how many bytes fit; 0: any number.
	Capacity int64
	ReadOnly bool
	// Sector is how many bytes are written whole or not at all; 512 if zero.
	Sector int

	mu sync.Mutex
	// mu guards everything that follows.
	names   map[string]*inode // as the running process sees them
	durable map[string]*inode // as they are after a power cut
	changes []change          // of names, not durable yet
	process int               // of the process
	locked  bool              // by a process; a kill unlocks
	dead    bool              // the process crashed and is not started again yet
	crashIn int               // so many operations until it crashes; 0: it does not
	onCrash func()
	quiet   bool // no faults apply
}

var _ journal.FS = (*Disk)(nil)

// inode is one file.
type inode struct {
	now     []byte  // as the running process sees it
	medium  []byte  // as it is after a power cut
	pending []piece // written since the last sync, in order
	// doubtful are writes whose sync failed: the process sees them, and no later
	// sync writes them again. Only a power cut shows whether they reached the
	// medium.
	doubtful []piece
}

// piece is one write.
type piece struct {
	at int64
	b  []byte
}

// change is one operation on a name.
type change struct {
	kind     Kind
	name, to string
	n        *inode
}

// New makes an empty disk.
func New() *Disk { return &Disk{names: map[string]*inode{}, durable: map[string]*inode{}} }

// fault is the error of an operation. It is called without the lock, since Fault
// may use the disk.
func (d *Disk) fault(o Op) error {
	if err := d.crash(); err != nil || d.quiet {
		return err
	}
	if d.ReadOnly && slices.Contains([]Kind{Create, Rename, Remove, Write}, o.Kind) {
		return syscall.EROFS
	}
	if d.Fault == nil {
		return nil
	}
	return d.Fault(o)
}

// crash is the error of an operation of a dead process. It kills the process at
// the operation that CrashAfter named.
func (d *Disk) crash() error {
	d.mu.Lock()
	if d.quiet {
		d.mu.Unlock()
		return nil
	}
	var died func()
	if d.crashIn > 0 && !d.dead {
		if d.crashIn--; d.crashIn == 0 {
			d.dead, died = true, d.onCrash
		}
	}
	dead := d.dead
	d.mu.Unlock()
	if died != nil {
		died()
	}
	if dead {
		return ErrCrashed
	}
	return nil
}

// CrashAfter lets the process crash at the nth operation from now, before it has
// an effect: died is called, and this operation and all later ones fail until
// Restart. 0 cancels it.
func (d *Disk) CrashAfter(n int, died func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashIn, d.onCrash = n, died
}

// Crash lets the process crash now. Code of it that still runs only sees errors.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
}

// Restart starts the process again, behind Crash: as Kill, its files are closed.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = false
	d.kill()
}

// WithoutFaults calls look, during which no operation fails or crashes. Nothing
// else may use the disk meanwhile.
func (d *Disk) WithoutFaults(look func()) {
	d.quiet = true
	defer func() { d.quiet = false }()
	look()
}

// Lock implements journal.FS.
func (d *Disk) Lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, journal.ErrLocked
	}
	d.locked = true
	return unlocker{d, d.process}, nil
}

// unlocker unlocks the directory, unless the process was killed meanwhile.
type unlocker struct {
	d       *Disk
	process int
}

// Close implements io.Closer.
func (u unlocker) Close() error {
	u.d.mu.Lock()
	defer u.d.mu.Unlock()
	if u.process == u.d.process {
		u.d.locked = false
	}
	return nil
}

// List implements journal.ReadFS.
func (d *Disk) List() ([]string, error) {
	if err := d.fault(Op{Kind: List}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.names)), nil
}

// Open implements journal.ReadFS. On a disk that is read-only its file can be
// read.
func (d *Disk) Open(name string) (journal.File, error) {
	if err := d.fault(Op{Kind: Open, Name: name}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	if n == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return &handle{d, n, name, d.process}, nil
}

// Create implements journal.FS.
func (d *Disk) Create(name string) (journal.File, error) {
	if err := d.fault(Op{Kind: Create, Name: name}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.names[name] != nil:
		return nil, &os.PathError{Op: "create", Path: name, Err: os.ErrExist}
	case d.free() <= 0:
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	n := &inode{}
	d.names[name] = n
	d.changes = append(d.changes, change{Create, name, "", n})
	return &handle{d, n, name, d.process}, nil
}

// Rename implements journal.FS.
func (d *Disk) Rename(from, to string) error {
	if err := d.fault(Op{Kind: Rename, Name: from}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[from]
	if n == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: os.ErrNotExist}
	}
	delete(d.names, from)
	d.names[to] = n
	d.changes = append(d.changes, change{Rename, from, to, n})
	return nil
}

// Remove implements journal.FS.
func (d *Disk) Remove(name string) error {
	if err := d.fault(Op{Kind: Remove, Name: name}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	delete(d.names, name)
	d.changes = append(d.changes, change{Remove, name, "", nil})
	return nil
}

// SyncDir implements journal.FS.
func (d *Disk) SyncDir() error {
	if err := d.fault(Op{Kind: SyncDir}); errors.Is(err, ErrLied) {
		return nil
	} else if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable, d.changes = maps.Clone(d.names), nil
	return nil
}

// Free implements journal.FS.
func (d *Disk) Free() (int64, error) {
	if err := d.fault(Op{Kind: Free}); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.free(), 0), nil
}

// free is how many bytes still fit; negative if more are there than fit. Space of a
// deleted file is free at once.
func (d *Disk) free() int64 {
	if d.Capacity == 0 {
		return math.MaxInt64 / 2
	}
	used := int64(0)
	for _, n := range d.names {
		used += int64(len(n.now))
	}
	return d.Capacity - used
}

// Kill ends the process that uses the disk. What it wrote stays; its open files
// are closed.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
}

// kill closes the files of the process: its handles are of an earlier one now.
func (d *Disk) kill() {
	d.locked = false
	d.process++
}

// Cut cuts the power. choose(n) returns 0 … n−1 and decides what is left of what
// was not synced: of each change of a name nothing, all, or after a rename both
// names; of bytes any sectors, in any order.
func (d *Disk) Cut(choose func(n int) int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
	// Names first: a file whose name is lost is lost with its contents.
	for _, c := range d.changes {
		d.replay(c, choose)
	}
	d.changes, d.names = nil, map[string]*inode{}
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		n := &inode{medium: d.durable[name].after(d.sector(), choose)}
		n.now = bytes.Clone(n.medium)
		d.names[name], d.durable[name] = n, n
	}
}

// replay applies a change that was not synced, as choose decides.
func (d *Disk) replay(c change, choose func(int) int) {
	switch how := choose(3); {
	case how == 0:
	case c.kind == Create:
		d.durable[c.name] = c.n
	case c.kind == Remove:
		delete(d.durable, c.name)
	case c.kind == Rename:
		d.durable[c.to] = c.n
		if how == 1 {
			delete(d.durable, c.name)
		}
	}
}

// sector is Sector with its default.
func (d *Disk) sector() int {
	if d.Sector == 0 {
		return 512
	}
	return d.Sector
}

// after is the contents after a power cut: the medium, and of the sectors written
// since then any, in any order. The file's length is one of those it had, or
// shorter.
func (n *inode) after(sector int, choose func(int) int) []byte {
	b := bytes.Clone(n.medium)
	var sectors []piece
	for _, p := range slices.Concat(n.doubtful, n.pending) {
		for len(p.b) > 0 {
			k := min(len(p.b), sector-int(p.at)%sector)
			sectors = append(sectors, piece{p.at, p.b[:k]})
			p.at, p.b = p.at+int64(k), p.b[k:]
		}
	}
	// A disk may write sectors in any order: shuffle them, then keep any of them.
	for i := range slices.Backward(sectors) {
		k := choose(i + 1)
		sectors[i], sectors[k] = sectors[k], sectors[i]
	}
	for _, s := range sectors {
		if choose(2) == 1 {
			b = put(b, s)
		}
	}
	return b
}

// put writes a piece into b, which grows where needed.
func put(b []byte, p piece) []byte {
	if need := int(p.at) + len(p.b) - len(b); need > 0 {
		b = append(b, make([]byte, need)...)
	}
	copy(b[p.at:], p.b)
	return b
}
