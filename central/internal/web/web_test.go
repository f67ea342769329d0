package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// network is a Live whose state the test sets.
type network struct {
	mu      sync.Mutex
	net     view.Network
	changed chan struct{}
	facts   []view.Fact
}

func newNetwork() *network {
	return &network{changed: make(chan struct{}), net: view.Network{
		At: 1000, Central: charge.Epoch{Number: 1, Run: "00000000000000c1"},
		Parts: []view.Part{{Name: "kafka", State: "up", Since: 500}},
		CPs: []view.CP{{ID: "CP_001", Admitted: true, Link: "online", Connectors: []view.Connector{
			{Connector: 1, Status: charge.StatusAvailable, Available: true},
		}}},
	}}
}

func (n *network) Network() view.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.net
}

func (n *network) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func (n *network) Facts(after uint64) ([]view.Fact, uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.facts[min(after, uint64(len(n.facts))):], uint64(len(n.facts))
}

func (*network) Series(cp charge.CPID, n charge.ConnectorID, from, to charge.Time) (all []view.Point) {
	for at := max(from, 10_000); at < min(to, 20_000) && cp == "CP_001" && n == 1; at += 1000 {
		all = append(all, view.Point{At: at, Power: 7200, Register: 2})
	}
	return all
}

func (*network) BridgeDeadLetters() []view.BridgeDeadLetter { return nil }

// set replaces the only connector, and adds a fact.
func (n *network) set(c view.Connector, fact string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	cp := n.net.CPs[0]
	cp.Connectors = []view.Connector{c}
	n.net.CPs = []view.CP{cp}
	n.facts = append(n.facts, view.Fact{N: uint64(len(n.facts) + 1), Kind: "ticket", Text: fact})
	close(n.changed)
	n.changed = make(chan struct{})
}

// orderLog is an Orders that records its calls and answers as the test wants.
type orderLog struct {
	mu       sync.Mutex
	received []string
	keys     []web.Idempotency // of the calls
	answer   web.Answer
	err      error
	seen     func(ctx context.Context) // called with the context of each call; may be nil
}

func (d *orderLog) receive(ctx context.Context, format string, args ...any) (web.Answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen != nil {
		d.seen(ctx)
	}
	once := web.IdempotencyOf(ctx)
	if refused := map[string]string{"taken": "idempotency_key_reused", "too many": "too_many_keys"}[once.Key]; refused != "" {
		return web.Answer{Reason: refused}, nil
	}
	d.keys = append(d.keys, once)
	d.received = append(d.received, fmt.Sprintf(format, args...))
	return d.answer, d.err
}

func (d *orderLog) Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username) (web.Answer, error) {
	return d.receive(ctx, "reserve %s %d %s", cp, n, username)
}

func (d *orderLog) Cancel(ctx context.Context, id charge.ReservationID) (web.Answer, error) {
	return d.receive(ctx, "cancel %s", id)
}

func (d *orderLog) Start(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username, limit charge.SessionLimit) (web.Answer, error) {
	return d.receive(ctx, "start %s %d %s%s", cp, n, username, upTo(limit))
}

func (d *orderLog) Charge(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username, limit charge.SessionLimit) (web.Answer, error) {
	return d.receive(ctx, "charge %s %d %s%s", cp, n, username, upTo(limit))
}

// upTo names a limit; "" without one.
func upTo(l charge.SessionLimit) string {
	if l == (charge.SessionLimit{}) {
		return ""
	}
	return fmt.Sprintf(" up to %d %d", l.Energy, l.Amount)
}

func (d *orderLog) Stop(ctx context.Context, id charge.SessionID) (web.Answer, error) {
	return d.receive(ctx, "stop %s", id)
}

func (d *orderLog) SetAvailability(ctx context.Context, cp charge.CPID, n charge.ConnectorID, a bool) (web.Answer, error) {
	return d.receive(ctx, "availability %s %d %v", cp, n, a)
}

func (d *orderLog) Simulate(ctx context.Context, cp charge.CPID, n charge.ConnectorID, o wire.Simulate) (web.Answer, error) {
	return d.receive(ctx, "simulate %s %d %s %s%s", cp, n, o.Action, o.Fault, string(o.Card))
}

