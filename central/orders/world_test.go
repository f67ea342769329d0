package orders_test

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const morning charge.Time = 1_795_341_600_000

// fatal is what *testing.T and *rapid.T share.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a Central with its rows, and charging points behind links that a test
// may cut. Time stands still unless a test advances it. world implements
// orders.View.
type world struct {
	t          fatal
	now        charge.Time
	state      *orders.State
	cfg        orders.Config
	life       int
	ids        int
	agents     map[charge.CPID]*agent
	books      map[charge.CPID]*ledgertest.Book
	delivered  map[charge.CPID]int // records of the log that reached Central
	live       map[charge.CPID]ledger.Liveness
	noCommands map[charge.CPID]bool        // commands do not reach it
	noRecords  map[charge.CPID]bool        // its records do not reach Central
	slow       map[charge.CPID]charge.Time // delay of commands, in ms
	flying     []flight

	reservations map[charge.ReservationID]orders.Reservation
	desired      map[string]orders.Desired
	commands     map[charge.CommandID]orders.Command
	requests     map[orders.RequestKey]orders.Request
	cards        map[cards.ID]cards.Card
	lists        map[charge.CPID]orders.LocalList
	groups       map[orders.GroupID]orders.Group
	members      map[orders.Target]orders.GroupMember
	fence        charge.Epoch
	refused      map[string]int
	tariff       ledger.Tariff
	usage        *ledger.Usage // of running sessions, in place of that of their records
	numbers      orders.Numbers
	published    []wire.CentralEvent
	sent         []wire.Command
	log          func(string)
}

type flight struct {
	at  charge.Time
	cmd wire.Command
}

func newWorld(t fatal, cps, connectors int, cfg orders.Config) *world {
	w := &world{
		t: t, now: morning, cfg: cfg, agents: map[charge.CPID]*agent{}, books: map[charge.CPID]*ledgertest.Book{},
		delivered: map[charge.CPID]int{}, live: map[charge.CPID]ledger.Liveness{}, noCommands: map[charge.CPID]bool{},
		noRecords: map[charge.CPID]bool{}, slow: map[charge.CPID]charge.Time{},
		reservations: map[charge.ReservationID]orders.Reservation{}, desired: map[string]orders.Desired{},
		cards: map[cards.ID]cards.Card{}, lists: map[charge.CPID]orders.LocalList{},
		groups: map[orders.GroupID]orders.Group{}, members: map[orders.Target]orders.GroupMember{},
		refused: map[string]int{}, commands: map[charge.CommandID]orders.Command{}, requests: map[orders.RequestKey]orders.Request{}, log: func(string) {},
	}
	w.restart()
	for i := range cps {
		id := charge.CPID(fmt.Sprintf("CP_%d", i+1))
		point := ledgertest.NewChargingPoint(id, connectors, w.now)
		point.Simulated = true
		w.books[id] = ledgertest.NewBook(id, w.now)
		w.agents[id] = newAgent(point)
		w.live[id] = ledger.Online
		w.sync()
		w.now++ // so that this one is idle longer than the next
	}
	return w
}

// restart is a new run of Central, from its rows.
func (w *world) restart() {
	w.life++
	w.numbers = orders.Numbers{}
	w.load()
}

// load reads the rows again, as after a transaction that failed.
func (w *world) load() {
	w.state = orders.New(w.cfg, epoch(w.life), w.numbers)
	for _, r := range w.reservations {
		if !r.Released {
			w.state.LoadReservation(r)
		}
	}
	for _, x := range w.desired {
		if x.EndedAt == 0 {
			w.state.LoadDesired(x)
		}
	}
	for _, c := range w.commands {
		if c.State.Open() {
			w.state.LoadCommand(c)
		}
	}
	for _, q := range w.requests {
		if q.Answer == nil && !q.Ignored {
			w.state.LoadRequest(q)
		}
	}
	for _, c := range w.cards {
		w.state.LoadCard(c)
	}
	for _, l := range w.lists {
		w.state.LoadLocalList(l)
	}
	for _, g := range w.groups {
		if !g.Deleted {
			w.state.LoadGroup(g)
		}
	}
	for _, m := range w.members {
		w.state.LoadGroupMember(m)
	}
	w.state.LoadFence(w.fence)
}

