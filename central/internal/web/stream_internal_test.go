package web

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// scene is a Live whose network a test changes.
type scene struct {
	mu    sync.Mutex
	net   view.Network
	facts []view.Fact
}

func newScene(cps int) *scene {
	s := &scene{net: view.Network{At: 1_795_000_000_000, Parts: []view.Part{{Name: "kafka", State: view.PartUp}}}}
	for i := range cps {
		s.net.CPs = append(s.net.CPs, view.CP{
			ID: charge.CPID(fmt.Sprintf("CP_%04d", i)), Name: fmt.Sprintf("Bay %d", i), Place: "Garage north", Admitted: true, Link: "online", LinkSince: 1, Agent: "1.2.3",
			Connectors: []view.Connector{{
				Connector: 1, Status: charge.StatusCharging, Available: true, SessionID: charge.SessionID(fmt.Sprintf("0198c3a2-7b1e-7c40-8000-%012d", i)),
				Username: charge.Username(fmt.Sprintf("driver%d", i)), Currency: "EUR", Rated: 22_000, Register: charge.WattHours(100_000 + i*7919), Energy: charge.WattHours(i * 7919 % 30_000),
			}},
		})
	}
	return s
}

// change changes a copy of the charging points: snapshots that were read stay as
// they are.
func (s *scene) change(fn func(*view.Network)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.net.At += 1000
	s.net.CPs, s.net.Parts = slices.Clone(s.net.CPs), slices.Clone(s.net.Parts)
	for i := range s.net.CPs {
		s.net.CPs[i].Connectors = slices.Clone(s.net.CPs[i].Connectors)
	}
	fn(&s.net)
}

func (s *scene) fact(driver charge.Username) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := uint64(len(s.facts) + 1)
	s.facts = append(s.facts, view.Fact{N: n, Kind: "ticket", Username: driver, Text: fmt.Sprintf("fact %d of %s", n, driver)})
}

// second lets each session charge for a second, as the telemetry shows it.
func (s *scene) second(random *rand.Rand) {
	s.change(func(n *view.Network) {
		for i := range n.CPs {
			k := &n.CPs[i].Connectors[0]
			k.Power = charge.Watts([]int{3680, 7360, 11_000, 22_000}[i%4] - random.IntN(200))
			step := charge.WattHours(k.Power) / 3600
			k.Energy, k.Register = k.Energy+step, k.Register+step
			k.Cost = charge.Decimal(100+int64(k.Energy)*45/1000, 2)
			k.ValuesAt = n.At - charge.Time(random.IntN(1000))
			n.CPs[i].Unacked = int64(random.IntN(2))
		}
	})
}

func (s *scene) Network() view.Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.net
}

func (*scene) Series(charge.CPID, charge.ConnectorID, charge.Time, charge.Time) []view.Point {
	return nil
}

func (*scene) BridgeDeadLetters() []view.BridgeDeadLetter { return nil }

func (*scene) Changed() <-chan struct{} { return nil }

func (s *scene) Facts(n uint64) ([]view.Fact, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.facts[min(n, uint64(len(s.facts))):]), uint64(len(s.facts))
}

// watcher is a page: it applies the frames that it receives.
type watcher struct {
	driver    bool
	last      string
	snapshots int
	at        charge.Time
	head      map[string]string // demo, parts, books
	rows      map[int]string
	values    map[int]map[string]any
	facts     []uint64
}

// apply takes one event.
func (p *watcher) apply(tb testing.TB, raw []byte) {
	tb.Helper()
	var name string
	var data []byte
	for line := range bytes.Lines(raw) {
		field, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(field) {
		case "id":
			p.last = string(value)
		case "event":
			name = string(value)
		case "data":
			data = value
		}
	}
	var m struct {
		At                          charge.Time
		Central, Demo, Parts, Books json.RawMessage
		Rows                        []json.RawMessage
		Values                      map[string][]any
		Facts                       []view.Fact
	}
	if err := json.Unmarshal(data, &m); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	if name == "snapshot" {
		*p = watcher{driver: p.driver, last: p.last, snapshots: p.snapshots + 1, facts: p.facts, head: map[string]string{}, rows: map[int]string{}, values: map[int]map[string]any{}}
	}
	p.at = m.At
	for k, v := range map[string]json.RawMessage{"demo": m.Demo, "parts": m.Parts, "books": m.Books} {
		if v != nil {
			p.head[k] = string(v)
		}
	}
	for _, r := range m.Rows {
		var row struct{ I int }
		if err := json.Unmarshal(r, &row); err != nil {
			tb.Fatal(err)
		}
		p.rows[row.I] = string(r)
		if p.driver && !strings.Contains(string(r), "username") {
			delete(p.values, row.I) // it is not theirs any more
		}
	}
	for k, i := range m.Values["i"] {
		p.number(int(i.(float64)), k, m.Values)
	}
	for _, f := range m.Facts {
		if name == "snapshot" && slices.Contains(p.facts, f.N) {
			continue
		}
		p.facts = append(p.facts, f.N)
	}
}

