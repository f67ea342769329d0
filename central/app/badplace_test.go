package app_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
)

// Any text may come as "after": the database uses it as a place in the list, or
// finds nothing.
func TestAnyPlaceInAListIsAnswered(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.central(settings(path))
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, n, _ string) (net.Conn, error) {
				return w.net.DialContext(ctx, n, c.page.Addr().String())
			},
		}}
		for _, list := range []string{"sessions", "tickets", "reservations", "commands", "records", "gaps", "alarms"} {
			for _, after := range []string{"-1", "9223372036854775808", "1 OR 1=1", "'; DROP TABLE tickets; --", "\x00", "x/y/z", "///", "\xff", "1e999", "NaN"} {
				for _, key := range []string{"after", "state", "username"} {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/api/v1/"+list+"?"+key+"="+url.QueryEscape(after), http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					res, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK && res.StatusCode != http.StatusUnprocessableEntity {
						t.Errorf("%s?%s=%q: %s", list, key, after, res.Status)
					}
				}
			}
		}
		client.CloseIdleConnections()
		c.stop()
	})
}
