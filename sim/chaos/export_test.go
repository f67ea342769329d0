package chaos

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Record names one journal record and its bytes.
type Record struct {
	CPID    charge.CPID
	Journal charge.JournalID
	Seq     charge.Seq
	Hash    string
	Type    wire.RecordType
}

// ReadJournal reads every record of a journal that no agent has open.
func ReadJournal(cp charge.CPID, dir string) ([]Record, error) {
	records, err := readJournal(cp, dir)
	list := make([]Record, len(records))
	for i := range records {
		r := &records[i]
		list[i] = Record{r.cp, r.journal, r.seq, r.hash, r.Type}
	}
	return list, err
}

// InitialRegister is the register of a connector before its first use.
func (p *Point) InitialRegister(n charge.ConnectorID) charge.WattHours {
	return p.initial.Connectors[n-1].Register
}

// Clone makes a second device with the identity of p: a board of its own, which
// is started, and an agent with a copy of the configuration, which is not.
func (n *Network) Clone(ctx context.Context, p *Point) (*Point, error) {
	name := string(p.ID) + "-clone"
	c := &Point{ID: p.ID, Journal: p.Journal + "-clone", socket: filepath.Join(n.cfg.Dir, name+".sock")}
	other := strings.NewReplacer(p.Journal, c.Journal, p.socket, c.socket, "sim-"+string(p.ID), "sim-"+name)
	again := func(of *Process) *Process {
		q := &Process{Name: of.Name + "-clone", Path: of.Path, Log: of.Log + ".clone", Crash: of.Crash + ".clone"}
		for _, a := range of.Args {
			q.Args = append(q.Args, other.Replace(a))
		}
		for _, e := range of.Env {
			if !strings.Contains(e, "OBSERVE__LISTEN") { // its port is in use
				q.Env = append(q.Env, other.Replace(e))
			}
		}
		return q
	}
	c.Board, c.Agent = again(p.Board), again(p.Agent)
	if err := c.Board.Start(ctx); err != nil {
		return nil, err
	}
	return c, c.readInitial(ctx)
}

// ReconcilePoint compares one charging point, whose agent has ended, with
// Central's database, as Reconcile does for all.
func (n *Network) ReconcilePoint(ctx context.Context, p *Point) (Account, error) {
	b, err := readBooks(ctx, n.Database())
	if err != nil {
		return Account{}, err
	}
	a := Account{}
	records, err := readJournal(p.ID, p.Journal)
	if err != nil {
		return a, err
	}
	a.checkRecords(records, &b)
	sessions, err := foldSessions(records)
	if err != nil {
		return a, err
	}
	a.checkTickets(p.ID, sessions, &b)
	board, err := p.Inspect(ctx)
	if err != nil {
		return a, err
	}
	a.checkEnergy(p, &board, &b)
	return a, a.checkRelays(p, &board, sessions)
}

// Meter is Central's account of a register.
type Meter struct{ Metered, Billed, Unaccounted charge.WattHours }

// MeterOf reads the account of a connector from Central's database.
func (n *Network) MeterOf(ctx context.Context, cp charge.CPID, connector charge.ConnectorID) (Meter, error) {
	b, err := readBooks(ctx, n.Database())
	m := b.meters[connectorKey{cp, connector}]
	return Meter{m.metered, m.billed, m.unaccounted}, err
}

// CopyFolder replaces a flat folder with a copy of another; from "" only
// removes it.
func CopyFolder(from, to string) error {
	if err := os.RemoveAll(to); err != nil || from == "" {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}
