package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

const (
	defaultTick      = time.Second
	minFrameInterval = 200 * time.Millisecond // between a change of a state and its frame, to gather changes
	quietInterval    = time.Second            // after which a page is sent an empty frame, so that it sees that the stream lives
	writeTimeout     = 10 * time.Second       // of one frame to one page
	keepChanges      = time.Minute            // for pages that come back, after the last one left
	maxKeptFacts     = 1024                   // for pages that come back or are slow
	maxKeptFactBytes = 256 << 10              // texts of these facts
	factsAtStart     = 50                     // in a snapshot
	reconnectMS      = 2000                   // after which a page reconnects
	streamClosed     = "the stream has ended"
)

// hub makes frames of server-sent events from the live state and distributes them
// to every open page.
//
// The frames are numbered. The hub keeps, for each thing that can change, the
// number of the frame in which it changed last: for the state of a row, for each
// number of a row, for parts, books and facts. What a page must be sent follows
// from the number of the last frame it has: all that changed later, with its
// latest value. So a page that keeps up, one that is slow, and one that comes back
// with a Last-Event-ID differ in that number alone, and a slow one costs no
// memory. Facts must not be skipped: the latest are kept, and a page that misses
// older ones begins again with a snapshot, as after a change of the rows
// themselves.
//
// A frame is encoded once for all pages that have the same frame before it.
//
// The goroutine of run makes the frames. Each page has a goroutine of its own
// (serve), which waits for its subscriber to be notified, fetches the next frame
// under mu and writes it without mu.
type hub struct {
	live Live
	tick time.Duration
	log  *slog.Logger
	boot string // begins the id of each frame, and is new at each start

	mu          sync.Mutex   // guards what follows and every subscriber
	seq         uint64       // number of the last frame; 0: none yet
	net         view.Network // of the last frame
	rows        []row        // of net
	rowsAt      uint64       // frame since which the rows are the same connectors
	partsAt     uint64       // frame in which the parts or the bridges changed last
	booksAt     uint64       // frame in which the books changed last
	facts       []keptFact   // the latest, oldest first
	factBytes   int          // of their texts
	factsAt     uint64       // frame whose facts are complete in facts, and those of later ones
	lastFact    uint64       // number of the last fact read
	frames      map[frameKey]*frame
	packer      packer
	leftAt      time.Time // when the last page left
	resting     bool      // no page is open, so changes are not noted
	subscribers map[*subscriber]struct{}
	closed      bool
}

// keptFact is a fact and the frame that it came with.
type keptFact struct {
	view.Fact
	at uint64
}

// frameKey identifies a frame by the one that its readers have, and by its
// readers.
type frameKey struct {
	after uint64
	to    Audience
}

// subscriber is one open page. hub.mu guards it.
type subscriber struct {
	to   Audience
	wake chan struct{} // capacity 1: signals that there may be a new frame
	seq  uint64        // number of the frame it has; 0: none
}

func newHub(live Live, tick time.Duration, log *slog.Logger) *hub {
	if tick <= 0 {
		tick = defaultTick
	}
	var boot [6]byte
	_, _ = rand.Read(boot[:]) // it never fails
	return &hub{live: live, tick: tick, log: log, boot: hex.EncodeToString(boot[:]), resting: true, subscribers: make(map[*subscriber]struct{})}
}

// run makes frames until ctx ends; then it ends every stream.
func (h *hub) run(ctx context.Context) {
	defer h.close()
	ticker := time.NewTicker(h.tick)
	defer ticker.Stop()
	for numbers := true; ; {
		changed := h.live.Changed()
		h.publish(numbers)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			numbers = true
		case <-changed:
			numbers = false
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
	h.notify()
}

// publish makes the next frame if something has changed, and notifies the pages.
// Without numbers it is a frame between two ticks, for a change of a state: in a
// large network there are several each second, and the numbers of all other rows
// can wait for the tick.
func (h *hub) publish(numbers bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) == 0 && (h.resting || time.Since(h.leftAt) >= keepChanges) {
		h.resting = true // the snapshots would be made for nothing
		return
	}
	if h.next(numbers) {
		h.notify()
	}
}

