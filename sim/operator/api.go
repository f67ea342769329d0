// Package operator is a client of Central's HTTP API, with as much of it as the
// demo, the tests and the chaos runs use, and a Drainer that ends everything that
// is open.
//
// Its types hold only the fields that a caller needs, in the form of the JSON.
package operator

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/carga-ev/carga/internal/backoff"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
)

// API is Central's HTTP API. It is safe for concurrent use.
type API struct {
	base   string
	token  string
	client *http.Client
}

// New returns a client of the Central at HOST:PORT. limit bounds one HTTP request,
// because a Central that was frozen accepts connections and does not answer.
func New(addr string, limit time.Duration) *API {
	return &API{base: "http://" + addr + "/api/v1", client: &http.Client{Timeout: limit}}
}

// NewWithToken returns a client that sends a token with each request.
func NewWithToken(addr, token string, limit time.Duration) *API {
	a := New(addr, limit)
	a.token = token
	return a
}

// Close closes the idle connections.
func (a *API) Close() { a.client.CloseIdleConnections() }

// View is the answer of GET /network.
type View struct {
	At    charge.Time `json:"at"`
	Parts []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"parts"`
	Books struct {
		Announced   int64            `json:"announced"`
		Applied     int64            `json:"applied"`
		Unacked     int64            `json:"unacked"`
		Duplicates  int64            `json:"duplicates"`
		Lost        int64            `json:"lost"`
		Twice       int64            `json:"twice"`
		Unaccounted charge.WattHours `json:"unaccounted_wh"`
	} `json:"books"`
	CPs []PointView `json:"cps"`
}

// PointView is one charging point as Central shows it. Unacked counts its records
// that are not in Central's database; 0 for all points means that Central is
// complete.
type PointView struct {
	ID         charge.CPID     `json:"cp_id"`
	Admitted   bool            `json:"admitted"`
	Link       string          `json:"link"`
	LastSeenAt charge.Time     `json:"last_seen_at"`
	Unacked    int64           `json:"unacked"`
	Connectors []ConnectorView `json:"connectors"`
}

// ConnectorView is one connector as Central shows it.
type ConnectorView struct {
	Connector     charge.ConnectorID `json:"connector"`
	Status        charge.Status      `json:"status"`
	SessionID     charge.SessionID   `json:"session_id"`
	ReservedUntil charge.Time        `json:"reserved_until"`
	Energy        charge.WattHours   `json:"energy_wh"` // of the session
}

// Point returns one charging point; nil if Central does not know it.
func (v *View) Point(id charge.CPID) *PointView {
	for i := range v.CPs {
		if v.CPs[i].ID == id {
			return &v.CPs[i]
		}
	}
	return nil
}

// Up reports whether a part of the pipeline ("mqtt", "bridge", "kafka", "central")
// is up.
func (v *View) Up(part string) bool {
	for _, p := range v.Parts {
		if p.Name == part {
			return p.State == "up"
		}
	}
	return false
}

// Session is an item of GET /sessions.
type Session struct {
	ID        charge.SessionID   `json:"session_id"`
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"`
	State     string             `json:"state"`
	Reason    charge.StopReason  `json:"reason"`
	Start     charge.WattHours   `json:"register_start_wh"`
	Last      charge.WattHours   `json:"register_wh"`
}

// Reservation is an item of GET /reservations.
type Reservation struct {
	ID        charge.ReservationID `json:"reservation_id"`
	CPID      charge.CPID          `json:"cp_id"`
	State     string               `json:"state"`
	ExpiresAt charge.Time          `json:"expires_at"`
}

// Network returns the whole network now.
func (a *API) Network(ctx context.Context) (View, error) {
	var v View
	err := a.call(ctx, http.MethodGet, "/network", nil, &v)
	return v, err
}

// StartSession orders a session for a driver at a connector and returns its id. The
// session begins when the charging point has confirmed it.
func (a *API) StartSession(ctx context.Context, cp charge.CPID, n charge.ConnectorID, driver charge.Username) (charge.SessionID, error) {
	var answer struct {
		SessionID charge.SessionID `json:"session_id"`
	}
	in := map[string]any{"cp_id": cp, "connector": n, "username": driver}
	err := a.call(ctx, http.MethodPost, "/sessions", in, &answer)
	return answer.SessionID, err
}

// StopSession orders the end of a session.
func (a *API) StopSession(ctx context.Context, id charge.SessionID) error {
	return a.call(ctx, http.MethodPost, "/sessions/"+url.PathEscape(string(id))+"/stop", nil, nil)
}

// CancelReservation orders the end of a reservation.
func (a *API) CancelReservation(ctx context.Context, id charge.ReservationID) error {
	return a.call(ctx, http.MethodPost, "/reservations/"+url.PathEscape(string(id))+"/cancel", nil, nil)
}

// Sessions lists the sessions in a state, newest first; "" means all states.
func (a *API) Sessions(ctx context.Context, state string) ([]Session, error) {
	return list[Session](ctx, a, "/sessions", state)
}

// Reservations lists the reservations in a state, newest first; "" means all
// states.
func (a *API) Reservations(ctx context.Context, state string) ([]Reservation, error) {
	return list[Reservation](ctx, a, "/reservations", state)
}

// list reads a whole list, page by page. It also ends if Central repeats a cursor.
func list[T any](ctx context.Context, a *API, path, state string) ([]T, error) {
	var items []T
	// Items may be added and deleted meanwhile: a cursor names a row, so none is
	// returned twice.
	after := ""
	for {
		q := url.Values{"limit": {"500"}}
		if state != "" {
			q.Set("state", state)
		}
		if after != "" {
			q.Set("after", after)
		}
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		if err := a.call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.Next == "" || page.Next == after { // the last page, or no progress
			return items, nil
		}
		after = page.Next
	}
}

// RefusedError is an answer of Central with a status other than 2xx.
type RefusedError struct {
	Status int    // of HTTP
	Detail string // of the problem (RFC 9457); "" if the answer has none
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("central answered %d: %s", e.Status, e.Detail)
}

// How often and how soon an order without an answer is retried.
const (
	tries      = 3
	firstPause = 100 * time.Millisecond
	lastPause  = time.Second
)

// call sends one request and decodes its answer into out, unless that is nil. A
// POST has an Idempotency-Key and is retried with it while its outcome is unknown,
// but only a few times: Central may be down for long, and the caller decides then.
func (a *API) call(ctx context.Context, method, path string, in, out any) error {
	if method != http.MethodPost {
		return a.send(ctx, method, path, "", in, out)
	}
	// All tries have the same key: Central executes the order once.
	key := ids.New(time.Now(), rand.Reader)
	pause := backoff.New(firstPause, lastPause, nil)
	for try := 1; ; try++ {
		err := a.send(ctx, method, path, key, in, out)
		if try == tries || !outcomeUnknown(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause.Next()):
		}
	}
}

// outcomeUnknown reports whether an order may have had its effect although it
// failed: there was no answer, or a status of 5xx.
func outcomeUnknown(err error) bool {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Status >= http.StatusInternalServerError
	}
	return err != nil
}

// send sends one HTTP request; key "" means no Idempotency-Key.
func (a *API) send(ctx context.Context, method, path, key string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("request to Central: %w", err)
	}
	// 64 MiB is more than any page of a list; a broken server must not fill the memory.
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		var p struct {
			Detail string `json:"detail"`
		}
		_ = json.Unmarshal(raw, &p) // a proxy's answer has no detail; the status is enough
		return &RefusedError{resp.StatusCode, p.Detail}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
