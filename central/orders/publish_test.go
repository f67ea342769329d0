package orders_test

import (
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// ticketEvent is the event about a ticket of 1.83 kWh, as a driver reads it.
func ticketEvent(t *testing.T, change func(*ledger.Ticket)) (ledger.Ticket, wire.CentralEvent) {
	t.Helper()
	k := ledger.Ticket{
		ID: "t.s1", SessionID: "s1", CPID: "CP_1", Connector: 2, Username: "ana", Energy: 1830,
		Cost: money.Amount{Minor: 342, Currency: "EUR"}, DurationSec: 131, Reason: "remote",
	}
	change(&k)
	e := orders.TicketEvent(&k, charge.SessionLimit{}, 1_795_341_600_000)
	raw, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.DecodeCentralEvent(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k, got
}

// What a Central publishes of a ticket is read back as it was.
func TestATicketIsReadBackAsItWasPublished(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ledger.Ticket){
		"a ticket":           func(*ledger.Ticket) {},
		"of a settlement":    func(k *ledger.Ticket) { k.SettledAt = 1_795_341_600_000 },
		"without a driver":   func(k *ledger.Ticket) { k.Username = "" },
		"in yen":             func(k *ledger.Ticket) { k.Cost = money.Amount{Minor: 342, Currency: "JPY"} },
		"in dinars":          func(k *ledger.Ticket) { k.Cost = money.Amount{Minor: 3_420, Currency: "KWD"} },
		"a credit":           func(k *ledger.Ticket) { k.ID, k.Corrects, k.Energy, k.Cost.Minor = "t.s1.1", "t.s1", -30, -1 },
		"of no energy":       func(k *ledger.Ticket) { k.Energy, k.Cost.Minor = 0, 0 },
		"of the largest one": func(k *ledger.Ticket) { k.Energy = 9_999_999_999 },
	} {
		k, e := ticketEvent(t, change)
		if got, ok := orders.PublishedTicket(&e); !ok || got != k {
			t.Errorf("%s: got %+v, %t, want %+v", name, got, ok, k)
		}
	}
}

// What is no ticket, or has values that no ticket has, is not adopted.
func TestWhatIsNoTicketIsNotReadBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*wire.CentralEvent){
		"another type":              func(e *wire.CentralEvent) { e.EventType = wire.CentralProgress },
		"without energy":            func(e *wire.CentralEvent) { e.EnergyKWh = nil },
		"without a cost":            func(e *wire.CentralEvent) { e.Cost = nil },
		"without a duration":        func(e *wire.CentralEvent) { e.DurationSec = nil },
		"of another session":        func(e *wire.CentralEvent) { e.SessionID = "s2" },
		"of no charging point":      func(e *wire.CentralEvent) { e.CPID = "" },
		"of connector 65":           func(e *wire.CentralEvent) { e.Connector = 65 },
		"of energy below zero":      func(e *wire.CentralEvent) { *e.EnergyKWh = -1 },
		"with too few decimals":     func(e *wire.CentralEvent) { e.Cost.Decimals = 1 },
		"correcting another":        func(e *wire.CentralEvent) { e.EventID, e.Corrects = "t.s1.1", "t.s2" },
		"a correction of no ticket": func(e *wire.CentralEvent) { e.EventID = "t.s1.1" },
	} {
		_, e := ticketEvent(t, func(*ledger.Ticket) {})
		change(&e)
		if got, ok := orders.PublishedTicket(&e); ok {
			t.Errorf("%s: got %+v, want none", name, got)
		}
	}
}