func (p *watcher) number(row, k int, columns map[string][]any) {
	v := p.values[row]
	if v == nil {
		v = map[string]any{"e": 0.0}
		p.values[row] = v
	}
	register, _ := v["r"].(float64)
	base := register - v["e"].(float64)
	for _, name := range []string{"w", "e", "c", "u"} {
		if c := columns[name]; c != nil && c[k] != nil {
			v[name] = c[k]
		}
	}
	if c := columns["r"]; c != nil && c[k] != nil {
		base = c[k].(float64) - v["e"].(float64)
	}
	v["r"] = base + v["e"].(float64)
}

// shown is what the page shows, but for the facts.
func (p *watcher) shown() string {
	return fmt.Sprint(p.head, p.rows, p.values)
}

// open returns a subscriber and a function that reads what is pending for it.
func open(tb testing.TB, h *hub, p *watcher, to Audience) (read func(), cut func()) {
	tb.Helper()
	r := h.subscribe(to, p.last)
	p.driver = !to.Staff && to.CPID == ""
	return func() {
		tb.Helper()
		f, ok := h.nextFrame(r)
		if !ok {
			tb.Fatal("the stream has ended")
		}
		if f != nil {
			p.apply(tb, f.raw)
		}
	}, func() { h.unsubscribe(r) }
}

// TestAPageThatComesBackMissesNothing: whatever changes, and however often a page
// is cut off or slow, it shows at the end what a new page shows, and was sent each
// fact once. The same holds for what a driver may see.
func TestAPageThatComesBackMissesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newScene(3)
		h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
		people := []charge.Username{"ann", "bob", ""}
		audiences := []Audience{{Staff: true}, {Username: "ann"}, {Username: "bob"}, {}, {CPID: "CP_0001"}}
		pages := make([]watcher, len(audiences))
		reads, cuts := make([]func(), len(audiences)), make([]func(), len(audiences))
		for i, a := range audiences {
			reads[i], cuts[i] = open(t, h, &pages[i], a)
			reads[i]()
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			page := rapid.IntRange(0, len(pages)-1).Draw(rt, "page")
			switch rapid.IntRange(0, 8).Draw(rt, "step") {
			case 0:
				cuts[page]()
				reads[page], cuts[page] = open(t, h, &pages[page], audiences[page])
			case 1, 2:
				reads[page]()
			case 3:
				s.fact(rapid.SampledFrom(people).Draw(rt, "fact of"))
			case 4:
				s.change(func(n *view.Network) { n.Books.Applied++ })
			case 5:
				s.change(func(n *view.Network) {
					k := &n.CPs[rapid.IntRange(0, 2).Draw(rt, "cp")].Connectors[0]
					k.Username = rapid.SampledFrom(people).Draw(rt, "driver")
					k.SessionID, k.Energy, k.Cost = "", 0, ""
					if k.Username != "" {
						k.SessionID, k.Energy, k.Cost = charge.SessionID("s-"+k.Username), 5, "0.01"
					}
				})
			default:
				s.change(func(n *view.Network) {
					k := &n.CPs[rapid.IntRange(0, 2).Draw(rt, "cp")].Connectors[0]
					step := charge.WattHours(rapid.IntRange(0, 3).Draw(rt, "energy"))
					if k.SessionID != "" {
						k.Energy += step
					}
					k.Register, k.Power, k.ValuesAt = k.Register+step, charge.Watts(rapid.IntRange(0, 2).Draw(rt, "power")), n.At
				})
			}
			h.publish(rapid.Bool().Draw(rt, "tick"))
		}
		h.publish(true)
		for i, a := range audiences {
			reads[i]()
			var fresh watcher
			read, _ := open(t, h, &fresh, a)
			read()
			if got, want := pages[i].shown(), fresh.shown(); got != want {
				rt.Errorf("%+v shows\n%s\nwant\n%s", a, got, want)
			}
			if a.CPID != "" && (len(fresh.rows) != 1 || !strings.Contains(fresh.rows[1], "CP_0001") || strings.Contains(fresh.shown(), "username")) {
				rt.Errorf("a screen shows %s", fresh.shown())
			}
			var want []uint64
			for _, f := range s.facts {
				if a.Staff || a.owns(f.Username) {
					want = append(want, f.N)
				}
			}
			if pages[i].snapshots != 1 || !slices.Equal(pages[i].facts, want) {
				rt.Errorf("%+v: %d snapshots, facts %v, want 1 and %v", a, pages[i].snapshots, pages[i].facts, want)
			}
		}
	})
}

