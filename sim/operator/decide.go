package operator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/carga-ev/carga/internal/charge"
)

// Ticket is an item of GET /tickets.
type Ticket struct {
	ID        string             `json:"ticket_id"`
	SessionID charge.SessionID   `json:"session_id"`
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"`
	Username  charge.Username    `json:"username"`
	Energy    charge.WattHours   `json:"energy_wh"`
	Reason    charge.StopReason  `json:"reason"`
}

// Gap is an item of GET /gaps: a range of records that are missing for good.
type Gap struct {
	ID     int64       `json:"gap_id"`
	CPID   charge.CPID `json:"cp_id"`
	Cause  string      `json:"cause"`
	Filled bool        `json:"filled"`
}

// Alarm is an item of GET /alarms: a condition that an operator should look at.
type Alarm struct {
	CPID charge.CPID `json:"cp_id"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
}

// Tickets lists all tickets, newest first.
func (a *API) Tickets(ctx context.Context) ([]Ticket, error) {
	return list[Ticket](ctx, a, "/tickets", "")
}

// Gaps lists all gaps, open and filled, newest first.
func (a *API) Gaps(ctx context.Context) ([]Gap, error) { return list[Gap](ctx, a, "/gaps", "") }

// Alarms lists the alarms that are open, newest first.
func (a *API) Alarms(ctx context.Context) ([]Alarm, error) {
	return list[Alarm](ctx, a, "/alarms", "open")
}

// Reserve orders a reservation of a connector for a driver.
func (a *API) Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, driver charge.Username) error {
	in := map[string]any{"cp_id": cp, "connector": n, "username": driver}
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

// Explain adds a note to a gap, which clears its alarm.
func (a *API) Explain(ctx context.Context, gap int64, note string) error {
	return a.call(ctx, http.MethodPost, "/gaps/"+strconv.FormatInt(gap, 10)+"/explain", map[string]any{"note": note}, nil)
}
