package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadFS is the directory of a Log, for reading only. Names are flat.
type ReadFS interface {
	// List returns the names in the directory, in any order.
	List() ([]string, error)
	// Open opens an existing file. A ReadFS may return one that cannot be written.
	Open(name string) (File, error)
}

// FS is the directory of one Log. Contents are durable after Sync of the file,
// names after SyncDir. A full disk is reported as syscall.ENOSPC or EDQUOT.
type FS interface {
	ReadFS
	// Lock claims the directory for this process; ErrLocked if another has it.
	Lock() (io.Closer, error)
	// Create makes a new, empty file; an existing one is an error.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes names durable.
	SyncDir() error
	// Free is how many bytes this process may still write to the file system.
	Free() (int64, error)
}

// File is one file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Sync makes the contents durable. After an error the state of what was written
	// since the last successful Sync is not known.
	Sync() error
}

// dir is a real directory.
type dir struct {
	root *os.Root
	self *os.File // the directory itself
	mode int      // how files are opened
}

// OS opens a directory of the operating system; it makes one that does not exist.
func OS(path string) (FS, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("journal directory: %w", err)
	}
	return openDir(path, os.O_RDWR)
}

// ReadOS opens an existing directory for reading only.
func ReadOS(path string) (ReadFS, error) { return openDir(path, os.O_RDONLY) }

// openDir opens a directory through os.Root, so that no name leads out of it.
func openDir(path string, mode int) (*dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("journal directory: %w", err)
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("journal directory: %w", errors.Join(err, root.Close()))
	}
	return &dir{root, self, mode}, nil
}

// Lock implements FS with an flock, which ends with the process.
func (d *dir) Lock() (io.Closer, error) {
	f, err := d.root.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("directory %s: %w", d.root.Name(), ErrLocked)
		}
		return nil, err
	}
	return f, nil
}

// List implements ReadFS.
func (d *dir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (d *dir) Open(name string) (File, error) { return asFile(d.root.OpenFile(name, d.mode, 0)) }

// Create implements FS. O_EXCL makes an existing file an error.
func (d *dir) Create(name string) (File, error) {
	return asFile(d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600))
}

func (d *dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d *dir) Remove(name string) error { return d.root.Remove(name) }

// SyncDir implements FS with an fsync of the directory.
func (d *dir) SyncDir() error { return d.self.Sync() }

// Free implements FS.
func (d *dir) Free() (int64, error) { return freeBytes(d.self) }

// file adds Size, and a Sync without times, to os.File.
type file struct{ *os.File }

// asFile wraps the result of opening a file.
func asFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (f file) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Sync writes contents and size but not times (fdatasync), for less wear on a
// memory card.
func (f file) Sync() error {
	for {
		err := datasync(f.File)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// isFull reports whether an error means a full disk, not a broken one.
func isFull(err error) bool {
	return !errors.Is(err, errStorage) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}