// notify wakes the goroutine of each page. The caller holds mu, as for all
// methods below that do not lock it.
func (h *hub) notify() {
	for r := range h.subscribers {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// next compares the live state with that of the last frame and notes what has
// changed under the number of the next one. It reports whether anything has.
// Without numbers, books and the numbers of rows whose state is the same are left
// as they were.
func (h *hub) next(numbers bool) bool {
	facts, last := h.live.Facts(h.lastFact)
	net := h.live.Network()
	rows := makeRows(&net)
	seq := h.seq + 1
	changed := h.seq == 0 || h.resting
	if changed || !sameRows(h.rows, rows) { // every page begins again
		changed, h.rowsAt = true, seq
	}
	for i := range rows {
		var before *row
		if h.rowsAt != seq {
			before = &h.rows[i]
		}
		changed = rows[i].note(i, before, seq, numbers) || changed
	}
	if !sameParts(h.net.Parts, net.Parts) || !sameParts(h.net.Bridges, net.Bridges) {
		changed, h.partsAt = true, seq
	}
	if !numbers {
		net.Books = h.net.Books
	}
	if h.net.Books != net.Books {
		changed, h.booksAt = true, seq
	}
	h.keepFacts(facts, seq)
	changed = changed || len(facts) > 0
	// Rows point into the charging points of net. That is safe without a copy: a
	// snapshot is never changed.
	h.net, h.rows, h.lastFact, h.resting = net, rows, last, false
	if changed {
		h.seq, h.frames = seq, map[frameKey]*frame{}
	}
	return changed
}

func sameParts(a, b []view.Part) bool {
	return slices.EqualFunc(a, b, func(x, y view.Part) bool { return x.Equal(&y) })
}

// sizeOf returns the bytes of what is long in a fact.
func sizeOf(f *view.Fact) int { return len(f.Text) + len(f.Detail) + len(f.Why.Detail) }

// keepFacts adds the facts of a frame, and drops the oldest beyond the bounds.
func (h *hub) keepFacts(facts []view.Fact, seq uint64) {
	if h.resting || len(facts) > 0 && facts[0].N != h.lastFact+1 {
		h.factsAt = seq // those before were not read
	}
	for _, f := range facts {
		h.facts = append(h.facts, keptFact{f, seq})
		h.factBytes += sizeOf(&f)
	}
	drop := 0
	for ; len(h.facts)-drop > maxKeptFacts || h.factBytes > maxKeptFactBytes; drop++ {
		h.factBytes -= sizeOf(&h.facts[drop].Fact)
		h.factsAt = max(h.factsAt, h.facts[drop].at) // a page with that frame has it
	}
	h.facts = slices.Delete(h.facts, 0, drop)
}

// complete reports whether a page that has a frame can be sent what it misses. One
// that has none, or one of another start, cannot.
func (h *hub) complete(seq uint64) bool {
	return seq != 0 && seq <= h.seq && seq >= h.rowsAt && seq >= h.factsAt
}

// nextFrame returns what r has not been sent, nil if nothing; ok is false when the
// stream has ended.
func (h *hub) nextFrame(r *subscriber) (f *frame, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, false
	}
	if r.seq == h.seq {
		return nil, true
	}
	after := r.seq
	if !h.complete(after) {
		after = 0
	}
	r.seq = h.seq
	key := frameKey{after, r.to}
	f, made := h.frames[key]
	if !made {
		f = h.frame(after, r.to)
		h.frames[key] = f
	}
	return f, true
}

// quiet returns a frame without content, which shows a page that the stream lives.
func (h *hub) quiet(r *subscriber) *frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.event(r.seq, "delta", []byte(`{"at":"`+charge.At(time.Now()).String()+`"}`))
}