// backup is a copy of Central's database.
type backup struct {
	books        map[charge.CPID]*ledgertest.Book
	reservations map[charge.ReservationID]orders.Reservation
	desired      map[string]orders.Desired
	commands     map[charge.CommandID]orders.Command
	requests     map[orders.RequestKey]orders.Request
	cards        map[cards.ID]cards.Card
	lists        map[charge.CPID]orders.LocalList
}

func (w *world) backup() backup {
	b := backup{
		map[charge.CPID]*ledgertest.Book{},
		maps.Clone(w.reservations), maps.Clone(w.desired), maps.Clone(w.commands), maps.Clone(w.requests),
		maps.Clone(w.cards), maps.Clone(w.lists),
	}
	for id, book := range w.books {
		b.books[id] = book.Copy()
	}
	return b
}

// restore puts a backup back: charging points send all their records again.
func (w *world) restore(b backup) {
	w.t.Helper()
	w.reservations, w.desired = maps.Clone(b.reservations), maps.Clone(b.desired)
	w.commands, w.requests = maps.Clone(b.commands), maps.Clone(b.requests)
	w.cards, w.lists = maps.Clone(b.cards), maps.Clone(b.lists)
	for id, book := range b.books {
		w.books[id] = book.Copy()
		w.delivered[id] = 0
	}
	w.restart()
}

// View.

func (w *world) CP(id charge.CPID) *ledger.CP {
	if b := w.books[id]; b != nil {
		return b.CP
	}
	return nil
}

func (w *world) CPs() iter.Seq[*ledger.CP] {
	return func(yield func(*ledger.CP) bool) {
		for _, b := range w.books {
			if !yield(b.CP) {
				return
			}
		}
	}
}

func (w *world) TariffOf(charge.TariffVersion, charge.Time) ledger.Tariff { return w.tariff }

func (w *world) Running(s *ledger.Session) ledger.Usage {
	if w.usage != nil {
		return *w.usage
	}
	return s.Usage()
}

func (w *world) Liveness(id charge.CPID, _ charge.Time) ledger.Liveness { return w.live[id] }

func (w *world) Session(id charge.SessionID) (ledger.Session, bool) {
	for _, b := range w.books {
		if s := b.CP.Sessions[id]; s != nil {
			return *s, true
		}
		if s, ok := b.Sessions[id]; ok {
			return s, true
		}
	}
	return ledger.Session{}, false
}

func (w *world) Reservation(id charge.ReservationID) (orders.Reservation, bool) {
	r, ok := w.reservations[id]
	return r, ok
}

func (*world) Command(charge.CommandID) (orders.Command, bool) { return orders.Command{}, false }

func (w *world) moment() orders.Now {
	return orders.Now{At: w.now, Tariff: w.tariff.Version, IDs: func() string { w.ids++; return fmt.Sprintf("id-%d", w.ids) }}
}

