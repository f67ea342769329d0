package access

import "slices"

// Role decides what an account or a token may do.
type Role string

// The roles.
const (
	Admin    Role = "admin"    // what an operator may, and accounts and tokens
	Operator Role = "operator" // runs the network
	Auditor  Role = "auditor"  // reads what an operator reads, and changes nothing
	Driver   Role = "driver"   // charges: own reservations, sessions and tickets alone
	Screen   Role = "screen"   // shows one charging point to all people before it; tokens alone have it
)

// Roles returns all roles.
func Roles() []Role { return []Role{Admin, Operator, Auditor, Driver, Screen} }

// Valid reports whether there is such a role.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// Permission is the right to one kind of operation.
type Permission string

// Public is the permission of operations that need no sign-in. No role lists it.
const Public Permission = "public"

// The permissions of roles. Names are KIND.ACTION; programs compare them.
const (
	OwnAccess          Permission = "own.access" // own log-ins, own password
	NetworkRead        Permission = "network.read"
	CPRead             Permission = "cp.read"     // a screen's is for its own alone
	StreamRead         Permission = "stream.read" // a driver's has nothing of others
	SessionRead        Permission = "session.read"
	TicketRead         Permission = "ticket.read"
	ReservationRead    Permission = "reservation.read"
	TariffRead         Permission = "tariff.read"
	TariffChange       Permission = "tariff.change"
	CardRead           Permission = "card.read" // a driver's own alone
	CardChange         Permission = "card.change"
	GroupChange        Permission = "group.change"
	CommandRead        Permission = "command.read"
	CommandList        Permission = "command.list"
	RecordRead         Permission = "record.read"
	GapRead            Permission = "gap.read"
	AlarmRead          Permission = "alarm.read"
	ReservationMake    Permission = "reservation.make"
	ReservationCancel  Permission = "reservation.cancel"
	SessionStart       Permission = "session.start"
	SessionStop        Permission = "session.stop"
	SessionSettle      Permission = "session.settle"
	AvailabilityChange Permission = "availability.change"
	CPSimulate         Permission = "cp.simulate"
	CPAdmit            Permission = "cp.admit"
	CPPass             Permission = "cp.pass"
	CPRelease          Permission = "cp.release"
	CPSettings         Permission = "cp.settings"
	DeadLetterReplay   Permission = "dead_letter.replay"
	GapExplain         Permission = "gap.explain"
	AlarmClear         Permission = "alarm.clear"
	FenceLift          Permission = "fence.lift"
	DemoSwitch         Permission = "demo.switch"
	AuditRead          Permission = "audit.read"
	MetricsRead        Permission = "metrics.read"
	AccountRead        Permission = "account.read"
	AccountChange      Permission = "account.change"
	TokenRead          Permission = "token.read"
	TokenChange        Permission = "token.change"
	SupportRead        Permission = "support.read"
)

// grants returns which roles have a permission. What is not listed is not
// permitted.
func grants() map[Permission][]Role {
	var (
		all     = []Role{Admin, Operator, Auditor, Driver}
		staff   = []Role{Admin, Operator, Auditor}
		acting  = []Role{Admin, Operator}
		ordered = []Role{Admin, Operator, Driver} // a driver for itself alone
		admin   = []Role{Admin}
		screens = []Role{Screen} // each for its own charging point alone
	)
	return map[Permission][]Role{
		OwnAccess: all,
		CPRead:    slices.Concat(staff, screens), StreamRead: slices.Concat(all, screens), CPSimulate: slices.Concat(acting, screens),
		NetworkRead: staff, SessionRead: all, TicketRead: all, TariffRead: all, ReservationRead: all, CommandRead: all, CardRead: all,
		CommandList: staff, RecordRead: staff, GapRead: staff, AlarmRead: staff, AuditRead: staff, MetricsRead: staff,
		ReservationMake: ordered, ReservationCancel: ordered, SessionStart: ordered, SessionStop: ordered,
		SessionSettle: acting, AvailabilityChange: acting, CPAdmit: acting, CPPass: acting, CPRelease: acting,
		CPSettings: acting, TariffChange: acting, CardChange: acting, GroupChange: acting, DeadLetterReplay: acting,
		GapExplain: acting, AlarmClear: acting, FenceLift: acting, DemoSwitch: acting,
		AccountRead: admin, AccountChange: admin, TokenRead: admin, TokenChange: admin, SupportRead: admin,
	}
}

// May reports whether a role has a permission.
func (r Role) May(p Permission) bool { return slices.Contains(grants()[p], r) }

// Permissions returns what a role may do, in the order of their names.
func (r Role) Permissions() []Permission {
	all := []Permission{}
	for p, roles := range grants() {
		if slices.Contains(roles, r) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}