// TestAPageThatMissedTooMuchBeginsAgain: with more facts than are kept, with the id
// of another start or a malformed one, and after rows were added.
func TestAPageThatMissedTooMuchBeginsAgain(t *testing.T) {
	t.Parallel()
	s := newScene(2)
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	var p watcher
	staff := Audience{Staff: true}
	read, cut := open(t, h, &p, staff)
	read()
	cut()
	for range maxKeptFacts {
		s.fact("ann")
	}
	h.publish(true)
	read, cut = open(t, h, &p, staff)
	read()
	cut()
	if p.snapshots != 1 || len(p.facts) != maxKeptFacts {
		t.Errorf("with all facts kept: %d snapshots and %d facts", p.snapshots, len(p.facts))
	}
	for range maxKeptFacts + 1 {
		s.fact("ann")
		h.publish(true)
	}
	read, cut = open(t, h, &p, staff)
	read()
	cut()
	if p.snapshots != 2 || p.facts[len(p.facts)-1] != 2*maxKeptFacts+1 {
		t.Errorf("with too many facts: %d snapshots, the last fact %d", p.snapshots, p.facts[len(p.facts)-1])
	}
	if len(h.facts) > maxKeptFacts || h.factBytes > maxKeptFactBytes {
		t.Errorf("%d facts of %d bytes are kept", len(h.facts), h.factBytes)
	}
	s.change(func(n *view.Network) { n.CPs = append(n.CPs, newScene(3).net.CPs[2]) })
	h.publish(true)
	read, cut = open(t, h, &p, staff)
	read()
	cut()
	if p.snapshots != 3 || len(p.rows) != 3 {
		t.Errorf("with a new row: %d snapshots, %d rows", p.snapshots, len(p.rows))
	}
	for i, last := range []string{"", "x", "otherboot000.1", h.boot + ".", h.boot + ".-1", h.boot + ".999999", h.boot + ".99999999999999999999", strings.Repeat(".", 1000)} {
		p.last = last
		read, cut := open(t, h, &p, staff)
		read()
		cut()
		if p.snapshots != 4+i {
			t.Errorf("last event %.20q: no snapshot", last)
		}
	}
}

