package recorder

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/agent/journal"
)

// Folder is the name of the ring's folder in the agent's data_dir.
const Folder = "recorder"

// Limits of a ring.
const (
	// Capacity is how many bytes its files have together, less one file.
	Capacity = 4 << 20
	// fileSize is how many bytes of steps a file has; its state comes on top.
	fileSize = 512 << 10
	// maxFiles limits the files of an agent that is started again and again.
	maxFiles = 64
	// leaveFree is how much space no file of a ring begins with: it belongs to the
	// journal.
	leaveFree = 16 << 20
)

const extension = ".ring"

// files returns the names of a ring's files, the oldest first.
func files(fs journal.ReadFS) ([]string, error) {
	names, err := fs.List()
	if err != nil {
		return nil, fmt.Errorf("list the recorder's folder: %w", err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { _, ok := number(n); return !ok })
	slices.Sort(names)
	return names, nil
}

// number is the number in the name of a file; false for another file.
func number(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, extension)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && len(digits) == 12
}

// next creates the next file of a ring, and removes the oldest ones.
func next(fs journal.FS) (journal.File, error) {
	if free, err := fs.Free(); err != nil {
		return nil, err
	} else if free < leaveFree {
		return nil, fmt.Errorf("less than %d MiB are free, which the journal needs", leaveFree>>20)
	}
	names, err := files(fs)
	if err != nil {
		return nil, err
	}
	var n uint64
	if len(names) > 0 {
		n, _ = number(names[len(names)-1])
	}
	var total int64
	for i, name := range slices.Backward(names) {
		size, err := sizeOf(fs, name)
		if err != nil {
			return nil, err
		}
		if total += size; total > Capacity-fileSize || len(names)-i >= maxFiles {
			if err := fs.Remove(name); err != nil {
				return nil, fmt.Errorf("remove %s: %w", name, err)
			}
		}
	}
	return fs.Create(fmt.Sprintf("%012d%s", n+1, extension))
}

func sizeOf(fs journal.ReadFS, name string) (int64, error) {
	f, err := fs.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it is only read
	return f.Size()
}
