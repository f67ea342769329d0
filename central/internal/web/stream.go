package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

const (
	defaultTick       = time.Second
	minFrameInterval  = 100 * time.Millisecond // between a change of a state and its frame, to gather changes
	heartbeatInterval = 15 * time.Second       // of comments, so that proxies keep an idle connection open
	writeTimeout      = 10 * time.Second       // of one frame to one page
	maxQueuedFacts    = 256                    // for one slow page; beyond that it gets a snapshot
	reconnectMS       = 2000                   // after which a page reconnects
	streamClosed      = "the stream has ended"
)

// hub makes frames of server-sent events from the live state and distributes them
// to every open page.
//
// A frame is encoded once and shared by all pages that keep up. For a page that
// does not, the hub remembers which rows have changed and encodes their latest
// values when the page can be written to, so its memory does not grow. Facts must
// not be skipped: they are queued, and beyond maxQueuedFacts the page gets a
// snapshot instead.
//
// The goroutine of run alone makes frames. Each page has a goroutine of its own
// (serve), which waits for its subscriber to be notified, fetches the next frame
// under mu and writes it without mu.
type hub struct {
	live Live
	tick time.Duration
	log  *slog.Logger

	mu          sync.Mutex   // guards what follows and every subscriber
	net         view.Network // the last snapshot
	rows        []row        // of net
	subscribers map[*subscriber]struct{}
	closed      bool
}

// row is one connector of the page's table.
type row struct {
	cp    *view.CP
	conn  *view.Connector
	state []byte // encoded, without the numbers that change each second
}

// subscriber is what one open page has not been sent. hub.mu guards it.
type subscriber struct {
	wake   chan struct{} // capacity 1: signals that something is pending
	whole  bool          // a snapshot is pending; it replaces all the rest
	frame  []byte        // the shared frame, if nothing older is pending
	states map[int]bool  // rows whose state is pending, by index
	values map[int]bool  // rows whose numbers are pending, by index
	head   bool          // parts and books are pending
	facts  []view.Fact   // pending facts, oldest first
}

func newHub(live Live, tick time.Duration, log *slog.Logger) *hub {
	if tick <= 0 {
		tick = defaultTick
	}
	return &hub{live: live, tick: tick, log: log, subscribers: make(map[*subscriber]struct{})}
}

// run makes frames until ctx ends; then it ends every stream.
func (h *hub) run(ctx context.Context) {
	defer h.close()
	ticker := time.NewTicker(h.tick)
	defer ticker.Stop()
	_, last := h.live.Facts(0) // pages read older facts from the API
	for {
		changed := h.live.Changed()
		last = h.publish(last)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-changed:
			pause := time.NewTimer(minFrameInterval) // gather changes in one frame
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
			}
		}
	}
}

// close ends every stream.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for r := range h.subscribers {
		r.notify()
	}
}

// publish reads a snapshot, compares it with the one before and gives every
// subscriber the differences and the facts after the one with number published. It
// returns the number of the last fact.
func (h *hub) publish(published uint64) uint64 {
	facts, last := h.live.Facts(published)
	h.mu.Lock()
	// Without pages the snapshot would be made for nothing. The facts are skipped: a
	// new page reads them from the API.
	idle := len(h.subscribers) == 0
	h.mu.Unlock()
	if idle {
		return last
	}
	net := h.live.Network()
	rows := makeRows(&net)

	h.mu.Lock()
	defer h.mu.Unlock()
	whole := !sameRows(h.rows, rows)
	states, values := map[int]bool{}, map[int]bool{}
	if !whole {
		for i := range rows {
			if !bytes.Equal(rows[i].state, h.rows[i].state) {
				states[i] = true
			}
			if numbers(h.rows[i].conn) != numbers(rows[i].conn) {
				values[i] = true
			}
		}
	}
	// Rows point into the charging points of net. That is safe without a copy: a
	// snapshot is never changed.
	h.net, h.rows = net, rows
	shared := h.delta(states, values, facts)
	for r := range h.subscribers {
		r.add(whole, shared, states, values, facts)
	}
	return last
}