// TestADriverSeesNothingOfOthers: neither in a snapshot nor in what follows.
func TestADriverSeesNothingOfOthers(t *testing.T) {
	t.Parallel()
	s := newScene(2)
	s.net.Books.Applied = 77
	fill := func(n *view.Network) {
		n.CPs[0].Alarm, n.CPs[0].AlarmWhy, n.CPs[0].Unacked = "secret alarm", reason.Words("secret alarm"), 5
		n.CPs[0].Connectors[0] = view.Connector{
			Connector: 1, Status: charge.StatusReserved, SessionID: "s-ann", Username: "ann", ReservationID: "r-ann", WaitsFor: "stop", WaitsSince: 7,
			Power: 4321, Energy: 1234, Register: 98765, Cost: "9.87", Currency: "EUR", ValuesAt: n.At,
		}
		n.CPs[1].Alarm, n.CPs[1].ReaderTrouble, n.CPs[1].ReaderSince = "secret alarm", "secret reader", n.At
		n.CPs[1].Connectors[0] = view.Connector{Connector: 1, Status: charge.StatusCharging, SessionID: "s-bob", Username: "bob", ReservationID: "r-carl", Power: 7000, Energy: 55, Cost: "1.02", ValuesAt: n.At}
	}
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	r := h.subscribe(Audience{Username: "bob"}, "")
	var all []byte
	read := func() {
		if f, _ := h.nextFrame(r); f != nil {
			all = append(all, f.raw...)
		}
	}
	read()
	s.change(fill)
	s.fact("ann")
	s.fact("bob")
	s.fact("")
	h.publish(true)
	read()
	r = h.subscribe(Audience{Username: "bob"}, "")
	read()
	for _, secret := range []string{"ann", "r-carl", "secret", "4321", "1234", "98765", "9.87", `"stop"`, "books", "parts", "kafka", "demo", `"u"`, "1.2.3", "fact 3", "driver0", "driver1"} {
		if strings.Contains(string(all), secret) {
			t.Errorf("%q is sent to another driver: %s", secret, all)
		}
	}
	for _, own := range []string{"s-bob", `"w":[7000]`, `"e":[55]`, `"c":["1.02"]`, "fact 2 of bob", `"status":"reserved"`} {
		if strings.Count(string(all), own) != 2 {
			t.Errorf("%q is not sent twice: %s", own, all)
		}
	}
	s.change(func(n *view.Network) {
		n.CPs[0].Connectors[0].Energy += 100
		n.CPs[0].Alarm, n.CPs[0].ReaderTrouble, n.CPs[0].ReaderSince = "another", "another", n.At
		n.Books.Applied++
	})
	h.publish(true)
	if f, _ := h.nextFrame(r); f != nil {
		t.Errorf("a change that bob may not see is a frame: %s", f.raw)
	}
}

// TestWhatDoesNotChangeIsNotSent: books, parts, rows and numbers are sent when they
// change, and an idle connector's time now and then.
func TestWhatDoesNotChangeIsNotSent(t *testing.T) {
	t.Parallel()
	s := newScene(2)
	s.net.CPs[1].Connectors[0].SessionID = ""
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	r := h.subscribe(Audience{Staff: true}, "")
	next := func() string {
		h.publish(true)
		f, _ := h.nextFrame(r)
		if f == nil {
			return ""
		}
		_, data, _ := strings.Cut(string(f.raw), "data: ")
		_, data, _ = strings.Cut(data, ",") // without the time
		return strings.TrimSpace(data)
	}
	next()
	for _, step := range []struct {
		change func(*view.Network)
		want   string
	}{
		{func(*view.Network) {}, ""},
		{func(n *view.Network) { n.Books.Applied = 5 }, `"books":`},
		{func(n *view.Network) { n.CPs[0].Connectors[0].Power = 70 }, `"values":{"i":[0],"w":[70]}}`},
		{func(n *view.Network) { n.CPs[0].Unacked = 3 }, `"values":{"i":[0],"u":[3]}}`},
		{func(n *view.Network) { k := &n.CPs[0].Connectors[0]; k.Energy += 9; k.Register += 9 }, `"values":{"i":[0],"e":[9]}}`},
		{func(n *view.Network) { n.CPs[0].Connectors[0].Register = 99 }, `"values":{"i":[0],"r":[99]}}`},
		{func(n *view.Network) { n.CPs[0].Connectors[0].ValuesAt = n.At - 250 }, `"values":{"i":[0],"t":[200]}}`},
		{func(n *view.Network) { n.CPs[1].Connectors[0].ValuesAt = n.At }, `"values":{"i":[1],"t":[0]}}`},
		{func(n *view.Network) { n.CPs[1].Connectors[0].ValuesAt = n.At }, ""},
		{func(n *view.Network) { n.At += 4000; n.CPs[1].Connectors[0].ValuesAt = n.At }, `"values":{"i":[1],"t":[0]}}`},
		{func(n *view.Network) { n.CPs[0].Connectors[0].Power = 71; n.CPs[1].Connectors[0].Cost = "1.00" }, `"values":{"i":[0,1],"w":[71,null],"c":[null,"1.00"]}}`},
		{func(n *view.Network) { n.CPs[1].Connectors[0].Status = charge.StatusFaulted }, `"rows":[{"i":1,`},
		{func(n *view.Network) { n.Parts[0].State = view.PartDown }, `"parts":[`},
	} {
		s.change(step.change)
		got := next()
		if !strings.HasPrefix(got, step.want) || step.want == "" && got != "" || strings.Count(got, `":`) > 3 && strings.HasPrefix(step.want, `"values"`) && got != step.want {
			t.Errorf("got %s, want %s", got, step.want)
		}
	}
}