func (d *orderLog) OnSite(ctx context.Context, cp charge.CPID, n charge.ConnectorID, action web.SiteAction) (web.Answer, error) {
	return d.receive(ctx, "on site %s %d %s", cp, n, action)
}

func (d *orderLog) Admit(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.receive(ctx, "admit %s", cp)
}

func (d *orderLog) PassNext(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.receive(ctx, "pass next %s", cp)
}

func (d *orderLog) Release(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.receive(ctx, "release %s", cp)
}

func (d *orderLog) Settle(ctx context.Context, id charge.SessionID) (web.Answer, error) {
	return d.receive(ctx, "settle %s", id)
}

func (d *orderLog) Explain(ctx context.Context, gap int64, note string) (web.Answer, error) {
	return d.receive(ctx, "explain %d %s", gap, note)
}

func (d *orderLog) SetCP(ctx context.Context, c web.CPChange) (web.Answer, error) {
	return d.receive(ctx, "set %s version %d %s", c.CPID, c.Version, *c.Name)
}

func (d *orderLog) AddTariff(ctx context.Context, t ledger.Tariff) (web.Answer, error) {
	return d.receive(ctx, "tariff %s %d %d %d %d %d %s from %d", t.Version, t.StartFee, t.PerKWh, t.PerMinute, t.PerIdleMinute, t.Tax, t.Currency, t.ValidFrom)
}

func (d *orderLog) SaveGroup(ctx context.Context, g orders.Group) (web.Answer, error) {
	return d.receive(ctx, "group %q version %d %s %d %v", g.ID, g.Version, g.Name, g.Limit, g.CPs)
}

func (d *orderLog) DeleteGroup(ctx context.Context, id orders.GroupID, version int64) (web.Answer, error) {
	return d.receive(ctx, "delete group %s version %d", id, version)
}

func (d *orderLog) AddCard(ctx context.Context, c cards.Card) (web.Answer, error) {
	text := fmt.Sprintf("card %s %s of %s offline %v until %d", string(c.Hash), c.LastFour, c.Username, c.Offline, c.ExpiresAt)
	if c.HasLimit() {
		text += fmt.Sprintf(" limit %d Wh %d", c.Limit.Energy, c.Limit.Amount)
	}
	return d.receive(ctx, "%s", text)
}

func (d *orderLog) ChangeCard(ctx context.Context, id cards.ID, c web.CardChange) (web.Answer, error) {
	text := "card " + string(id)
	if c.Blocked != nil {
		text += fmt.Sprintf(" blocked %v", *c.Blocked)
	}
	if c.ExpiresAt != nil {
		text += fmt.Sprintf(" until %d", *c.ExpiresAt)
	}
	if c.LimitEnergy != nil {
		text += fmt.Sprintf(" limit %d Wh", *c.LimitEnergy)
	}
	if c.LimitAmount != nil {
		text += fmt.Sprintf(" limit amount %d", *c.LimitAmount)
	}
	if c.Delete {
		text += " deleted"
	}
	return d.receive(ctx, "%s", text)
}

func (d *orderLog) Replay(ctx context.Context, id int64) (web.Answer, error) {
	return d.receive(ctx, "replay %d", id)
}

func (d *orderLog) ClearAlarm(ctx context.Context, alarm int64, note string) (web.Answer, error) {
	return d.receive(ctx, "clear alarm %d %s", alarm, note)
}

func (d *orderLog) Lift(ctx context.Context) (web.Answer, error) { return d.receive(ctx, "lift") }

func (d *orderLog) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.received, "; ")
}

// archive holds one command, and as many tickets as rows, numbered from 0.
type archive struct {
	mu      sync.Mutex
	command *view.Command
	rows    int
	gone    bool
	queries []view.Query
	err     error
}

func (a *archive) note(q view.Query) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queries = append(a.queries, q)
	if a.gone && q.After != "" {
		return view.ErrGone
	}
	return a.err
}

func (a *archive) Sessions(_ context.Context, q view.Query) ([]view.Session, error) {
	return nil, a.note(q)
}

