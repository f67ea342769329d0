package chaos

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// FillDisk makes the disk of the agent's journal full. The journal is copied
// before: records that the agent deletes later to free space are counted by the
// reconciliation.
func (p *Point) FillDisk() error { return errors.Join(p.copyJournal(), p.disk.fill()) }

// FreeDisk makes the disk of the journal free again.
func (p *Point) FreeDisk() error { return p.disk.free() }

// FillDatabase makes the disk of Central's database full.
func (n *Network) FillDatabase() error { return n.disk.fill() }

// FreeDatabase makes the disk of the database free again.
func (n *Network) FreeDatabase() error { return n.disk.free() }

// Stored returns how many records Central's database would have after a crash
// at this moment. It is read from a copy in the folder in, because opening the
// files themselves would change them. No process may write meanwhile.
func (n *Network) Stored(ctx context.Context, in string) (int, error) {
	from := filepath.Dir(n.Database())
	if err := os.CopyFS(in, os.DirFS(from)); err != nil {
		return 0, err
	}
	b, err := readBooks(ctx, filepath.Join(in, filepath.Base(n.Database())))
	return len(b.applied), err
}