// packed returns a frame compressed. A frame is compressed once for all pages.
func (h *hub) packed(f *frame) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.packed == nil {
		f.packed = h.packer.pack(f.raw)
	}
	return f.packed
}

// subscribe adds a page that has the frame with the id last; "" is none.
func (h *hub) subscribe(to Audience, last string) *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.resting {
		h.next(true)
	}
	r := &subscriber{to: to, wake: make(chan struct{}, 1)}
	if boot, n, ok := strings.Cut(last, "."); ok && boot == h.boot {
		if seq, err := strconv.ParseUint(n, 10, 64); err == nil && seq <= h.seq {
			r.seq = seq
		}
	}
	r.wake <- struct{}{}
	h.subscribers[r] = struct{}{}
	return r
}

func (h *hub) unsubscribe(r *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, r)
	h.leftAt = time.Now()
}

// serve is GET /api/v1/stream. It writes frames until the page disconnects, does
// not accept a frame within writeTimeout, or the hub ends.
func (h *hub) serve(w http.ResponseWriter, req *http.Request, to Audience, last string) {
	out := newStreamWriter(w, req.Header.Get("Accept-Encoding"), h.packed)
	r := h.subscribe(to, last)
	defer h.unsubscribe(r)
	fail := func(err error) { h.log.Debug("a page disconnected", slog.Any("err", err)) }
	if err := out.send(&frame{raw: fmt.Appendf(nil, "retry: %d\n\n", reconnectMS)}); err != nil {
		fail(err)
		return
	}
	quiet := time.NewTicker(quietInterval)
	defer quiet.Stop()
	for {
		var f *frame
		select {
		case <-req.Context().Done():
			return
		case <-quiet.C:
			f = h.quiet(r)
		case <-r.wake:
			var ok bool
			if f, ok = h.nextFrame(r); !ok {
				_ = out.end(&frame{raw: []byte("event: bye\ndata: \"" + streamClosed + "\"\n\n")}) // the page reconnects either way
				return
			}
		}
		if f == nil {
			continue
		}
		if err := out.send(f); err != nil {
			fail(err)
			return
		}
		quiet.Reset(quietInterval)
	}
}

// streamWriter writes frames to one page.
type streamWriter struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	packed func(*frame) []byte // nil: the page does not want them compressed
	begun  bool
	sum    checksum
}

// newStreamWriter writes the header of a stream.
func newStreamWriter(w http.ResponseWriter, accept string, packed func(*frame) []byte) *streamWriter {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform") // compressed by a proxy, it would wait for a buffer to fill
	h.Set("X-Accel-Buffering", "no")                 // nginx passes on what it gets
	h.Set("Vary", "Accept-Encoding")
	out := &streamWriter{w: w, rc: http.NewResponseController(w)}
	if acceptsGzip(accept) {
		h.Set("Content-Encoding", "gzip")
		out.packed = packed
	}
	return out
}

// send writes a frame.
func (s *streamWriter) send(f *frame) error {
	if s.packed == nil {
		return s.write(f.raw)
	}
	b := s.packed(f)
	s.sum.add(f.raw)
	if !s.begun {
		s.begun = true
		b = slices.Concat([]byte(gzipHeader), b)
	}
	return s.write(b)
}

// end writes the last frame.
func (s *streamWriter) end(f *frame) error {
	err := s.send(f)
	if err == nil && s.packed != nil {
		err = s.write(s.sum.trailer())
	}
	return err
}

func (s *streamWriter) write(b []byte) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.rc.Flush()
}

// sameRows reports whether two tables have the same connectors in the same order,
// so that an index means the same row in both.
func sameRows(a, b []row) bool {
	return slices.EqualFunc(a, b, func(x, y row) bool { return x.cp.ID == y.cp.ID && x.conn.Connector == y.conn.Connector })
}
