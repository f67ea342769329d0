package chaos

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

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
	sessions, err := a.checkJournal(p.ID, records, &b)
	if err != nil {
		return a, err
	}
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

// Broker is an Apache Kafka of its own, without a Network.
type Broker struct {
	*Process
	Addr string // without a proxy
	// Links are proxies before it, each for one client; the clients behind one are
	// sent back through it.
	Links []*Link

	engines Engines
	dir     string
	ports   kafkaPorts
}

// Link is a proxy of one client.
type Link struct {
	Addr string
	*link
}

// NewBroker prepares an Apache Kafka with so many links; its log is
// formatted, and nothing runs yet but the links.
func NewBroker(ctx context.Context, e Engines, dir string, links int) (*Broker, error) {
	addrs, err := FreePorts(ctx, 2+2*links)
	if err != nil {
		return nil, err
	}
	b := &Broker{engines: e, dir: dir, Addr: addrs[0], ports: kafkaPorts{plain: addrs[0], controller: addrs[1], byName: map[string]advertised{}}}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy logs to a global logger
	for i := range links {
		upstream, listen := addrs[2+2*i], addrs[3+2*i]
		l, err := openLink("client", listen, upstream)
		if err != nil {
			return nil, err
		}
		b.Links = append(b.Links, &Link{listen, l})
		b.ports.byName["VIA"+strconv.Itoa(i)] = advertised{upstream, listen}
	}
	b.Process, err = newKafka(ctx, e, "", dir, b.ports)
	return b, err
}

// Wipe gives a Kafka that does not run a new empty log.
func (b *Broker) Wipe(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
		return err
	}
	return formatStorage(ctx, b.engines, b.Args[len(b.Args)-1], filepath.Join(b.dir, "format.log"))
}

// Silence drops what the client sends; its connections stay.
func (l *Link) Silence() error {
	return l.addToxic(toxic{Type: "timeout", Stream: "upstream", Attributes: map[string]int{"timeout": 0}})
}

// Restore ends Silence.
func (l *Link) Restore(ctx context.Context) error { return l.restore(ctx) }

// Close ends the proxy.
func (l *Link) Close() { l.close() }

// NewMosquitto prepares a Mosquitto that listens at addr and keeps its files in
// dir.
func NewMosquitto(e Engines, dir, addr string) (*Process, error) { return newMosquitto(e, dir, addr) }
