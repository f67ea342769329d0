package operator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/carga-ev/carga/internal/charge"
)

// Ticket is what is read of a ticket.
type Ticket struct {
	ID        string             `json:"ticket_id"`
	SessionID charge.SessionID   `json:"session_id"`
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"`
	Username  charge.Username    `json:"username"`
	Energy    charge.WattHours   `json:"energy_wh"`
	Reason    charge.StopReason  `json:"reason"`
}

// Gap is what is read of a range of records that cannot come any more.
type Gap struct {
	ID     int64       `json:"hole_id"`
	CPID   charge.CPID `json:"cp_id"`
	Cause  string      `json:"cause"`
	Filled bool        `json:"filled"`
}

// Alarm is what is read of something that an operator should look at.
type Alarm struct {
	CPID charge.CPID `json:"cp_id"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
}

// Tickets lists every ticket, newest first.
func (a *API) Tickets(ctx context.Context) ([]Ticket, error) {
	return list[Ticket](ctx, a, "/tickets", "")
}

// Gaps lists every hole, newest first.
func (a *API) Gaps(ctx context.Context) ([]Gap, error) { return list[Gap](ctx, a, "/holes", "") }

// Alarms lists the alarms that are open, newest first.
func (a *API) Alarms(ctx context.Context) ([]Alarm, error) {
	return list[Alarm](ctx, a, "/alarms", "open")
}

// Reserve asks for a connector of a charging point for a driver.
func (a *API) Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, who charge.Username) error {
	in := map[string]any{"cp_id": cp, "connector": n, "username": who}
	return a.call(ctx, http.MethodPost, "/reservations", in, nil)
}

// Release ends the quarantine of an identity.
func (a *API) Release(ctx context.Context, cp charge.CPID) error {
	return a.call(ctx, http.MethodPost, "/cps/"+url.PathEscape(string(cp))+"/release", nil, nil)
}

// Settle ends an orphaned session with a ticket up to its last known register.
func (a *API) Settle(ctx context.Context, id charge.SessionID) error {
	return a.call(ctx, http.MethodPost, "/sessions/"+url.PathEscape(string(id))+"/settle", nil, nil)
}

// Explain writes beside a hole what was found.
func (a *API) Explain(ctx context.Context, hole int64, words string) error {
	return a.call(ctx, http.MethodPost, "/holes/"+strconv.FormatInt(hole, 10)+"/explain", map[string]any{"words": words}, nil)
}