func (w *world) step(e orders.Event) *orders.Reply {
	w.t.Helper()
	var reply *orders.Reply
	for _, x := range orders.Step(w.state, w, e) {
		switch x := x.(type) {
		case orders.SaveReservation:
			w.reservations[x.Reservation.ID] = x.Reservation
		case orders.SaveDesired:
			k := fmt.Sprint(x.Desired.Kind, x.Desired.CPID, x.Desired.Connector, x.Desired.SessionID)
			w.desired[k] = x.Desired
		case orders.SaveCommand:
			if was := w.commands[x.Command.ID]; was.State != x.Command.State {
				w.log(fmt.Sprintf("command %s %s at %s/%d: %s %s", x.Command.ID, x.Command.Type, x.Command.CPID, x.Command.Connector, x.Command.State, x.Command.Reason))
			}
			w.commands[x.Command.ID] = x.Command
		case orders.SaveRequest:
			w.requests[x.Request.Key()] = x.Request
		case orders.SaveCard:
			w.cards[x.Card.ID] = x.Card
		case orders.SaveLocalList:
			w.lists[x.List.CPID] = x.List
		case orders.SaveGroup:
			w.groups[x.Group.ID] = x.Group
		case orders.SaveGroupMember:
			w.members[x.Member.Target] = x.Member
		case orders.SaveFence:
			w.fence = x.By
		case orders.SendCommand:
			w.send(x.Command)
		case orders.PublishEvent:
			raw, err := x.Event.Encode()
			if err != nil {
				w.t.Fatalf("event %+v: %v", x.Event, err)
			}
			w.log("publish " + string(raw))
			w.published = append(w.published, x.Event)
		case orders.CountRefusal:
			w.refused[x.Reason]++
		case orders.Reply:
			reply = &x
		}
	}
	w.check()
	return reply
}

func (w *world) send(c wire.Command) {
	if _, err := c.Encode(); err != nil {
		w.t.Fatalf("command %+v: %v", c, err)
	}
	if c.SentAt >= c.ExpiresAt {
		w.t.Fatalf("command %s %s sent at %s, at or past its end %s", c.ID, c.Type, c.SentAt, c.ExpiresAt)
	}
	w.sent = append(w.sent, c)
	if !w.noCommands[c.CPID] {
		w.flying = append(w.flying, flight{w.now + w.slow[c.CPID], c})
	}
}

// check verifies what must hold after every step.
func (w *world) check() {
	w.t.Helper()
	active := map[orders.Target]charge.ReservationID{}
	drivers := map[charge.Username]int{}
	for _, r := range w.reservations {
		if !r.Active(w.now) {
			continue
		}
		t := orders.Target{CPID: r.CPID, Connector: r.Connector}
		if other := active[t]; other != "" {
			w.t.Fatalf("two active reservations at %v: %s and %s", t, other, r.ID)
		}
		active[t] = r.ID
		if !r.Adopted {
			drivers[r.Username]++
		}
		if drivers[r.Username] > max(w.cfg.PerDriver, 1) {
			w.t.Fatalf("driver %s has %d active reservations", r.Username, drivers[r.Username])
		}
		if got, ok := w.state.Reserved(t, w.now); !ok || got.ID != r.ID {
			w.t.Fatalf("%s is active at %v by its row, %q in memory", r.ID, t, got.ID)
		}
	}
}

// sync carries records to Central, and commands that are due to the charging
// points, until nothing moves.
func (w *world) sync() {
	w.t.Helper()
	for moved := true; moved; {
		moved = false
		for _, id := range slices.Sorted(maps.Keys(w.agents)) {
			moved = w.deliver(id) || moved
		}
		for i, f := range w.flying {
			if f.at <= w.now {
				w.flying = slices.Delete(w.flying, i, i+1)
				w.agents[f.cmd.CPID].obey(f.cmd, w.now)
				moved = true
				break
			}
		}
	}
}

// deliver carries the records of a charging point to Central.
func (w *world) deliver(id charge.CPID) (moved bool) {
	w.t.Helper()
	point := w.agents[id].cp
	for !w.noRecords[id] && w.delivered[id] < len(point.Log) {
		r := point.Log[w.delivered[id]]
		w.delivered[id]++
		w.books[id].Env.Now = w.now
		out, changes := w.books[id].Apply(r)
		if out.Verdict != ledger.Applied && out.Verdict != ledger.Duplicate {
			w.t.Fatalf("record %s/%d: %s", r.Journal, r.Seq, out.Verdict)
		}
		w.log(fmt.Sprintf("record %s/%d %s %s", r.Journal, r.Seq, r.Type, r.Data))
		w.step(orders.RecordReceived{Now: w.moment(), CPID: id, Record: r, Outcome: out, Changes: changes})
		moved = true
	}
	return moved
}

