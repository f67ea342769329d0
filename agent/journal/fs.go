package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// FS is the directory of one Log. Names are flat. Nothing is durable before a
// Sync of the file, and no name before SyncDir.
type FS interface {
	// Lock claims the directory for this process; ErrLocked if another has it.
	Lock() (io.Closer, error)
	// List returns the names in the directory.
	List() ([]string, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Create makes a new, empty file; an existing one is an error.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes names durable.
	SyncDir() error
}

// File is one file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the contents durable. After an error nothing is known of what
	// was written since the last good one.
	Sync() error
	Size() (int64, error)
}

// dir is a real directory.
type dir struct{ root *os.Root }

// OS opens a directory, making it if it is not there.
func OS(path string) (FS, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("journal directory: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("journal directory: %w", err)
	}
	return &dir{root}, nil
}

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

func (d *dir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (d *dir) Open(name string) (File, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d *dir) Create(name string) (File, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d *dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d *dir) Remove(name string) error { return d.root.Remove(name) }

func (d *dir) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Sync writes contents and size, not times: less wear on a card.
func (f file) Sync() error {
	for {
		err := datasync(f.File)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
