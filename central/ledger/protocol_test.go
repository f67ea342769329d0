package ledger_test

import (
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// PROTOCOL 4.4 states for each record what it needs to be usable, and what happens
// otherwise. In every row the record is applied and acknowledged.
func TestWhatARecordNeeds(t *testing.T) {
	t.Parallel()
	const (
		usable    = ""
		noEffect  = "no effect"
		needsBoth = "needs session_id and connector"
	)
	stop := &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1000, Register: 1000}
	for _, c := range []struct {
		name      string
		connector charge.ConnectorID
		session   charge.SessionID
		payload   wire.Payload
		want      string // a part of the alarm; "": it is usable
	}{
		{"authorized", 1, "s", &wire.Authorized{By: wire.GrantOrder, Register: 1000}, usable},
		{"authorized without session_id", 1, "", &wire.Authorized{By: wire.GrantOrder, Register: 1000}, needsBoth},
		{"authorized without connector", 0, "s", &wire.Authorized{By: wire.GrantOrder, Register: 1000}, needsBoth},
		{"charging_started", 1, "s", &wire.ChargingStarted{Register: 1000}, usable},
		{"charging_started without session_id", 1, "", &wire.ChargingStarted{Register: 1000}, needsBoth},
		{"meter_read", 1, "s", &wire.MeterRead{Register: 1000}, usable},
		{"meter_read without session_id", 1, "", &wire.MeterRead{Register: 1000}, needsBoth},
		{"charging_suspended", 1, "s", &wire.Suspended{By: "ev", Register: 1000}, usable},
		{"charging_suspended without connector", 0, "s", &wire.Suspended{By: "ev", Register: 1000}, needsBoth},
		{"charging_resumed", 1, "s", &wire.Resumed{Register: 1000}, usable},
		{"charging_resumed without session_id", 1, "", &wire.Resumed{Register: 1000}, needsBoth},
		{"charging_stopped", 1, "s", stop, usable},
		{"charging_stopped without session_id", 1, "", stop, needsBoth},
		{"plugged_in", 1, "", &wire.PluggedIn{}, usable},
		{"plugged_in without connector", 0, "", &wire.PluggedIn{}, noEffect},
		{"unplugged without connector", 0, "", &wire.Unplugged{}, noEffect},
		{"connector_status_changed", 1, "", &wire.StatusChanged{Status: charge.StatusPreparing}, usable},
		{"connector_status_changed without connector", 0, "", &wire.StatusChanged{Status: charge.StatusPreparing}, noEffect},
		{"fault_raised of a connector", 1, "", &wire.FaultRaised{Fault: charge.FaultOther}, usable},
		{"fault_raised of the charging point", 0, "", &wire.FaultRaised{Fault: charge.FaultOther}, usable},
		{"cp_registered that is not record 1", 0, "", &wire.Registered{Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusAvailable}}}, "record 1"},
		{"command_accepted for another charging point", 1, "", accepted(t, "OTHER"), "not for this charging point"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewChargingPoint("CP", 2, morning), ledgertest.NewBook("CP", morning)
			bk.Apply(b.Boot())
			before := bk.Hash()
			out, changes := bk.Apply(b.Write(c.connector, c.session, c.payload))
			if out.Verdict != ledger.Applied || ledger.AckFor(bk.CP, &bk.Env, b.Journal).Seq != 2 {
				t.Fatalf("got %+v, want it applied and acknowledged", out)
			}
			alarms := bk.OpenAlarms(ledger.AlarmUnusable)
			switch c.want {
			case usable:
				if out.Unusable != nil || len(alarms) != 0 {
					t.Errorf("got %v and alarms %+v, want it usable", out.Unusable, alarms)
				}
			case noEffect:
				for _, ch := range changes {
					if _, journal := ch.(ledger.JournalChanged); !journal {
						t.Errorf("got %+v, want no effect but on the journal's position", ch)
					}
				}
			default:
				if out.Unusable == nil || !strings.Contains(out.Unusable.Error(), c.want) || len(alarms) != 1 || !strings.Contains(alarms[0].Detail, c.want) {
					t.Errorf("got %v and alarms %+v, want it counted and named: %q", out.Unusable, alarms, c.want)
				}
				if len(alarms) == 1 && (alarms[0].Why.Code != reason.RecordUnusable || alarms[0].Why.Cause == "" || alarms[0].Why.Detail != "") {
					t.Errorf("got %+v, want its reason as a code", alarms[0].Why)
				}
				if len(bk.Sessions)+len(bk.Tickets) != 0 || before == bk.Hash() {
					t.Errorf("got sessions %v and tickets %v, want the position alone to move", bk.Sessions, bk.Tickets)
				}
			}
		})
	}
}

func accepted(t *testing.T, cp charge.CPID) *wire.CommandAccepted {
	t.Helper()
	data, err := wire.EncodeOrder(&wire.SetAvailability{Available: true})
	if err != nil {
		t.Fatal(err)
	}
	c := wire.Command{
		V: 1, ID: "c", N: 1, Central: epoch(1), Journal: "j", CPID: cp, Connector: 1, Type: wire.CommandSetAvailability,
		IssuedAt: 1, SentAt: 1, ExpiresAt: 2, Data: data,
	}
	raw, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &wire.CommandAccepted{Command: raw}
}

// PROTOCOL 4.4: each record that carries the session's id counts for its
// duration, of whatever type.
func TestWhichRecordsCountForADuration(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	bk.Apply(b.Boot())
	write := func(after charge.Time, session charge.SessionID, p wire.Payload) {
		b.Now += after
		bk.Apply(b.Write(1, session, p))
	}
	write(1000, "", &wire.PluggedIn{})
	write(1000, "s", &wire.Authorized{By: wire.GrantOrder, Register: 1000})
	write(2000, "s", &wire.StatusChanged{Status: charge.StatusCharging})
	write(4000, "s", &wire.Unplugged{})
	write(8000, "s", &wire.ChargingStopped{Reason: charge.StopUnplugged, Start: 1000, Register: 1000})
	write(16000, "", &wire.StatusChanged{Status: charge.StatusAvailable})
	if got := bk.Tickets[ledger.TicketID("s")].DurationSec; got != 14 {
		t.Errorf("got %d s, want 14: from authorized to charging_stopped", got)
	}
}