// add makes a change pending for the page: the shared frame, or a snapshot if the
// rows themselves have changed.
func (r *subscriber) add(whole bool, shared []byte, states, values map[int]bool, facts []view.Fact) {
	switch {
	case r.whole || whole: // the page begins again, so older changes do not matter
		r.reset()
	case r.upToDate():
		r.frame, r.states, r.values, r.head, r.facts = shared, states, values, true, facts
	default: // the page is behind: merge, and encode for it alone when it can be written to
		r.frame = nil
		r.states, r.values = union(r.states, states), union(r.values, values)
		r.facts = append(append([]view.Fact(nil), r.facts...), facts...)
		if len(r.facts) > maxQueuedFacts {
			r.reset()
		}
	}
	r.notify()
}

// upToDate reports whether nothing is pending but perhaps a snapshot.
func (r *subscriber) upToDate() bool { return !r.head && r.frame == nil }

// reset makes a snapshot pending in place of everything else.
func (r *subscriber) reset() {
	r.whole, r.frame, r.states, r.values, r.head, r.facts = true, nil, nil, nil, false, nil
}

// notify wakes the goroutine of the page.
func (r *subscriber) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func union(a, b map[int]bool) map[int]bool {
	u := make(map[int]bool, len(a)+len(b))
	for i := range a {
		u[i] = true
	}
	for i := range b {
		u[i] = true
	}
	return u
}

// nextFrame returns what is pending for r, encoded; nil if nothing is. ok is false
// when the stream has ended.
func (h *hub) nextFrame(r *subscriber) (frame []byte, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, false
	case r.whole:
		frame = h.snapshot()
	case r.frame != nil:
		frame = r.frame
	case r.head:
		frame = h.delta(r.states, r.values, r.facts)
	}
	r.reset()
	r.whole = false
	return frame, true
}

// subscribe adds a page, which begins with a snapshot.
func (h *hub) subscribe() *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) == 0 { // without pages no snapshots were read, so this one is old
		h.net = h.live.Network()
		h.rows = makeRows(&h.net)
	}
	r := &subscriber{wake: make(chan struct{}, 1), whole: true}
	r.notify()
	h.subscribers[r] = struct{}{}
	return r
}

func (h *hub) unsubscribe(r *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, r)
}

// makeRows returns a row for each connector, in the order of the snapshot.
func makeRows(net *view.Network) []row {
	var rows []row
	for i := range net.CPs {
		cp := &net.CPs[i]
		for j := range cp.Connectors {
			rows = append(rows, row{cp: cp, conn: &cp.Connectors[j], state: encodeState(len(rows), cp, &cp.Connectors[j])})
		}
	}
	return rows
}

// sameRows reports whether two tables have the same connectors in the same order,
// so that an index means the same row in both.
func sameRows(a, b []row) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].cp.ID != b[i].cp.ID || a[i].conn.Connector != b[i].conn.Connector {
			return false
		}
	}
	return true
}

// values are the numbers of a row that change all the time.
type values struct {
	power    charge.Watts
	energy   charge.WattHours
	cost     string
	register charge.WattHours
	at       charge.Time
}

func numbers(c *view.Connector) values {
	return values{c.Power, c.Energy, c.Cost, c.Register, c.ValuesAt}
}

// stateRow is a connector and its charging point in one flat object.
type stateRow struct {
	Index     int             `json:"i"`
	CPID      charge.CPID     `json:"cp_id"`
	Name      string          `json:"name,omitempty"`
	Place     string          `json:"place,omitempty"`
	Admitted  bool            `json:"admitted"`
	Simulated bool            `json:"simulated"`
	Link      ledger.Liveness `json:"link"`
	LinkSince charge.Time     `json:"link_since,omitzero"`
	Alarm     string          `json:"alarm,omitempty"`
	Unacked   int64           `json:"unacked"`
	view.Connector
}

// encodeState encodes a row without its values, so that equal bytes mean an equal
// state.
func encodeState(i int, cp *view.CP, c *view.Connector) []byte {
	s := stateRow{i, cp.ID, cp.Name, cp.Place, cp.Admitted, cp.Simulated, cp.Link, cp.LinkSince, cp.Alarm, cp.Unacked, *c}
	s.Power, s.Energy, s.Cost, s.Register, s.ValuesAt = 0, 0, "", 0, 0
	return mustJSON(s)
}

