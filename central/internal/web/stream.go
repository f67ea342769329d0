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

	"github.com/carga-ev/carga/internal/charge"
)

const (
	defaultTick       = time.Second
	minFrameInterval  = 100 * time.Millisecond // between frames made because a state changed
	heartbeatInterval = 15 * time.Second
	writeTimeout      = 10 * time.Second
	maxQueuedFacts    = 256 // queued for one slow reader before it has to start over
	reconnectMS       = 2000
	streamClosed      = "the stream has ended"
)

// hub turns the live state into frames of server-sent events and hands them to
// every open page. A frame is encoded once and shared by all who keep up; for a
// slow reader the latest values win and memory stays flat. What must not be
// conflated (facts) is queued, up to a bound, beyond which the reader gets a
// snapshot again.
//
// The goroutine of run owns making frames; mu guards what readers take.
type hub struct {
	live Live
	tick time.Duration
	log  *slog.Logger

	mu          sync.Mutex
	net         Network
	rows        []row
	subscribers map[*subscriber]struct{}
	closed      bool
}

// row is one connector of the page's table.
type row struct {
	cp    *CP
	conn  *Connector
	state []byte // encoded, without the numbers that change each second
}

// subscriber is one open page. hub.mu guards it.
type subscriber struct {
	wake   chan struct{} // capacity 1: something is pending
	whole  bool          // a snapshot is due
	frame  []byte        // the shared frame, when nothing older is pending
	states map[int]bool  // rows whose state is pending
	values map[int]bool  // rows whose numbers are pending
	head   bool          // parts and books are pending
	facts  []Fact
}

func newHub(live Live, tick time.Duration, log *slog.Logger) *hub {
	if tick <= 0 {
		tick = defaultTick
	}
	return &hub{live: live, tick: tick, log: log, subscribers: make(map[*subscriber]struct{})}
}

// run makes frames until ctx ends; then it lets every reader go.
func (h *hub) run(ctx context.Context) {
	defer h.close()
	ticker := time.NewTicker(h.tick)
	defer ticker.Stop()
	_, last := h.live.Facts(0) // the page reads the past from the API
	for {
		changed := h.live.Changed()
		last = h.publish(last)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-changed:
			pause := time.NewTimer(minFrameInterval) // gather what changes together
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
			}
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for r := range h.subscribers {
		r.notify()
	}
}

// publish takes a snapshot, compares it with the one before and hands out the
// differences. It returns the number of the last fact told.
func (h *hub) publish(told uint64) uint64 {
	facts, last := h.live.Facts(told)
	h.mu.Lock()
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
	h.net, h.rows = net, rows // rows point into net's charging points, which are never changed
	shared := h.delta(states, values, facts)
	for r := range h.subscribers {
		r.add(whole, shared, states, values, facts)
	}
	return last
}

func (r *subscriber) add(whole bool, shared []byte, states, values map[int]bool, facts []Fact) {
	switch {
	case r.whole || whole:
		r.reset()
	case r.upToDate():
		r.frame, r.states, r.values, r.head, r.facts = shared, states, values, true, facts
	default: // behind: merge, and encode for this reader alone when it can write
		r.frame = nil
		r.states, r.values = union(r.states, states), union(r.values, values)
		r.facts = append(append([]Fact(nil), r.facts...), facts...)
		if len(r.facts) > maxQueuedFacts {
			r.reset()
		}
	}
	r.notify()
}

func (r *subscriber) upToDate() bool { return !r.head && r.frame == nil }

func (r *subscriber) reset() {
	r.whole, r.frame, r.states, r.values, r.head, r.facts = true, nil, nil, nil, false, nil
}

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

// nextFrame returns what is pending for r as bytes, or nil; ok is false when the
// stream is over.
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

// subscribe adds a reader, which begins with a snapshot.
func (h *hub) subscribe() *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) == 0 { // nobody looked, so what is held is old
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

func makeRows(net *Network) []row {
	var rows []row
	for i := range net.CPs {
		cp := &net.CPs[i]
		for j := range cp.Connectors {
			rows = append(rows, row{cp: cp, conn: &cp.Connectors[j], state: encodeState(len(rows), cp, &cp.Connectors[j])})
		}
	}
	return rows
}

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

type values struct {
	power    charge.Watts
	energy   charge.WattHours
	cost     string
	register charge.WattHours
	at       charge.Time
}

func numbers(c *Connector) values { return values{c.Power, c.Energy, c.Cost, c.Register, c.ValuesAt} }

// stateRow is a connector and its charging point in one flat object.
type stateRow struct {
	Index     int         `json:"i"`
	CPID      charge.CPID `json:"cp_id"`
	Name      string      `json:"name,omitempty"`
	Place     string      `json:"place,omitempty"`
	Admitted  bool        `json:"admitted"`
	Simulated bool        `json:"simulated"`
	Link      string      `json:"link"`
	LinkSince charge.Time `json:"link_since,omitzero"`
	Alarm     string      `json:"alarm,omitempty"`
	Unacked   int64       `json:"unacked"`
	Connector
}

func encodeState(i int, cp *CP, c *Connector) []byte {
	s := stateRow{i, cp.ID, cp.Name, cp.Place, cp.Admitted, cp.Simulated, cp.Link, cp.LinkSince, cp.Alarm, cp.Unacked, *c}
	s.Power, s.Energy, s.Cost, s.Register, s.ValuesAt = 0, 0, "", 0, 0
	return mustJSON(s)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // our own types always encode; say so in the stream if ever not
		return fmt.Appendf(nil, `{"error":%q}`, err.Error())
	}
	return b
}

// head is what every frame begins with.
type head struct {
	At      charge.Time `json:"at"`
	Central string      `json:"central"`
	Parts   []Part      `json:"parts"`
	Books   Books       `json:"books"`
}

// columns are the numbers of several rows, by index.
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

func (h *hub) snapshot() []byte {
	all := func(int) bool { return true }
	return event("snapshot", struct {
		head
		Demo   bool              `json:"demo"`
		Rows   []json.RawMessage `json:"rows"`
		Values columns           `json:"values"`
	}{h.head(), h.net.Demo, h.states(all), h.columns(all)})
}

func (h *hub) head() head { return head{h.net.At, h.net.Central, h.net.Parts, h.net.Books} }

func (h *hub) delta(states, values map[int]bool, facts []Fact) []byte {
	return event("delta", struct {
		head
		Rows   []json.RawMessage `json:"rows,omitempty"`
		Values columns           `json:"values"`
		Facts  []Fact            `json:"facts,omitempty"`
	}{h.head(), h.states(func(i int) bool { return states[i] }), h.columns(func(i int) bool { return values[i] }), facts})
}

func event(name string, v any) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, mustJSON(v))
}

// serve is GET /api/v1/stream.
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
				h.log.Debug("a page went away", slog.Any("err", err))
				return
			}
		}
	}
}
