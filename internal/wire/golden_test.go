package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden messages")

const (
	journal = charge.JournalID("0199c2a4-7b1e-7c33-9a51-5be0a5e2f001")
	older   = charge.JournalID("0199c1f0-0c55-7a02-8f4e-0d3b6e9ac100")
	session = charge.SessionID("0199c2a5-0000-7000-8000-00000000000a")
	booking = charge.ReservationID("0199c2a5-0000-7000-8000-00000000000b")
	command = charge.CommandID("0199c2a5-0000-7000-8000-00000000000c")
	tariff  = charge.TariffVersion("2026-1")
	hash    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

var central = charge.Epoch{Number: 100_012, Run: "7f3a9c01d2e4b6a8"}

func moment(t *testing.T, s string) charge.Time {
	t.Helper()
	v, err := charge.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type encoder interface{ Encode() ([]byte, error) }

// sample is one golden message: how it is made and how it is decoded.
type sample struct {
	name   string
	value  encoder
	decode func([]byte) (any, error)
}

func reader[T any](decode func([]byte) (T, error)) func([]byte) (any, error) {
	return func(raw []byte) (any, error) {
		v, err := decode(raw)
		return &v, err
	}
}

func payloads(t *testing.T) []wire.Payload {
	t.Helper()
	until := moment(t, "2026-11-22T10:15:00.000Z")
	register := charge.WattHours(1204331)
	reserve := sampleCommand(t, &wire.Reserve{ReservationID: booking, Username: "driver1", Until: until, Tariff: tariff})
	raw, err := reserve.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return []wire.Payload{
		&wire.Registered{
			After: &wire.Position{Journal: older, Seq: 41}, Agent: "1.0.0", Name: "Plaza Mayor 1", Place: "Alicante", Simulated: true,
			Damaged:      []wire.Damaged{{Journal: older, First: 17, Last: 19, Reason: "frame 3 of segment 2: bad CRC"}},
			Capabilities: []string{"simulate"},
			Connectors: []wire.ConnectorState{{
				Connector: 1, Status: charge.StatusReserved, Register: &register, Available: true, Rated: 50000, Most: 32000, Safe: 10000,
			}},
			Reservations: []wire.ReservationState{{ReservationID: booking, Connector: 1, Username: "driver1", Until: until, Tariff: tariff}},
			LocalList:    &wire.ListState{Version: 3, Digest: "0f1e2d3c4b5a6978"},
		},
		&wire.StatusChanged{Status: charge.StatusPreparing, Was: charge.StatusAvailable},
		&wire.PluggedIn{},
		&wire.Unplugged{},
		&wire.AuthRequested{RequestID: "r-1", TokenHash: hash},
		&wire.CommandAccepted{Command: raw},
		&wire.Authorized{By: wire.GrantReservation, Username: "driver1", ReservationID: booking, CommandID: command, Until: until, Register: register, Tariff: tariff, TokenHash: hash, Limit: 20_000, LimitAmount: 1000},
		&wire.ReservationEnded{ReservationID: booking, Reason: charge.ReservationExpired, Username: "driver1"},
		&wire.ChargingStarted{Register: register, ReservationID: booking, Username: "driver1"},
		&wire.MeterRead{Register: register + 100, Power: 49800, Current: 125000, Voltage: 398400},
		&wire.Suspended{By: "ev", Register: register + 900},
		&wire.Resumed{Register: register + 900},
		&wire.ChargingStopped{Reason: charge.StopRemote, Start: register, Register: register + 1830, Username: "driver1", ReservationID: booking, Tariff: tariff},
		&wire.FaultRaised{Fault: charge.FaultGroundFault, Detail: "30 mA"},
		&wire.FaultCleared{Fault: charge.FaultGroundFault},
		&wire.CommandFinished{CommandID: command, Command: wire.CommandReserve, Result: wire.ResultRejected, Reason: "occupied"},
		&wire.AnomalySeen{Anomaly: "storage_rolled_back", Detail: "Central knows journal … up to 90, the disk ends at 41"},
	}
}

func sampleCommand(t *testing.T, o wire.Order) wire.Command {
	t.Helper()
	data, err := wire.EncodeOrder(o)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Command{
		V: 1, ID: command, N: 7, Central: central, Journal: journal, CPID: "CP_001", Connector: 1, Type: o.CommandType(),
		IssuedAt: moment(t, "2026-11-22T10:00:00.000Z"), SentAt: moment(t, "2026-11-22T10:00:01.000Z"),
		ExpiresAt: moment(t, "2026-11-22T10:00:05.000Z"), Data: data,
	}
}

func samples(t *testing.T) []sample {
	t.Helper()
	at := moment(t, "2026-11-22T10:00:00.000Z")
	var all []sample
	for _, p := range payloads(t) {
		r, err := wire.NewRecord(p)
		if err != nil {
			t.Fatal(err)
		}
		r.CPID, r.Journal, r.Seq, r.Prev, r.At, r.Clock, r.UptimeMS = "CP_001", journal, 42, hash, at, charge.ClockSynced, 73512
		if p.RecordType() != wire.TypeRegistered {
			r.Connector = 1
		}
		switch p.RecordType() {
		case wire.TypeAuthorized, wire.TypeChargingStarted, wire.TypeMeterRead, wire.TypeSuspended, wire.TypeResumed, wire.TypeChargingStopped:
			r.SessionID = session
		}
		all = append(all, sample{"record_" + string(p.RecordType()), &r, reader(wire.DecodeRecord)})
	}
	for _, o := range []wire.Order{
		&wire.Reserve{ReservationID: booking, Username: "driver1", Until: at.Add(900e9), Tariff: tariff},
		&wire.CancelReservation{ReservationID: booking},
		&wire.Start{SessionID: session, Username: "driver1", ReservationID: booking, Tariff: tariff, Limit: 20_000, LimitAmount: 1000},
		&wire.Stop{SessionID: session, Reason: charge.StopLimitReached},
		&wire.SetAvailability{Available: false},
		&wire.SetLimit{Limit: 16000, Until: at.Add(3600e9)},
		&wire.Unlock{},
		&wire.Reset{},
		&wire.Identify{},
		&wire.SetLocalList{
			Version: 3, Base: 2, Entries: []wire.LocalListEntry{{TokenHash: hash, Username: "driver1", Until: at.Add(3600e9), Limit: 20_000, LimitAmount: 1000}},
			Removed: []charge.TokenHash{charge.IDToken("04A1B2C3").Hash()}, Digest: "0f1e2d3c4b5a6978",
		},
		&wire.Authorize{RequestID: "r-1", Allowed: true, SessionID: session, Username: "driver1", Tariff: tariff, Limit: 20_000, LimitAmount: 1000},
		&wire.Simulate{Action: wire.SimulateFault, Fault: charge.FaultGroundFault},
	} {
		m := sampleCommand(t, o)
		all = append(all, sample{"command_" + string(o.CommandType()), &m, reader(wire.DecodeCommand)})
	}
	return append(all, linkSamples(at)...)
}

func linkSamples(at charge.Time) []sample {
	yes, energy, cost, seconds, cp := true, wire.KWh(1830), wire.Money{Minor: 342, Decimals: 2}, int64(131), charge.CPID("CP_001")
	expires, j := wire.Seconds(at.Add(900e9)), journal
	limit, amount := wire.KWh(20_000), wire.Money{Minor: 1000, Decimals: 2}
	return []sample{
		{"ack", &wire.Ack{V: 1, Central: central, Journal: &j, Seq: 42, At: at}, reader(wire.DecodeAck)},
		{"ack_unknown", &wire.Ack{V: 1, Central: central, At: at}, reader(wire.DecodeAck)},
		{"presence", &wire.Presence{
			V: 1, Online: true, Journal: journal, Conn: 2, First: &wire.Position{Journal: older, Seq: 3},
			Next: &wire.Position{Journal: journal, Seq: 40}, Last: &wire.Position{Journal: journal, Seq: 42}, Central: central, At: at,
		}, reader(wire.DecodePresence)},
		{"presence_will", &wire.Presence{V: 1, Journal: journal, Conn: 2, At: at}, reader(wire.DecodePresence)},
		{"telemetry", &wire.Telemetry{
			V: 1, CPID: cp, Journal: journal, At: at, Clock: charge.ClockSynced, UptimeMS: 73512, IntervalMS: 1000,
			Connectors: []wire.ConnectorTelemetry{{
				Connector: 1, Status: charge.StatusCharging, SessionID: session, Start: 1204331, Register: 1205000, Power: 49800,
				Current: 125000, Voltage: 398400, Temperature: 31500, Limit: new(charge.MilliAmps(130000)), LimitBy: charge.LimitCommand,
			}},
			Health: wire.Health{Unacked: 3, OldestMS: 420, QuotaPermill: 1, Reader: "card reader PN532 on a UART: not confirmed", ReaderMS: 61000},
		}, reader(wire.DecodeTelemetry)},
		{"bridge_alive", &wire.BridgeAlive{
			V: 1, Bridge: "bridge-1", At: at, StartedAt: at, MQTT: wire.Dependency{Up: true, Since: at},
			Kafka: wire.Dependency{Since: at, Reason: "connection refused"}, Buffered: 12, OldestMS: 900, Accepted: 500, Forwarded: 487, DeadLetters: 1,
		}, reader(wire.DecodeBridgeAlive)},
		{"bridge_alive_troubles", &wire.BridgeAlive{
			V: 1, Bridge: "bridge-1", At: at, StartedAt: at, MQTT: wire.Dependency{Up: true, Since: at}, Kafka: wire.Dependency{Up: true, Since: at},
			Accepted: 1, DeadLetters: 1, DeadLetter: "cp/CP_001/up/event: record: is not a JSON object",
			DeadLetterWhy: reason.OfMessage("record", "", reason.Wrong{Code: reason.JSONNoObject}),
			Troubles: []wire.Trouble{{Since: at, Reason: "cannot write cp-events: the partition has no leader: a broker is away", Why: reason.Reason{
				Code: reason.CannotWrite, Topic: "cp-events", Cause: reason.NoLeader,
			}}},
			Warnings:    []string{"topic cp-events has 6 partitions and 3 are configured: it is used with those it has"},
			WarningsWhy: []reason.Reason{{Code: reason.TopicDiffers, Topic: "cp-events", Count: 6, Wanted: 3}},
		}, reader(wire.DecodeBridgeAlive)},
		{"bridge_alive_lease", &wire.BridgeAlive{
			V: 1, Bridge: "bridge-2", At: at, StartedAt: at, MQTT: wire.Dependency{Since: at, Reason: "stands by: bridge bridge-1 is active", Why: reason.Reason{Code: reason.Standby, Other: "bridge-1"}},
			Kafka: wire.Dependency{Up: true, Since: at}, Lease: &wire.BridgeLease{Session: "carga-bridge", Term: 7, Number: 61},
		}, reader(wire.DecodeBridgeAlive)},
		{"central_alive", &wire.CentralAlive{V: 1, Central: central, At: at}, reader(wire.DecodeCentralAlive)},
		{"driver_AUTHORIZATION_REQUEST", &wire.DriverRequest{
			MessageID: "m-1", EventType: wire.DriverAuthorization, DriverID: "7", Username: "driver1", ClientID: "web-1", Timestamp: wire.Seconds(at),
		}, reader(wire.DecodeDriverRequest)},
		{"driver_charging_started", &wire.DriverRequest{
			MessageID: "m-4", EventType: wire.DriverStarted, Username: "driver1", CPID: &cp, ReservationID: booking, Timestamp: wire.Seconds(at),
			LimitKWh: &limit, LimitCost: &amount,
		}, reader(wire.DecodeDriverRequest)},
		{"driver_STOP_REQUEST", &wire.DriverRequest{
			MessageID: "m-2", EventType: wire.DriverStop, Username: "driver1", CPID: &cp, Timestamp: wire.Seconds(at),
		}, reader(wire.DecodeDriverRequest)},
		{"central_AUTHORIZATION_RESPONSE", &wire.CentralEvent{
			EventID: "a.m-1", EventType: wire.CentralAuthorization, MessageID: "m-1", ClientID: "web-1", Username: "driver1", CPID: cp, Connector: 1,
			Authorized: &yes, ReservationID: booking, ExpiresAt: &expires, Timestamp: wire.Seconds(at),
		}, reader(wire.DecodeCentralEvent)},
		{"central_CHARGING_TICKET", &wire.CentralEvent{
			EventID: "t." + string(session), EventType: wire.CentralTicket, Username: "driver1", CPID: cp, Connector: 1, SessionID: session,
			EnergyKWh: &energy, Cost: &cost, Currency: "EUR", DurationSec: &seconds, LimitKWh: &limit, LimitCost: &amount, Reason: "remote", Timestamp: wire.Seconds(at),
		}, reader(wire.DecodeCentralEvent)},
	}
}

// TestGolden pins the bytes of every message: a changed file is a changed
// contract. Each is read back to the same value, and once more with a field
// that a later version might add.
func TestGolden(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			raw, err := s.value.Encode()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", s.name+".json")
			if *rewrite {
				if err := os.WriteFile(path, append(bytes.Clone(raw), '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (make it with: go test ./internal/wire -rewrite)", err)
			}
			if got := string(raw) + "\n"; got != string(want) {
				t.Errorf("got  %swant %s", got, want)
			}
			for _, text := range [][]byte{raw, append(append(bytes.Clone(raw[:len(raw)-1]), []byte(`,"x_later":{"a":[null,1.5e3]}`)...), '}')} {
				back, err := s.decode(text)
				if err != nil {
					t.Fatalf("decode %s: %v", text, err)
				}
				if !reflect.DeepEqual(back, s.value) {
					t.Errorf("read back %+v, want %+v", back, s.value)
				}
			}
		})
	}
}

// TestPayloadRoundTrip decodes the data of every record and command by type.
func TestPayloadRoundTrip(t *testing.T) {
	for _, p := range payloads(t) {
		r, err := wire.NewRecord(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := r.Payload()
		if err != nil {
			t.Fatalf("%s: %v", r.Type, err)
		}
		if !reflect.DeepEqual(back, p) {
			t.Errorf("%s: got %+v, want %+v", r.Type, back, p)
		}
	}
}

// TestUnknownTypeIsKept: a type of a later version is counted, not refused.
func TestUnknownTypeIsKept(t *testing.T) {
	raw := []byte(`{"v":9,"cp_id":"CP_001","journal":"j","seq":1,"prev":"","type":"battery_swapped","at":"2026-11-22T10:00:00.000Z","data":{"a":1}}`)
	r, err := wire.DecodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Payload()
	if p != nil || err != nil {
		t.Errorf("got %v, %v; want nothing and no error", p, err)
	}
	if !json.Valid(r.Data) {
		t.Errorf("data %s not kept", r.Data)
	}
}
