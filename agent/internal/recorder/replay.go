package recorder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

// Item is one thing that Replay shows. Only one of Boot, State, Note, Event and Trip
// is set.
type Item struct {
	File    string
	Agent   string // the version that recorded it
	CP      charge.CPID
	Journal charge.JournalID

	Boot  bool
	State bool        // a file begins in the middle of a boot
	Note  string      // what is not in the ring, and why
	Event point.Event // of a step
	Trip  *safety.Trip
	Now   point.Now // of Boot and Event, and of the last tick of Trip, without a random number

	Effects []point.Effect // of Boot and Event, by this version
	// Difference is how they, or the decisions of Trip, differ from the recorded ones;
	// empty: they do not. After the first one no step is compared before the next file.
	Difference string
}

// Result counts what a replay has shown.
type Result struct {
	Steps       int
	Trips       int
	Differences int
	Damaged     int // lines or files that cannot be used
}

// Replay reads a ring and runs the core over it. It calls show for all that it
// finds, in the order of the ring, and returns show's error. The agent that writes
// the ring may be running. Damage is shown and counted: the replay goes on with the
// next state.
func Replay(ring journal.ReadFS, show func(Item) error) (Result, error) {
	names, err := files(ring)
	if err != nil {
		return Result{}, err
	}
	if len(names) == 0 {
		return Result{}, errors.New("there is no file of a flight recorder (*.ring) here")
	}
	p := player{show: show}
	for i, name := range names {
		raw, err := read(ring, name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // the agent has removed it meanwhile
			continue
		case err != nil:
			p.item = Item{File: name}
			err = p.damage(fmt.Sprintf("the file cannot be read: %v", err))
		default:
			err = p.file(name, raw, i == len(names)-1)
		}
		if err != nil {
			return p.result, err
		}
	}
	return p.result, nil
}

// ReplayFile is Replay of one file.
func ReplayFile(name string, raw []byte, show func(Item) error) (Result, error) {
	p := player{show: show}
	err := p.file(name, raw, true)
	return p.result, err
}

func read(ring journal.ReadFS, name string) ([]byte, error) {
	f, err := ring.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, size))
}

// player is a replay under way.
type player struct {
	show   func(Item) error
	result Result

	item    Item         // what is the same for all items of a file
	core    *point.State // nil: not known, the next state is waited for
	memory  memory
	differs bool // in this file
}

// file replays one file. A file of another format is left out.
func (p *player) file(name string, raw []byte, last bool) error {
	before := p.item.Journal
	p.item = Item{File: name}
	lines := bytes.Split(raw, []byte("\n"))
	torn := lines[len(lines)-1] // empty, if the last line has its end
	for i, raw := range lines[:len(lines)-1] {
		l, err := decodeLine(raw)
		switch {
		case err != nil:
			p.core = nil
			err = p.damage(fmt.Sprintf("line %d cannot be used (%v); the replay goes on with the next state", i+1, err))
		case i == 0 && (l.Head == nil || l.Head.Format != format):
			return p.foreign(l.Head)
		case l.Head != nil:
			p.item.Agent, p.item.CP, p.item.Journal = l.Head.Agent, l.Head.CP, l.Head.Journal
			if l.Head.Journal != before {
				p.core = nil
			}
		default:
			err = p.line(&l)
		}
		if err != nil {
			return err
		}
	}
	if len(torn) == 0 {
		return nil
	}
	p.core = nil
	if last {
		return p.note("the last line is not complete: the agent is writing it, or ended while it did")
	}
	return p.note("the last line is not complete: the agent ended while it was written")
}

// foreign reports a file that this version cannot read.
func (p *player) foreign(h *head) error {
	p.core = nil
	if h == nil {
		return p.damage("the file does not begin like one of a flight recorder")
	}
	return p.damage(fmt.Sprintf("the file has format %d, this version reads %d; replay it with agent %s", h.Format, format, h.Agent))
}

func (p *player) line(l *line) error {
	switch {
	case l.Lost > 0:
		p.core = nil
		return p.note(fmt.Sprintf("%d steps are not recorded: the disk could not be written, or the queue was full", l.Lost))
	case l.Boot != nil:
		return p.boot(l.Boot)
	case l.State != nil:
		return p.state(l.State)
	case l.Step != nil:
		return p.step(l.Step)
	case l.Trip != nil:
		return p.trip(l.Trip)
	}
	return p.damage("a line has nothing that this version knows")
}

// boot replays point.Boot.
func (p *player) boot(b *boot) error {
	item := p.item
	item.Boot, item.Now = true, b.Now
	p.core, item.Effects = point.Boot(b.Config, b.Now, b.Recovered)
	p.memory, p.differs = memory{}, false
	p.compare(&item, b.did)
	return p.show(item)
}

// state goes on from a recorded state. If the steps before it are known, it must be
// the one that they lead to.
func (p *player) state(raw json.RawMessage) error {
	item := p.item
	item.State = true
	if p.core != nil && !p.differs {
		here, err := json.Marshal(p.core.Snapshot())
		if err != nil {
			return fmt.Errorf("encode the state: %w", err)
		}
		if !bytes.Equal(here, raw) {
			item.Difference = "the recorded steps lead to another state in this version"
			p.result.Differences++
		}
	}
	var v point.Snapshot
	if err := json.Unmarshal(raw, &v); err != nil {
		p.core = nil
		return p.damage(fmt.Sprintf("a state cannot be used: %v", err))
	}
	p.core, p.memory, p.differs = point.Resume(v), memory{}, false
	return p.show(item)
}

// step replays point.Step.
func (p *player) step(s *step) error {
	if p.core == nil {
		return nil // damage or a gap was reported
	}
	now, e, err := p.memory.decode(s)
	if a, is := e.(point.Appended); is && err == nil {
		e, err = p.core.Fold(a)
	}
	if err != nil {
		p.core = nil
		return p.damage(fmt.Sprintf("a step cannot be used: %v", err))
	}
	item := p.item
	item.Now, item.Event, item.Effects = now, e, p.core.Step(now, e)
	p.result.Steps++
	p.compare(&item, s.did)
	return p.show(item)
}

// trip replays a trip of the control loop. It has all that this needs, so it is shown
// where the state of the core is not known too.
func (p *player) trip(l *tripLine) error {
	t, err := l.decode()
	if err != nil {
		return p.damage(fmt.Sprintf("a trip cannot be used: %v", err))
	}
	item := p.item
	item.Trip, item.Now.Wall, item.Now.At = t, l.Wall, t.Ticks[len(t.Ticks)-1].In.Now
	p.result.Trips++
	if item.Difference = difference(t); item.Difference != "" {
		p.result.Differences++
	}
	return p.show(item)
}

// compare compares what a step did with what this version does.
func (p *player) compare(item *Item, recorded did) {
	if p.differs {
		return
	}
	if item.Difference = recorded.difference(describe(item.Effects)); item.Difference != "" {
		p.differs = true
		p.result.Differences++
	}
}

func (p *player) damage(what string) error {
	p.result.Damaged++
	return p.note(what)
}

func (p *player) note(what string) error {
	item := p.item
	item.Note = what
	return p.show(item)
}
