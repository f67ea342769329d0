package web_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/view"
)

// TestSupportBundle: an admin gets one archive, also while the database does not
// answer; it names no driver, and the audit log has an entry.
func TestSupportBundle(t *testing.T) {
	g := newGuarded(t, func(cfg *web.Config) {
		cfg.Support = func() map[string][]byte { return map[string][]byte{"log.txt": []byte("the last line\n")} }
	})
	g.live.set(view.Connector{Connector: 1, Status: "charging", Username: "Ana B."}, "")
	for _, broken := range []error{nil, errors.New("disk failed")} {
		g.archive.err = broken
		w := g.do(t, http.MethodGet, "/api/v1/support", "", as(access.Admin))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/zip" || !strings.Contains(w.Header().Get("Content-Disposition"), "carga-support-") {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		z, err := zip.NewReader(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len()))
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[f.Name] = string(raw)
			if strings.Contains(string(raw), "Ana B.") {
				t.Errorf("%s names a driver", f.Name)
			}
		}
		for name, want := range map[string]string{
			"log.txt": "the last line", "health.json": "broker 192.0.2.9", "metrics.txt": "broker 192.0.2.9", "network.json": `"charging": 1`, "alarms.json": "", "dead-letters.json": "",
		} {
			if got, ok := files[name]; !ok || !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if broken != nil && !strings.Contains(files["alarms.json"], "could not be read: disk failed") {
			t.Errorf("alarms.json: %s", files["alarms.json"])
		}
	}
	if len(g.keeper.entries) != 2 || g.keeper.entries[0].Operation != "get-support" {
		t.Errorf("audit log: %+v", g.keeper.entries)
	}
}