// TestAChangeOfAStateIsSentWithoutTheNumbersOfOthers: a frame between two ticks has
// the states that changed, with the numbers of their rows; all else waits for the
// tick.
func TestAChangeOfAStateIsSentWithoutTheNumbersOfOthers(t *testing.T) {
	t.Parallel()
	s := newScene(2)
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	var p watcher
	read, _ := open(t, h, &p, Audience{Staff: true})
	read()
	s.change(func(n *view.Network) {
		n.Books.Applied = 5
		n.CPs[0].Connectors[0].Power = 70
		n.CPs[1].Connectors[0].Power, n.CPs[1].Connectors[0].SessionID, n.CPs[1].Connectors[0].Energy = 80, "s-new", 0
	})
	h.publish(false)
	read()
	if got := fmt.Sprint(p.values[0]["w"], p.values[1]["w"], p.values[1]["e"], strings.Contains(p.rows[1], "s-new"), p.head["books"]); !strings.HasPrefix(got, "0 80 0 true") || strings.Contains(got, `"applied":5`) {
		t.Errorf("between two ticks the page shows %s", got)
	}
	h.publish(true)
	read()
	if got := fmt.Sprint(p.values[0]["w"], p.head["books"]); !strings.HasPrefix(got, "70{") || !strings.Contains(got, `"applied":5`) {
		t.Errorf("after the tick the page shows %s", got)
	}
	s.change(func(n *view.Network) { n.CPs[0].Connectors[0].Power, n.Books.Applied = 71, 6 })
	before := h.seq
	if h.publish(false); h.seq != before {
		t.Error("numbers alone are a frame between two ticks")
	}
}

// serveHub serves a hub's stream to staff.
func serveHub(tb testing.TB, h *hub) *httptest.Server {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r, Audience{Staff: true}, r.Header.Get("Last-Event-ID"))
	}))
	tb.Cleanup(server.Close)
	tb.Cleanup(h.close)
	return server
}

// watch opens a page over HTTP and calls each with the events, until the stream
// ends.
func watch(tb testing.TB, server *httptest.Server, each func(id string)) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		tb.Error(err)
		return
	}
	resp, err := server.Client().Do(req) // asks for gzip by itself
	if err != nil {
		tb.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			each(id)
		}
	}
}

// TestAStalledPageDelaysNoOther: 49 pages get each frame while another one reads
// nothing, and memory does not grow with the frames that it is behind.
func TestAStalledPageDelaysNoOther(t *testing.T) {
	s := newScene(50)
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	server := serveHub(t, h)
	const pages, frames = 49, 60
	var d net.Dialer
	stalled, err := d.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stalled.Close() }()
	if _, err := fmt.Fprintf(stalled, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got := make([]atomic.Int64, pages)
	arrived := make(chan struct{}, pages)
	for i := range pages {
		go watch(t, server, func(string) {
			got[i].Add(1)
			arrived <- struct{}{}
		})
	}
	for range pages {
		<-arrived // the snapshot
	}
	random := rand.New(rand.NewPCG(1, 2))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var early uint64
	for n := range frames {
		s.second(random)
		h.publish(true)
		for range pages {
			<-arrived
		}
		if n == frames/10 {
			early = heap()
		}
	}
	late := heap()
	t.Logf("heap: %d kB after %d frames, %d kB after %d", early>>10, frames/10, late>>10, frames)
	if late > early+1<<20 {
		t.Errorf("the heap grew from %d to %d kB", early>>10, late>>10)
	}
	for i := range got {
		if n := got[i].Load(); n != frames+1 {
			t.Errorf("page %d got %d frames, want %d", i, n, frames+1)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) != pages+1 {
		t.Errorf("%d pages are open, want %d with the stalled one", len(h.subscribers), pages+1)
	}
}

// TestAQuietStreamShowsThatItLives: without a change a page gets a frame every few
// seconds, and at the end a farewell.
func TestAQuietStreamShowsThatItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(newScene(1), time.Second, slog.New(slog.DiscardHandler))
		w := deadlines{httptest.NewRecorder()}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.serve(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody), Audience{Staff: true}, "")
		}()
		time.Sleep(2*quietInterval + quietInterval/2)
		h.close()
		<-done
		body := w.Body.String()
		if !strings.HasPrefix(body, "retry: 2000\n\nid: "+h.boot+".1\nevent: snapshot\n") || strings.Count(body, "id: "+h.boot+".1\nevent: delta\ndata: {\"at\":\"") != 2 ||
			!strings.HasSuffix(body, "event: bye\ndata: \""+streamClosed+"\"\n\n") {
			t.Errorf("got %s", body)
		}
	})
}

