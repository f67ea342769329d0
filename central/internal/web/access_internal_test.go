package web

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/access"
)

// operations returns every operation that a server registers, those of the demo too.
func operations(t *testing.T) map[string]*huma.Operation {
	t.Helper()
	s := &Server{log: slog.New(slog.DiscardHandler), statuses: map[string]int{}, breaker: noBreaker{}, archive: noArchive{}, hub: newHub(nil, 0, nil)}
	api := s.routes(http.NewServeMux())
	all := map[string]*huma.Operation{}
	for _, at := range api.OpenAPI().Paths {
		for _, o := range []*huma.Operation{at.Get, at.Post, at.Put, at.Patch, at.Delete} {
			if o != nil {
				all[o.OperationID] = o
			}
		}
	}
	return all
}

type (
	noBreaker struct{ Breaker }
	noArchive struct{ Archive }
)

// TestEachOperationHasAPermission: the table names every operation, and no other; and
// every permission in it is one that a role has.
func TestEachOperationHasAPermission(t *testing.T) {
	has := operations(t)
	for id := range has {
		if permissions()[id] == "" {
			t.Errorf("the operation %s has no permission", id)
		}
	}
	for id, p := range permissions() {
		if has[id] == nil {
			t.Errorf("the table names %s, which is no operation", id)
		}
		if p != access.Public && !access.Admin.May(p) {
			t.Errorf("%s needs %s, which an admin does not have", id, p)
		}
	}
	if len(has) < 30 {
		t.Errorf("only %d operations: %v", len(has), slices.Sorted(maps.Keys(has)))
	}
}

// TestAnOperationWithoutAPermissionIsRefused: to an admin, too.
func TestAnOperationWithoutAPermissionIsRefused(t *testing.T) {
	admin := &caller{principal: access.Principal{Name: "root", Role: access.Admin}, known: true}
	if problem, _ := allowed(map[string]access.Permission{}, "new-operation", admin); problem != "not_permitted" {
		t.Errorf("got %q", problem)
	}
}

// TestAuditorsChangeNothing: whatever an auditor may do but for its own log-ins is a
// GET.
func TestAuditorsChangeNothing(t *testing.T) {
	for id, o := range operations(t) {
		p := permissions()[id]
		if o.Method != http.MethodGet && p != access.Public && p != access.OwnAccess && access.Auditor.May(p) {
			t.Errorf("an auditor may %s", id)
		}
		if o.Method == http.MethodGet && access.Operator.May(p) && !access.Auditor.May(p) {
			t.Errorf("an operator reads %s, an auditor does not", id)
		}
	}
}

// TestOwnPath: a sign-in leads nowhere else.
func TestOwnPath(t *testing.T) {
	for next, want := range map[string]string{
		"": "/", "/": "/", "/d": "/d", "/cp/CP_1?tab=2": "/cp/CP_1?tab=2", "/sessions?state=open&limit=5": "/sessions?state=open&limit=5",
		"//evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/", "https://evil.example": "/", "https:/evil.example": "/", "javascript:alert(1)": "/",
		"/ok\r\nSet-Cookie: x": "/", "evil.example": "/", "/%0d%0ax": "/%0d%0ax", "http:evil": "/", "/a b": "/", "/\tx": "/", "///evil": "/", "/%2f/x": "/%2f/x",
	} {
		if got := ownPath(next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
}
