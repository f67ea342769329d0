package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/access"
)

// TestRoles: what each role may not do is the point of having roles.
func TestRoles(t *testing.T) {
	for _, c := range []struct {
		role access.Role
		may  []access.Permission
		not  []access.Permission
	}{
		{access.Admin, []access.Permission{access.AccountChange, access.TokenChange, access.CPAdmit, access.SessionStop, access.AuditRead}, nil},
		{access.Operator, []access.Permission{access.CPAdmit, access.SessionSettle, access.AuditRead, access.NetworkRead}, []access.Permission{access.AccountRead, access.AccountChange, access.TokenRead}},
		{access.Auditor, []access.Permission{access.AuditRead, access.NetworkRead, access.RecordRead}, []access.Permission{access.SessionStop, access.ReservationMake, access.CPAdmit, access.AccountRead}},
		{access.Driver, []access.Permission{access.SessionStart, access.TicketRead, access.CommandRead}, []access.Permission{access.NetworkRead, access.CommandList, access.AvailabilityChange, access.CPSimulate, access.AuditRead, access.MetricsRead}},
		{access.Screen, []access.Permission{access.CPRead, access.StreamRead, access.CPSimulate}, []access.Permission{access.NetworkRead, access.OwnAccess, access.TicketRead, access.CommandRead, access.SessionStart}},
		{"", nil, []access.Permission{access.NetworkRead, access.OwnAccess, access.Public}},
		{"root", nil, []access.Permission{access.NetworkRead, access.AccountChange}},
	} {
		for _, p := range c.may {
			if !c.role.May(p) || !slices.Contains(c.role.Permissions(), p) {
				t.Errorf("%s may not %s", c.role, p)
			}
		}
		for _, p := range c.not {
			if c.role.May(p) || slices.Contains(c.role.Permissions(), p) {
				t.Errorf("%s may %s", c.role, p)
			}
		}
	}
	if access.Role("").Valid() || !access.Driver.Valid() {
		t.Error("Valid is wrong")
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"root": true, "a": true, "ana.b@example.com": true, "0x": true, "a_b-c": true, strings.Repeat("x", 64): true,
		"": false, "Root": false, ".root": false, "-x": false, "a b": false, "a\x00": false, "é": false, "ро": false, "a:b": false, "a/b": false, strings.Repeat("x", 65): false,
	} {
		if got := access.ValidName(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}