// deadlines is a recorder with deadlines, which it ignores.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }

// TestACompressedStreamIsValid: what a page gets is one gzip stream, whose frames
// can be read as they come and whose end is right.
func TestACompressedStreamIsValid(t *testing.T) {
	t.Parallel()
	s := newScene(20)
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	w := deadlines{httptest.NewRecorder()}
	out := newStreamWriter(w, "br, gzip;q=0.5", h.packed)
	var want []byte
	for range 5 {
		f := &frame{raw: bytes.Repeat([]byte("data: something\n"), 100)}
		want = append(want, f.raw...)
		if err := out.send(f); err != nil {
			t.Fatal(err)
		}
	}
	last := &frame{raw: []byte("event: bye\n\n")}
	if err := out.end(last); err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, append(want, last.raw...)) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	for accept, want := range map[string]bool{"": false, "gzip": true, "GZIP ; q=1": true, "gzip;q=0": false, "gzip; q=0.0": false, "deflate, br": false, "x-gzip": false, "identity, gzip;q=0.001": true} {
		if acceptsGzip(accept) != want {
			t.Errorf("Accept-Encoding %q: want %v", accept, want)
		}
	}
}

// TestTheStateOfARowHasNoNumbers: a number in it would send the row each second.
func TestTheStateOfARowHasNoNumbers(t *testing.T) {
	t.Parallel()
	n := newScene(1).net
	var names map[string]any
	if err := json.Unmarshal(mustJSON(makeRows(&n)[0].stateRow(0)), &names); err != nil {
		t.Fatal(err)
	}
	want := []string{"admitted", "agent", "available", "connector", "cp_id", "currency", "i", "link", "link_since", "name", "place", "rated_w", "session_id", "simulated", "status", "username"}
	if got := slices.Sorted(maps.Keys(names)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// BenchmarkTick is one second of 1,000 charging connectors: the network is read,
// compared and encoded once.
func BenchmarkTick(b *testing.B) {
	s := newScene(1000)
	h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
	r := h.subscribe(Audience{Staff: true}, "")
	snapshot, _ := h.nextFrame(r)
	random := rand.New(rand.NewPCG(1, 2))
	var raw, packed, frames int
	for b.Loop() {
		b.StopTimer()
		s.second(random)
		b.StartTimer()
		h.publish(true)
		f, _ := h.nextFrame(r)
		raw, packed, frames = raw+len(f.raw), packed+len(h.packed(f)), frames+1
	}
	b.ReportMetric(float64(raw)/float64(frames), "raw-B/tick")
	b.ReportMetric(float64(packed)/float64(frames), "gzip-B/tick")
	b.ReportMetric(float64(len(snapshot.raw)), "raw-B/snapshot")
	b.ReportMetric(float64(len(h.packed(snapshot))), "gzip-B/snapshot")
}

// BenchmarkFiftyPages is one second of 1,000 charging connectors with 50 pages over
// HTTP; the time is that of both ends.
func BenchmarkFiftyPages(b *testing.B) {
	for _, name := range []string{"gzip", "identity"} {
		b.Run(name, func(b *testing.B) {
			s := newScene(1000)
			h := newHub(s, time.Second, slog.New(slog.DiscardHandler))
			server := serveHub(b, h)
			server.Client().Transport.(*http.Transport).DisableCompression = name == "identity"
			arrived := make(chan struct{}, 50)
			for range 50 {
				go watch(b, server, func(string) { arrived <- struct{}{} })
			}
			for range 50 {
				<-arrived
			}
			random := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				b.StopTimer()
				s.second(random)
				b.StartTimer()
				h.publish(true)
				for range 50 {
					<-arrived
				}
			}
			h.close()
		})
	}
}
