package web_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"testing"

	"github.com/carga-ev/carga/central/internal/web"
)

var rewrite = flag.Bool("rewrite", false, "write docs/openapi.json again")

// TestOpenAPIIsCommitted: docs/openapi.json, from which the types of the page are
// generated, is the description that the demo serves: it has all operations.
func TestOpenAPIIsCommitted(t *testing.T) {
	const name = "../../../docs/openapi.json"
	var served bytes.Buffer
	if err := json.Indent(&served, description(t), "", "  "); err != nil {
		t.Fatal(err)
	}
	served.WriteByte('\n')
	if *rewrite {
		if err := os.WriteFile(name, served.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, served.Bytes()) {
		t.Error("docs/openapi.json differs from what is served: run  go test ./central/internal/web -run OpenAPI -rewrite,  then  npm run types  in central/internal/web/ui")
	}
}

// description returns the description of the API, with the operations of the demo.
func description(t *testing.T) []byte {
	t.Helper()
	f := newFixture(t)
	s, err := web.New(web.Config{}, f.live, f.orders, f.archive, unbreakable{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	return f.do(t, http.MethodGet, "/api/v1/openapi.json", "").Body.Bytes()
}

// unbreakable is a Breaker that does nothing.
type unbreakable struct{}

func (unbreakable) Cut(string) error     { return nil }
func (unbreakable) Restore(string) error { return nil }
