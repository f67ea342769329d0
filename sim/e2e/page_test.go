package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// The parts of Central's API that the tests read.
type (
	network struct {
		Parts []part `json:"parts"`
		Books struct {
			Applied, Unacked, Duplicates, Lost, Alarms int64
			Gaps                                       int64
			DeadLetters                                int64 `json:"dead_letters"`
		} `json:"books"`
		CPs []struct {
			ID         charge.CPID `json:"cp_id"`
			Link       string      `json:"link"`
			Connectors []struct {
				Status        charge.Status        `json:"status"`
				SessionID     charge.SessionID     `json:"session_id"`
				Username      charge.Username      `json:"username"`
				ReservationID charge.ReservationID `json:"reservation_id"`
				ReservedUntil charge.Time          `json:"reserved_until"`
				ValuesAt      charge.Time          `json:"values_at"`
			} `json:"connectors"`
		} `json:"cps"`
	}
	part struct {
		Name   string      `json:"name"`
		State  string      `json:"state"`
		Since  charge.Time `json:"since"`
		Reason string      `json:"reason"`
	}
	reservation struct {
		ID        charge.ReservationID `json:"reservation_id"`
		CPID      charge.CPID          `json:"cp_id"`
		Username  charge.Username      `json:"username"`
		State     string               `json:"state"`
		Reason    string               `json:"reason"`
		ExpiresAt charge.Time          `json:"expires_at"`
	}
	ticket struct {
		ID        string            `json:"ticket_id"`
		SessionID charge.SessionID  `json:"session_id"`
		CPID      charge.CPID       `json:"cp_id"`
		Username  charge.Username   `json:"username"`
		Energy    charge.WattHours  `json:"energy_wh"`
		Cost      string            `json:"cost"`
		Reason    charge.StopReason `json:"reason"`
	}
	alarm struct {
		Kind string      `json:"kind"`
		CPID charge.CPID `json:"cp_id"`
		Text string      `json:"text"`
	}
	order struct {
		Type   string      `json:"type"`
		CPID   charge.CPID `json:"cp_id"`
		State  string      `json:"state"`
		Reason string      `json:"reason"`
	}
)

// callAPI sends a request to Central; ok is false while Central does not run.
func (w *world) callAPI(method, path string, body []byte) (answer []byte, ok bool) {
	w.t.Helper()
	if w.parts["central"] == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+pageAddr+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: w.vnet.DialContext}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, false // it was stopped meanwhile
	}
	answer, err = io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err != nil || cerr != nil {
		return nil, false
	}
	if resp.StatusCode >= http.StatusBadRequest {
		w.t.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, true
}

// view reads a path of the API.
func view[T any](w *world, path string) (v T, ok bool) {
	w.t.Helper()
	raw, ok := w.callAPI(http.MethodGet, path, nil)
	if !ok {
		return v, false
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		w.t.Fatalf("%s: %v in %.300s", path, err, raw)
	}
	return v, true
}

// items reads a list of the API.
func items[T any](w *world, path string) []T {
	w.t.Helper()
	type page struct {
		Items []T `json:"items"`
	}
	v, _ := view[page](w, path+"?limit=500")
	return v.Items
}

// network returns Central's view of the network; ok is false while Central does
// not run.
func (w *world) network() (network, bool) {
	w.t.Helper()
	return view[network](w, "/network")
}
