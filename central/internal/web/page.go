package web

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// dist is the page as `make ui` builds it. Without Node it holds only a file .keep,
// and builtinPage is served instead.
//
//go:embed all:ui/dist
var dist embed.FS

// builtinPage is served in place of a page that was not built.
const builtinPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><base href="./"><title>Carga</title></head>
<body><h1>The web page was not built</h1>
<p>Run <code>make ui</code>, which needs Node 20 or newer, and build Central again.</p>
<p>The API works: see <a href="api/v1/openapi.json">its description</a> and <a href="api/v1/network">the network</a>.</p>
</body></html>
`

// baseElement is what index.html has; the page's addresses are relative to it.
const baseElement = `<base href="./">`

// pagePath matches the addresses of views: those of the page's router. Files have a
// dot in the first part, or are below assets/.
var pagePath = regexp.MustCompile(`^/(?:[a-z0-9-]+(?:/[A-Za-z0-9_.-]{1,80}){0,2})?$`)

// page serves the files of the web page, and its index.html at the address of each
// view, so that a view can be reloaded and bookmarked.
type page struct {
	files fs.FS
	index string
}

// newPage returns a page of files; without an index.html among them it is the
// built-in one.
func newPage(files fs.FS) (*page, error) {
	index, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return &page{files: files, index: builtinPage}, nil //nolint:nilerr // it was not built
	}
	if !bytes.Contains(index, []byte(baseElement)) {
		return nil, fmt.Errorf("index.html of the page has no %s", baseElement)
	}
	return &page{files: files, index: string(index)}, nil
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, r.Method, []string{http.MethodGet, http.MethodHead})
		return
	}
	switch at := r.URL.Path; {
	case p.serveFile(w, r, strings.TrimPrefix(at, "/")):
	case pagePath.MatchString(at) && !strings.HasPrefix(at, "/assets/") && r.URL.RawPath == "":
		// The base is relative too, so that no proxy needs to be known: a view that is
		// one folder deeper goes one up.
		base := "./"
		if depth := strings.Count(at, "/") - 1; depth > 0 {
			base = strings.Repeat("../", depth)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache") // it names the files of its version
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Replace(p.index, baseElement, `<base href="`+base+`">`, 1)))
	default:
		writeProblem(w, "not_found", "")
	}
}

// contentType returns the type of a file that a build makes, "" for others. The
// types that a machine has configured differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".webmanifest":
		return "application/manifest+json"
	}
	return ""
}

// serveFile serves a file of the build, compressed if the browser accepts it, and
// reports whether there is one.
func (p *page) serveFile(w http.ResponseWriter, r *http.Request, name string) bool {
	kind := contentType(name)
	if kind == "" || !fs.ValidPath(name) {
		return false
	}
	content, err := fs.ReadFile(p.files, name)
	if err != nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "max-age=3600")
	if strings.HasPrefix(name, "assets/") { // its name changes with its content
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if compressed, err := fs.ReadFile(p.files, name+".gz"); err == nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		content = compressed
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	return true
}