func (a *archive) Tickets(_ context.Context, q view.Query) (list []view.Ticket, err error) {
	first := 0
	if q.After != "" {
		last, err := strconv.Atoi(q.After)
		if err != nil {
			return nil, err
		}
		first = last + 1
	}
	for n := first; n < a.rows && len(list) < q.Limit; n++ {
		list = append(list, view.Ticket{ID: strconv.Itoa(n), Username: "=Jürgen 漢,;\"", Cost: "-3.42", Tax: "-0.59", TaxPercent: "21", Clock: ledger.ClockCorrected, Adopted: true, Lines: []view.Line{
			{Kind: "start", Amount: "-1.00"}, {Kind: "energy", Amount: "-2.42"},
		}})
	}
	return list, a.note(q)
}

func (a *archive) Reservations(_ context.Context, q view.Query) ([]view.Reservation, error) {
	return nil, a.note(q)
}

func (a *archive) Commands(_ context.Context, q view.Query) ([]view.Command, error) {
	return nil, a.note(q)
}

func (a *archive) Records(_ context.Context, q view.Query) ([]view.Record, error) {
	return nil, a.note(q)
}

func (*archive) Tariffs(context.Context) (view.TariffList, error) {
	return view.TariffsAt(ledger.Tariffs{{Version: "t1", Currency: "EUR", PerKWh: 427_500, Tax: 1900, ValidFrom: 1}}, 2), nil
}

func (a *archive) PreviewTariff(_ context.Context, q view.Query, t ledger.Tariff) (view.TariffPreview, error) {
	return view.PreviewOf(nil, t), a.note(q)
}

func (*archive) CPSettings(_ context.Context, cp charge.CPID) (*view.CPSettings, error) {
	return only(cp, "CP_001", view.CPSettings{CPID: cp, Name: "Bay 1", Version: 4}), nil
}

func (a *archive) DeadLetters(_ context.Context, q view.Query) ([]view.DeadLetter, error) {
	return nil, a.note(q)
}

func (a *archive) Gaps(_ context.Context, q view.Query) ([]view.Gap, error) { return nil, a.note(q) }

func (a *archive) Cards(_ context.Context, q view.Query) ([]view.Card, error) {
	return nil, a.note(q)
}

func (*archive) Groups(context.Context) (view.GroupList, error) {
	return view.GroupList{Groups: []view.Group{}}, nil
}

func (*archive) Card(_ context.Context, _ charge.Username, id cards.ID) (*view.Card, error) {
	return only(id, "1", view.Card{ID: id}), nil
}

func (a *archive) Alarms(_ context.Context, q view.Query) ([]view.Alarm, error) {
	return nil, a.note(q)
}

func (a *archive) Audit(_ context.Context, q view.Query) ([]access.Entry, error) {
	return nil, a.note(q)
}

func (*archive) Series(_ context.Context, _ charge.CPID, _ charge.ConnectorID, from, to charge.Time, _ int) (all []view.Point, err error) {
	for at := from; at < to; at += 1000 {
		all = append(all, view.Point{At: at, Power: 11_000, Register: 1})
	}
	return all, nil
}

func (a *archive) SumTickets(_ context.Context, q view.Query, p view.Period) ([]view.TicketTotal, error) {
	return []view.TicketTotal{{Period: string(p), Currency: "EUR", Tickets: 2, Cost: "3.42"}}, a.note(q)
}

// only is v for the id "1".
func only[K comparable, T any](id, known K, v T) *T {
	if id != known {
		return nil
	}
	return &v
}

func (*archive) Session(_ context.Context, _ charge.Username, id charge.SessionID) (*view.Session, error) {
	return only(id, "1", view.Session{ID: id}), nil
}

func (*archive) Ticket(_ context.Context, _ charge.Username, id string) (*view.Ticket, error) {
	return only(id, "1", view.Ticket{ID: id}), nil
}

func (*archive) Reservation(_ context.Context, _ charge.Username, id charge.ReservationID) (*view.Reservation, error) {
	return only(id, "1", view.Reservation{ID: id}), nil
}

func (*archive) Gap(_ context.Context, id int64) (*view.Gap, error) {
	return only(id, 1, view.Gap{ID: id}), nil
}

func (*archive) Alarm(_ context.Context, id int64) (*view.Alarm, error) {
	return only(id, 1, view.Alarm{ID: id}), nil
}

func (a *archive) Command(_ context.Context, _ charge.Username, id charge.CommandID) (*view.Command, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.command == nil || a.command.ID != id {
		return nil, a.err
	}
	c := *a.command
	return &c, a.err
}

