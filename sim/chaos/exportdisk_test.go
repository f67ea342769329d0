package chaos

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// FillDisk leaves no byte free where the agent's journal is. What the agent
// deletes to make room is not kept unless it is there already.
func (p *Point) FillDisk() error { return errors.Join(p.copyJournal(), p.disk.fill()) }

// FreeDisk gives the room back.
func (p *Point) FreeDisk() error { return p.disk.free() }

// FillDatabase leaves no byte free where Central's database is.
func (n *Network) FillDatabase() error { return n.disk.fill() }

// FreeDatabase gives the room back.
func (n *Network) FreeDatabase() error { return n.disk.free() }

// Stored is how many records Central's database would have if it died now. It is
// read from a copy in a folder: a look at the files themselves would change
// them. Nobody may write meanwhile.
func (n *Network) Stored(ctx context.Context, in string) (int, error) {
	from := filepath.Dir(n.Database())
	if err := os.CopyFS(in, os.DirFS(from)); err != nil {
		return 0, err
	}
	b, err := readBooks(ctx, filepath.Join(in, filepath.Base(n.Database())))
	return len(b.applied), err
}