// mustJSON encodes a value of a type of this package.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // cannot happen with these types; if it does, the page shows it
		return fmt.Appendf(nil, `{"error":%q}`, err.Error())
	}
	return b
}

// head is what every frame begins with.
type head struct {
	At      charge.Time  `json:"at"`
	Central charge.Epoch `json:"central"`
	Parts   []view.Part  `json:"parts"`
	Bridges []view.Part  `json:"bridges"`
	Books   view.Books   `json:"books"`
}

// columns are the values of several rows, as one array for each column: shorter
// than an object for each row.
type columns struct {
	Index    []int              `json:"i"`
	Power    []charge.Watts     `json:"w"`
	Energy   []charge.WattHours `json:"e"`
	Cost     []string           `json:"c"` // decimal, in the currency of the row
	Register []charge.WattHours `json:"r"`
	At       []int64            `json:"t"` // Unix milliseconds, Central's clock
}

func (h *hub) columns(which func(int) bool) columns {
	var c columns
	for i := range h.rows {
		if which(i) {
			n := numbers(h.rows[i].conn)
			c.Index, c.Power, c.Energy = append(c.Index, i), append(c.Power, n.power), append(c.Energy, n.energy)
			c.Cost, c.Register, c.At = append(c.Cost, n.cost), append(c.Register, n.register), append(c.At, int64(n.at))
		}
	}
	return c
}

func (h *hub) states(which func(int) bool) []json.RawMessage {
	list := []json.RawMessage{}
	for i := range h.rows {
		if which(i) {
			list = append(list, h.rows[i].state)
		}
	}
	return list
}

// snapshot encodes the event with which a page begins: all rows and all values.
func (h *hub) snapshot() []byte {
	all := func(int) bool { return true }
	return event("snapshot", struct {
		head
		Demo   bool              `json:"demo"`
		Rows   []json.RawMessage `json:"rows"`
		Values columns           `json:"values"`
	}{h.head(), h.net.Demo, h.states(all), h.columns(all)})
}

func (h *hub) head() head {
	return head{h.net.At, h.net.Central, h.net.Parts, h.net.Bridges, h.net.Books}
}

// delta encodes the event for what has changed: the state of some rows, the values
// of some rows, and facts. Parts and books are in every event.
func (h *hub) delta(states, values map[int]bool, facts []view.Fact) []byte {
	return event("delta", struct {
		head
		Rows   []json.RawMessage `json:"rows,omitempty"`
		Values columns           `json:"values"`
		Facts  []view.Fact       `json:"facts,omitempty"`
	}{h.head(), h.states(func(i int) bool { return states[i] }), h.columns(func(i int) bool { return values[i] }), facts})
}

// event encodes a server-sent event. JSON has no line breaks, so one data line is
// enough.
func event(name string, v any) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, mustJSON(v))
}

// serve is GET /api/v1/stream. It writes frames until the page disconnects, does
// not accept a frame within writeTimeout, or the hub ends.
func (h *hub) serve(w http.ResponseWriter, req *http.Request) {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store, no-transform") // compressed, it would wait for a buffer to fill
	w.Header().Set("X-Accel-Buffering", "no")                 // nginx passes on what it gets
	r := h.subscribe()
	defer h.unsubscribe(r)
	send := func(b []byte) error {
		if err := rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return rc.Flush()
	}
	if err := send(fmt.Appendf(nil, "retry: %d\n\n", reconnectMS)); err != nil {
		return
	}
	beat := time.NewTicker(heartbeatInterval)
	defer beat.Stop()
	for {
		var frame []byte
		select {
		case <-req.Context().Done():
			return
		case <-beat.C:
			frame = []byte(": still here\n\n")
		case <-r.wake:
			var ok bool
			if frame, ok = h.nextFrame(r); !ok {
				frame = event("bye", streamClosed)
				_ = send(frame) // the page reconnects either way
				return
			}
		}
		if len(frame) > 0 {
			if err := send(frame); err != nil {
				h.log.Debug("a page disconnected", slog.Any("err", err))
				return
			}
		}
	}
}