type fixture struct {
	live    *network
	orders  *orderLog
	archive *archive
	server  *web.Server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{live: newNetwork(), orders: &orderLog{answer: web.Answer{Accepted: true, Commands: []charge.CommandID{"k-1"}}}, archive: &archive{}}
	s, err := web.New(web.Config{}, f.live, f.orders, f.archive, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	return f
}

func (f *fixture) do(t *testing.T, method, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	f.server.Handler().ServeHTTP(w, r)
	return w
}

// TestOrders: Orders receives each order as it was sent, and the answer names its
// command.
func TestOrders(t *testing.T) {
	for _, c := range []struct{ path, body, want string }{
		{"/api/v1/reservations", `{"username":"driver1"}`, "reserve  0 driver1"},
		{"/api/v1/reservations", `{"cp_id":"CP_001","connector":1,"username":"driver1"}`, "reserve CP_001 1 driver1"},
		{"/api/v1/reservations/r-1/cancel", ``, "cancel r-1"},
		{"/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"driver1"}`, "start CP_001 1 driver1"},
		{"/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"driver1","limit_wh":7000}`, "start CP_001 1 driver1 up to 7000 0"},
		{"/api/v1/charges", `{"username":"driver1","limit_wh":7000,"limit_amount":350}`, "charge  0 driver1 up to 7000 350"},
		{"/api/v1/sessions/s-1/stop", ``, "stop s-1"},
		{"/api/v1/availability", `{"all":true,"available":false}`, "availability  0 false"},
		{"/api/v1/availability", `{"cp_id":"CP_001","available":true}`, "availability CP_001 0 true"},
		{"/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"fault","fault":"ground_fault"}`, "simulate CP_001 1 fault ground_fault"},
		{"/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"tap","uid":"04a1b2c3"}`, "simulate CP_001 1 tap " + string(charge.IDToken("04A1B2C3").Hash())},
		{"/api/v1/cps/CP_001/connectors/1/simulate", `{"action":"tap","token_hash":"` + string(charge.IDToken("04A1B2C3").Hash()) + `"}`, "simulate CP_001 1 tap " + string(charge.IDToken("04A1B2C3").Hash())},
	} {
		f := newFixture(t)
		w := f.do(t, http.MethodPost, c.path, c.body)
		if w.Code != http.StatusAccepted || w.Header().Get("Location") != "/api/v1/commands/k-1" {
			t.Errorf("%s: %d %q %s", c.path, w.Code, w.Header().Get("Location"), w.Body)
		}
		if got := f.orders.all(); got != c.want {
			t.Errorf("%s: Orders received %q, want %q", c.path, got, c.want)
		}
	}
}

// TestDecisions: Orders receives each decision of an operator; it is answered once
// it is committed, or refused with a reason.
func TestDecisions(t *testing.T) {
	for _, c := range []struct{ path, body, want string }{
		{"/api/v1/cps/CP_001/admit", ``, "admit CP_001"},
		{"/api/v1/cps/CP_001/pass-next", ``, "pass next CP_001"},
		{"/api/v1/cps/CP_001/release", ``, "release CP_001"},
		{"/api/v1/sessions/s-1/settle", ``, "settle s-1"},
		{"/api/v1/gaps/7/explain", `{"note":"the card was replaced"}`, "explain 7 the card was replaced"},
		{"/api/v1/dead-letters/7/replay", ``, "replay 7"},
		{"/api/v1/alarms/7/clear", `{"note":"ann: the card was replaced"}`, "clear alarm 7 ann: the card was replaced"},
		{"/api/v1/central/lift-fence", ``, "lift"},
	} {
		f := newFixture(t)
		f.orders.answer = web.Answer{Accepted: true}
		if w := f.do(t, http.MethodPost, c.path, c.body); w.Code != http.StatusOK || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %q %s", c.path, w.Code, w.Header().Get("Location"), w.Body)
		}
		if got := f.orders.all(); got != c.want {
			t.Errorf("%s: Orders received %q, want %q", c.path, got, c.want)
		}
		f.orders.answer = web.Answer{Reason: "not_possible", Message: "nothing holds it up"}
		if w := f.do(t, http.MethodPost, c.path, c.body); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "nothing holds it up") {
			t.Errorf("%s refused: %d %s", c.path, w.Code, w.Body)
		}
		f.orders.answer = web.Answer{Reason: "unknown_gap"}
		if w := f.do(t, http.MethodPost, c.path, c.body); w.Code != http.StatusNotFound {
			t.Errorf("%s of nothing: %d %s", c.path, w.Code, w.Body)
		}
	}
}

// TestRefusals: a refusal of the domain is a conflict with its own type, an
// internal error does not reach the client.
func TestRefusals(t *testing.T) {
	f := newFixture(t)
	f.orders.answer = web.Answer{Reason: "cp_busy"}
	w := f.do(t, http.MethodPost, "/api/v1/reservations", `{"username":"d"}`)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "PROBLEMS.md#cp_busy") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.orders.answer, f.orders.err = web.Answer{}, errors.New("disk I/O error at /var/lib/secret.db")
	w = f.do(t, http.MethodPost, "/api/v1/reservations", `{"username":"d"}`)
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestAnOrderUnderWay: an order that may have been committed is not refused.
func TestAnOrderUnderWay(t *testing.T) {
	f := newFixture(t)
	f.orders.err = web.ErrUnderWay
	for _, path := range []string{"/api/v1/sessions/s-1/stop", "/api/v1/sessions/s-1/settle"} {
		w := f.do(t, http.MethodPost, path, "")
		if w.Code != http.StatusAccepted || w.Header().Get("Location") != "/api/v1/commands" || !strings.Contains(w.Body.String(), `"reason":"under_way"`) {
			t.Errorf("%s: %d, Location %q, %s", path, w.Code, w.Header().Get("Location"), w.Body)
		}
	}
}

// TestWaitForCommand: with wait the answer comes when the command has ended.
func TestWaitForCommand(t *testing.T) {
	f := newFixture(t)
	f.archive.command = &view.Command{ID: "k-1", State: "sent"}
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- f.do(t, http.MethodGet, "/api/v1/commands/k-1?wait=30s", "") }()
	f.archive.mu.Lock()
	f.archive.command = &view.Command{ID: "k-1", State: "done", EndedAt: 7}
	f.archive.mu.Unlock()
	f.live.set(view.Connector{Connector: 1}, "ended")
	if w := <-done; !strings.Contains(w.Body.String(), `"done"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestPage: the page is served with a policy that allows no foreign code, and the
// description of the API is there.
func TestPage(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/", "/cp/CP_001", "/api/v1/openapi.json", "/api/v1/network"} {
		w := f.do(t, http.MethodGet, path, "")
		if w.Code != http.StatusOK || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d, %d bytes, %v", path, w.Code, w.Body.Len(), w.Header())
		}
	}
}

// TestStream: an open page gets a snapshot, then what changed, then a farewell;
// nothing is left running.
func TestStream(t *testing.T) {
	defer goleak.VerifyNone(t)
	f := newFixture(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.server.Run(ctx, l) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/api/v1/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	expect := func(kind string, parts ...string) {
		t.Helper()
		name := ""
		for lines.Scan() {
			line := lines.Text()
			if e, ok := strings.CutPrefix(line, "event: "); ok {
				name = e
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && name == kind && containsAll(data, parts) {
				return
			}
		}
		t.Fatalf("the stream ended before %s with %q", kind, parts)
	}
	expect("snapshot", `"cp_id":"CP_001"`, `"status":"available"`, `"kafka"`)
	f.live.set(view.Connector{Connector: 1, Status: charge.StatusCharging, SessionID: "s-1", Power: 7200, Energy: 10, Cost: "0.03", Currency: "EUR", ValuesAt: 99}, "a ticket was made")
	expect("delta", `"status":"charging"`, `"w":[7200]`, `"t":[900]`, "a ticket was made")
	stop()
	expect("bye")
	_, _ = io.Copy(io.Discard, resp.Body)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// A moment that is not known is left out, and is no day in 1970.
func TestWhatIsNotKnownHasNoMoment(t *testing.T) {
	t.Parallel()
	for _, v := range []any{view.CP{}, view.Connector{}, view.Session{}, view.Ticket{}} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "1970") {
			t.Errorf("%T of which nothing is known: %s", v, raw)
		}
	}
}
