package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// api is Central's HTTP API as the demo uses it: like any other operator's
// program.
type api struct {
	base   string
	client *http.Client
}

// callLimit bounds one call.
const callLimit = 5 * time.Second

func newAPI(addr string) *api {
	return &api{base: "http://" + addr + "/api/v1", client: &http.Client{Timeout: callLimit}}
}

// close gives the connections back.
func (a *api) close() { a.client.CloseIdleConnections() }

// network is what the demo reads of GET /network.
type network struct {
	At    charge.Time `json:"at"`
	Parts []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"parts"`
	Books struct {
		Announced int64 `json:"announced"`
		Applied   int64 `json:"applied"`
	} `json:"books"`
	CPs []struct {
		ID         charge.CPID `json:"cp_id"`
		Admitted   bool        `json:"admitted"`
		Link       string      `json:"link"`
		Connectors []struct {
			Status        charge.Status `json:"status"`
			ReservedUntil charge.Time   `json:"reserved_until"`
		} `json:"connectors"`
	} `json:"cps"`
}

type session struct {
	ID    charge.SessionID `json:"session_id"`
	State string           `json:"state"`
}

type reservation struct {
	ID    charge.ReservationID `json:"reservation_id"`
	State string               `json:"state"`
}

func (a *api) network(ctx context.Context) (network, error) {
	var n network
	err := a.call(ctx, http.MethodGet, "/network", &n)
	return n, err
}

func (a *api) stopSession(ctx context.Context, id charge.SessionID) error {
	return a.call(ctx, http.MethodPost, "/sessions/"+url.PathEscape(string(id))+"/stop", nil)
}

func (a *api) cancelReservation(ctx context.Context, id charge.ReservationID) error {
	return a.call(ctx, http.MethodPost, "/reservations/"+url.PathEscape(string(id))+"/cancel", nil)
}

// all reads a whole list, page by page, newest first; state "" is every one.
func all[T any](ctx context.Context, a *api, list, state string) ([]T, error) {
	var items []T
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
		if err := a.call(ctx, http.MethodGet, "/"+list+"?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.Next == "" || page.Next == after {
			return items, nil
		}
		after = page.Next
	}
}

// refusedError is an answer of Central that is not the one wished for.
type refusedError struct {
	status int
	detail string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("central answered %d: %s", e.status, e.detail)
}

func (a *api) call(ctx context.Context, method, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask Central: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		var p struct {
			Detail string `json:"detail"`
		}
		_ = json.Unmarshal(raw, &p) // without a detail the status has to do
		return &refusedError{resp.StatusCode, p.Detail}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
