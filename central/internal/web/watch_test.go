package web_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/carga-ev/carga/central/access"
)

// TestAStreamEndsWithItsLogin: one that was revoked is noticed with the next
// heartbeat; a token's stream goes on.
func TestAStreamEndsWithItsLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t)
		var vnet kfake.VirtualNetwork
		l, err := vnet.Listen("tcp", "127.0.0.1:8080")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan error, 1)
		go func() { done <- g.server.Run(ctx, l) }()
		open := func(set func(*http.Request)) (ended <-chan time.Time) {
			t.Helper()
			tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return vnet.DialContext(ctx, network, addr)
			}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080/api/v1/stream", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			set(req)
			resp, err := (&http.Client{Transport: tr}).Do(req) //nolint:bodyclose // it is read to its end below
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%v %v", resp, err)
			}
			at := make(chan time.Time, 1)
			go func() {
				lines := bufio.NewScanner(resp.Body)
				lines.Buffer(nil, 1<<20)
				for lines.Scan() {
					_ = strings.TrimSpace(lines.Text())
				}
				_ = resp.Body.Close()
				tr.CloseIdleConnections()
				at <- time.Now()
			}()
			return at
		}
		began := time.Now()
		page, program := open(as(access.Operator)), open(bearer(access.Operator))
		time.Sleep(5 * time.Minute)
		if g.server.Streams() != 2 {
			t.Errorf("%d streams are open", g.server.Streams())
		}
		g.keeper.mu.Lock()
		g.keeper.ended = true
		g.keeper.mu.Unlock()
		if lasted := (<-page).Sub(began); lasted < 5*time.Minute || lasted > 5*time.Minute+20*time.Second {
			t.Errorf("the page's stream ended after %s", lasted)
		}
		if g.server.Streams() != 1 {
			t.Error("the stream of a token ended, too")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-program
	})
}