// pass moves time on, deadline by deadline.
func (w *world) pass(ms charge.Time) {
	w.t.Helper()
	end := w.now + ms
	for {
		w.sync()
		next := end
		if d := w.state.NextDeadline(); d != 0 {
			next = min(next, max(d, w.now))
		}
		for _, f := range w.flying {
			next = min(next, f.at)
		}
		stuck := next == w.now && w.now < end
		w.now = next
		for _, id := range slices.Sorted(maps.Keys(w.agents)) {
			w.agents[id].tick(w.now)
		}
		w.step(orders.Tick{Now: w.moment()})
		if d := w.state.NextDeadline(); stuck && d != 0 && d <= w.now && len(w.flying) == 0 {
			w.t.Fatalf("still due at %s after a tick at %s", d, w.now)
		}
		w.sync()
		if w.now >= end {
			return
		}
	}
}

// asks is a driver's AUTHORIZATION_REQUEST, just written; cp "" is any.
func (w *world) asks(message string, user charge.Username, cp charge.CPID) {
	w.t.Helper()
	w.request(message, wire.DriverAuthorization, user, cp, w.now)
}

// request delivers a driver's message that was written at the moment at.
func (w *world) request(message string, what wire.DriverEventType, user charge.Username, cp charge.CPID, at charge.Time) {
	w.t.Helper()
	w.ask(wire.DriverRequest{MessageID: message, EventType: what, Username: user, Timestamp: wire.Seconds(at)}, cp)
}

// ask delivers a driver's message; cp "" is none.
func (w *world) ask(q wire.DriverRequest, cp charge.CPID) {
	w.t.Helper()
	q.ClientID = "web"
	if cp != "" {
		q.CPID = &cp
	}
	e := orders.DriverRequestReceived{Now: w.moment(), Request: q}
	if was, ok := w.requests[orders.RequestKey{Username: q.Username, MessageID: q.MessageID}]; ok && was.Finished() {
		e.Previous = &was
	}
	w.step(e)
	w.sync()
}

// answer finds the answer to a message.
func (w *world) answer(message string) (wire.CentralEvent, bool) {
	for _, ev := range w.published {
		if ev.MessageID == message {
			return ev, true
		}
	}
	return wire.CentralEvent{}, false
}

func (w *world) mustAnswer(message string) wire.CentralEvent {
	w.t.Helper()
	ev, ok := w.answer(message)
	if !ok {
		w.t.Fatalf("message %s is not answered; published: %+v", message, w.published)
	}
	return ev
}

// events returns what was published of a type to a driver; "": to all.
func (w *world) events(t wire.CentralEventType, user charge.Username) []wire.CentralEvent {
	var list []wire.CentralEvent
	for _, ev := range w.published {
		if ev.EventType == t && (user == "" || ev.Username == user) {
			list = append(list, ev)
		}
	}
	return list
}

func (w *world) operator(a orders.OperatorRequest) orders.Reply {
	w.t.Helper()
	r := w.step(orders.OperatorRequestReceived{Now: w.moment(), Request: a})
	w.sync()
	if r == nil {
		w.t.Fatalf("%T was not answered", a)
		return orders.Reply{}
	}
	return *r
}

func (w *world) outlet(cp charge.CPID, id charge.ConnectorID) *ledgertest.Connector {
	return w.agents[cp].cp.Connectors[id]
}

func (w *world) reboot(cp charge.CPID) {
	w.t.Helper()
	w.agents[cp].cp.Now = w.now
	w.agents[cp].boot()
	w.sync()
}

func (w *world) back(cp charge.CPID) {
	w.t.Helper()
	w.live[cp] = ledger.Online
	w.step(orders.PresenceReceived{Now: w.moment(), CPID: cp})
	w.sync()
}

var _ fatal = (*testing.T)(nil)

// epoch is the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: fmt.Sprintf("%016x", n)} }
