package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// TestPageFiles: every address of a view has index.html with a base that leads to
// the root; files of the build have their type and may be kept by browsers.
func TestPageFiles(t *testing.T) {
	p, err := newPage(fstest.MapFS{
		"index.html": file("<head>" + baseElement + "</head>"), "assets/a-1.js": file("let a"), "assets/a-1.js.gz": file("gz"),
		"icon.svg": file("<svg/>"), ".keep": file(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, accept string
		status       int
		body, cache  string
	}{
		{"/", "", 200, `<base href="./">`, "no-cache"},
		{"/sessions", "", 200, `<base href="./">`, "no-cache"},
		{"/cp/CP_0001", "", 200, `<base href="../">`, "no-cache"},
		{"/tickets/t-1.2", "", 200, `<base href="../">`, "no-cache"},
		{"/a/b/c", "", 200, `<base href="../../">`, "no-cache"},
		{"/a/b/c/d", "", 404, "not_found", ""},
		{"/sessions/", "", 404, "not_found", ""},
		{"/index.html", "", 404, "not_found", ""},
		{"/.keep", "", 404, "not_found", ""},
		{"/favicon.ico", "", 404, "not_found", ""},
		{"/assets/b-2.js", "", 404, "not_found", ""},
		{"/assets/a-1.js.gz", "", 404, "not_found", ""},
		{"/assets/a-1.js", "", 200, "let a", "public, max-age=31536000, immutable"},
		{"/assets/a-1.js", "br, gzip", 200, "gz", "public, max-age=31536000, immutable"},
		{"/assets/a-1.js", "gzip;q=0", 200, "let a", "public, max-age=31536000, immutable"},
		{"/icon.svg", "gzip", 200, "<svg/>", "max-age=3600"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, http.NoBody)
		r.Header.Set("Accept-Encoding", c.accept)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || w.Header().Get("Cache-Control") != c.cache {
			t.Errorf("%s: got %d %q, Cache-Control %q", c.path, w.Code, w.Body, w.Header().Get("Cache-Control"))
		}
		if got := w.Header().Get("Content-Encoding"); (c.body == "gz") != (got == "gzip") {
			t.Errorf("%s: Content-Encoding %q", c.path, got)
		}
	}
}

// TestPageWithoutBuild: without a build there is a short page, and an index.html
// that could not work is refused.
func TestPageWithoutBuild(t *testing.T) {
	p, err := newPage(fstest.MapFS{".keep": file("")})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/cp/CP_0001", http.NoBody))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "make ui") || !strings.Contains(w.Body.String(), `<base href="../">`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if _, err := newPage(fstest.MapFS{"index.html": file("<head></head>")}); err == nil {
		t.Error("an index.html without a base was accepted")
	}
}
