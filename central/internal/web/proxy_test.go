package web_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
)

// behind makes a fixture whose server stands behind a proxy.
func behind(t *testing.T, public string, trusted ...string) *fixture {
	t.Helper()
	f := newFixture(t)
	cfg := web.Config{Tick: time.Hour} // frames are sent for changes alone
	if public != "" {
		u, err := url.Parse(public)
		if err != nil {
			t.Fatal(err)
		}
		cfg.PublicURL = u
	}
	for _, p := range trusted {
		cfg.TrustedProxies = append(cfg.TrustedProxies, netip.MustParsePrefix(p))
	}
	s, err := web.New(cfg, f.live, f.orders, f.archive, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	return f
}

// TestHostsServed: which names this server answers to and whose pages may order,
// by its configuration and the headers of proxies.
func TestHostsServed(t *testing.T) {
	const public, peer = "https://ops.example/carga", "192.0.2.1/32" // which is where httptest's requests come from
	for _, c := range []struct {
		name, public string
		trusted      []string
		headers      map[string]string
		status       int
	}{
		{"no configuration, no proxy", "", nil, map[string]string{"Host": "ops.example"}, 421},
		{"the public name", public, nil, map[string]string{"Host": "ops.example"}, 202},
		{"the public name in capitals and with its port", public, nil, map[string]string{"Host": "OPS.example:443"}, 202},
		{"the public name at another port", public, nil, map[string]string{"Host": "ops.example:8443"}, 421},
		{"another name", public, nil, map[string]string{"Host": "evil.example"}, 421},
		{"loopback still", public, nil, map[string]string{"Host": "localhost:8080"}, 202},
		{"a page of the public name", public, nil, map[string]string{"Host": "127.0.0.1:8080", "Origin": "https://ops.example"}, 202},
		{"a page of the public name by http", public, nil, map[string]string{"Host": "127.0.0.1:8080", "Origin": "http://ops.example"}, 403},
		{"a page of another name", public, nil, map[string]string{"Host": "127.0.0.1:8080", "Origin": "https://evil.example"}, 403},
		{"a proxy that is not trusted", public, nil, map[string]string{"Host": "evil.example", "X-Forwarded-Host": "ops.example"}, 421},
		{"a forwarded page without trust", "", nil, map[string]string{"X-Forwarded-Host": "127.0.0.2", "Origin": "http://127.0.0.2"}, 403},
		{"a trusted proxy", "", []string{peer}, map[string]string{"X-Forwarded-Host": "127.0.0.2", "Origin": "http://127.0.0.2"}, 202},
		{"a trusted proxy that appends", "", []string{peer}, map[string]string{"X-Forwarded-Host": "evil.example, 127.0.0.2", "Origin": "http://127.0.0.2"}, 202},
		{"a trusted proxy asked for another name", public, []string{peer}, map[string]string{"X-Forwarded-Host": "evil.example"}, 421},
		{"another peer than the trusted", "", []string{"192.0.2.2/32"}, map[string]string{"X-Forwarded-Host": "127.0.0.2", "Origin": "http://127.0.0.2"}, 403},
		{"http orders what https shows", public, []string{peer}, map[string]string{"X-Forwarded-Host": "ops.example", "X-Forwarded-Proto": "https", "Origin": "http://ops.example"}, 403},
		{"https all the way", public, []string{peer}, map[string]string{"X-Forwarded-Host": "ops.example", "X-Forwarded-Proto": "https", "Origin": "https://ops.example"}, 202},
	} {
		f := behind(t, c.public, c.trusted...)
		w := f.do(t, http.MethodPost, "/api/v1/sessions", `{"cp_id":"CP_001","connector":1,"username":"d"}`, func(r *http.Request) {
			for k, v := range c.headers {
				if k == "Host" {
					r.Host = v
				} else {
					r.Header.Set(k, v)
				}
			}
		})
		if w.Code != c.status || w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
	}
}

// TestBelowAPath: a proxy may cut off the base path or not; addresses that are
// given out have it.
func TestBelowAPath(t *testing.T) {
	f := behind(t, "https://ops.example/carga")
	for path, want := range map[string]int{
		"/": 200, "/carga/": 200, "/carga": 308, "/cp/CP_001": 200, "/carga/cp/CP_001": 200, "/cargaapp.js": 404, "/api/v1/network": 200, "/carga/api/v1/network": 200, "/carga/carga/": 404,
	} {
		if w := f.do(t, http.MethodGet, path, ""); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
	if w := f.do(t, http.MethodGet, "/carga", ""); w.Header().Get("Location") != "/carga/" {
		t.Errorf("without the slash: sent to %q", w.Header().Get("Location"))
	}
	for _, path := range []string{"/carga/api/v1/sessions", "/api/v1/sessions"} {
		w := f.do(t, http.MethodPost, path, `{"cp_id":"CP_001","connector":1,"username":"d"}`)
		if w.Code != http.StatusAccepted || w.Header().Get("Location") != "/carga/api/v1/commands/k-1" {
			t.Errorf("%s: %d, Location %q", path, w.Code, w.Header().Get("Location"))
		}
	}
	if w := f.do(t, http.MethodGet, "/carga/api/v1/openapi.json", ""); !strings.Contains(w.Body.String(), `"url":"https://ops.example/carga"`) {
		t.Error("the description does not name the address of the API")
	}
}

// TestThePageNamesNothingFromTheRoot: it works below any path.
func TestThePageNamesNothingFromTheRoot(t *testing.T) {
	rooted := regexp.MustCompile("(href|src|action)=[{\"'`]*/|(fetch|EventSource|import)\\([\"'`]/|url\\([\"']?/")
	for name, text := range pageSources(t) {
		if found := rooted.FindString(text); found != "" {
			t.Errorf("%s: %s", name, found)
		}
	}
}

// nginx runs nginx as every guide shows it, before a server at address: buffering
// on the first port, below a path on the second.
func nginx(t *testing.T, address string) (plain, below string) {
	t.Helper()
	program := need.Program(t, "nginx", "apt-get install nginx-light")
	ports := [2]string{}
	for i := range ports {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	conf := fmt.Sprintf(`
pid %[1]s/pid; error_log stderr; daemon off; worker_processes 1;
events {}
http {
  access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; location / { proxy_pass http://%[4]s; } }
  server { listen %[3]s; location /carga/ { proxy_pass http://%[4]s/; proxy_buffering off; proxy_http_version 1.1; } }
}
`, dir, ports[0], ports[1], address)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, // Cleanup ends it
		"-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", output.String())
		}
	})
	for _, port := range ports {
		deadline := time.Now().Add(30 * time.Second)
		for {
			var d net.Dialer
			c, err := d.DialContext(t.Context(), "tcp", port)
			if err == nil {
				_ = c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("nginx does not listen: %v: %s", err, output.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return "http://" + ports[0], "http://" + ports[1] + "/carga/"
}

// serve runs a fixture's server until the test ends.
func (f *fixture) serve(t *testing.T, l net.Listener) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.server.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// fetch returns the status and the body of an answer.
func fetch(t *testing.T, method, address, body, origin string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode, string(raw)
}

// TestBehindNginx: values arrive through a proxy that buffers, orders are taken
// from the page that it shows, and the page works below a path.
func TestBehindNginx(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain, below := nginx(t, l.Addr().String())
	f := behind(t, plain)
	f.serve(t, l)

	t.Run("values", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // buffered, they would wait for 4 KiB
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, plain+"/api/v1/stream", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewScanner(res.Body)
		for _, power := range []charge.Watts{7201, 7202, 7203} { // each only once the one before was seen
			session := charge.SessionID(fmt.Sprintf("s-%d", power)) // numbers alone would wait for the tick
			f.live.set(view.Connector{Connector: 1, Status: charge.StatusCharging, SessionID: session, Power: power}, "it charges")
			want := fmt.Sprintf(`"w":[%d]`, power)
			for !strings.Contains(lines.Text(), want) {
				if !lines.Scan() {
					t.Fatalf("the stream ended before %s: %v", want, lines.Err())
				}
			}
		}
	})
	t.Run("orders", func(t *testing.T) {
		const start = `{"cp_id":"CP_001","connector":1,"username":"d"}`
		if status, answer := fetch(t, http.MethodPost, plain+"/api/v1/sessions", start, plain); status != http.StatusAccepted {
			t.Errorf("from the page: %d %s", status, answer)
		}
		if status, answer := fetch(t, http.MethodPost, plain+"/api/v1/sessions", start, "http://evil.example"); status != http.StatusForbidden {
			t.Errorf("from another page: %d %s", status, answer)
		}
	})
	t.Run("below a path", func(t *testing.T) {
		status, page := fetch(t, http.MethodGet, below, "", "")
		base, err := url.Parse(below)
		if status != http.StatusOK || err != nil {
			t.Fatalf("the page: %d %v", status, err)
		}
		// The base element of the page leads to the folder below which it is served.
		links := regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(page, -1)
		if len(links) < 3 {
			t.Fatalf("links of the page: %q", links)
		}
		for _, link := range links {
			at, err := base.Parse(link[1])
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := fetch(t, http.MethodGet, at.String(), "", ""); status != http.StatusOK {
				t.Errorf("%s: %d", at, status)
			}
		}
	})
}
