package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	maxCount = 1 << 53 // larger integers are not exact in every JSON library
	// maxElectric is far above power, current and voltage of a charging point.
	maxElectric = 10_000_000
	// maxDecimal bounds decimals in the drivers' protocol.
	maxDecimal = 10_000_000_000_000
)

// ofType returns the schema of a Go type that represents one value; nil for
// types with fields or elements.
func ofType(t reflect.Type) *node {
	switch t {
	// Identifiers appear in topics, keys and file names.
	case reflect.TypeFor[charge.CPID](), reflect.TypeFor[charge.JournalID](), reflect.TypeFor[charge.SessionID](),
		reflect.TypeFor[charge.ReservationID](), reflect.TypeFor[charge.CommandID](), reflect.TypeFor[charge.TariffVersion]():
		return id()
	// A number with 16 random digits, or a UUIDv7 as of earlier versions.
	case reflect.TypeFor[charge.Epoch]():
		return &node{Type: typeString, Pattern: `^((1000000000000|[1-9]\d{0,11})-[0-9a-f]{16}|` +
			`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$`}
	case reflect.TypeFor[charge.Username](), reflect.TypeFor[charge.IDToken]():
		return name()
	case reflect.TypeFor[charge.TokenHash]():
		return hash()
	// RFC 3339 in UTC, of the years 1970 to 9999. The pattern does not know how
	// many days a month has; the decoder does.
	case reflect.TypeFor[charge.Time]():
		return &node{Type: typeString, Pattern: `^(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z$`}
	// The reading of a meter.
	case reflect.TypeFor[charge.WattHours]():
		return integer(0, int64(charge.MaxRegister))
	// Records count from 1.
	case reflect.TypeFor[charge.Seq]():
		return integer(1, maxCount)
	// Where 0 means the whole charging point, special permits it.
	case reflect.TypeFor[charge.ConnectorID]():
		return integer(1, charge.MaxConnectors)
	// Negative: the vehicle feeds back.
	case reflect.TypeFor[charge.Watts](), reflect.TypeFor[charge.MilliAmps]():
		return integer(-maxElectric, maxElectric)
	case reflect.TypeFor[charge.MilliVolts]():
		return integer(0, maxElectric)
	// From absolute zero on.
	case reflect.TypeFor[charge.MilliCelsius]():
		return integer(-273_150, maxElectric)
	// Decimals of the drivers' protocol.
	case reflect.TypeFor[wire.KWh](), reflect.TypeFor[wire.Money]():
		least, most := int64(-maxDecimal), int64(maxDecimal)
		return &node{Type: typeNumber, Minimum: &least, Maximum: &most}
	// A number, or a number in a string.
	case reflect.TypeFor[wire.Seconds]():
		least, most := int64(0), int64(charge.MaxTime)/1000
		return &node{Type: []string{typeNumber, typeString}, Minimum: &least, Maximum: &most, Pattern: `^\d+(\.\d+)?$`}
	// The data of a record or a command; describe adds its schema.
	case reflect.TypeFor[json.RawMessage]():
		return &node{Type: typeObject}
	}
	return ofWord(t)
}

// ofWord returns the schema of a type that is a closed list; nil for others.
func ofWord(t reflect.Type) *node {
	switch t {
	case reflect.TypeFor[charge.Status]():
		return oneOf(charge.Statuses()...)
	case reflect.TypeFor[charge.Fault]():
		return oneOf(charge.Faults()...)
	case reflect.TypeFor[charge.StopReason]():
		return oneOf(charge.StopReasons()...)
	case reflect.TypeFor[charge.LimitOwner]():
		return oneOf(charge.LimitOwners()...)
	case reflect.TypeFor[charge.ReservationEnd]():
		return oneOf(charge.ReservationExpired, charge.ReservationCancelled, charge.ReservationFault,
			charge.ReservationUnavailable, charge.ReservationClockUnset)
	case reflect.TypeFor[charge.ClockQuality]():
		return oneOf(charge.ClockUnset, charge.ClockSet, charge.ClockSynced)
	case reflect.TypeFor[wire.Grant]():
		return oneOf(wire.GrantReservation, wire.GrantOrder, wire.GrantLocalList, wire.GrantFreeVend)
	case reflect.TypeFor[wire.CommandResult]():
		return oneOf(wire.ResultDone, wire.ResultFailed, wire.ResultRejected, wire.ResultExpired)
	case reflect.TypeFor[wire.Decision]():
		return oneOf(wire.DecidedAccepted, wire.DecidedRefused)
	case reflect.TypeFor[wire.SimulateAction]():
		return oneOf(wire.SimulatePlug, wire.SimulateUnplug, wire.SimulateFault, wire.SimulateRepair, wire.SimulateTap)
	}
	return nil
}

// id, name and hash return the schemas of identifiers, names and SHA-256 values.
func id() *node {
	return &node{Type: typeString, Pattern: fmt.Sprintf("^[A-Za-z0-9_-]{1,%d}$", charge.MaxIDLength)}
}

func name() *node {
	return &node{Type: typeString, MinLength: 1, MaxLength: charge.MaxNameLength, Pattern: `^[^\x00-\x1f\x7f]+$`}
}

func hash() *node { return &node{Type: typeString, Pattern: `^[0-9a-f]{64}$`} }

// special returns the schema of a field whose type does not imply it, by Go type
// and JSON name; nil for all others. A range that a validate method of package
// wire checks for one field only belongs here.
func special(field string) *node {
	switch field {
	// Versions count from 1. A later one is accepted.
	case "Record.v", "Command.v", "Ack.v", "Presence.v", "Telemetry.v", "BridgeAlive.v", "CentralAlive.v":
		return atLeast(1)
	// 0 means the whole charging point.
	case "Record.connector", "Command.connector":
		return integer(0, charge.MaxConnectors)
	// Empty for the first record of a charging point.
	case "Record.prev":
		return &node{Type: typeString, Pattern: `^([0-9a-f]{64})?$`}
	// A type of a later version is accepted, so that there is no list.
	case "Record.type", "Command.type", "DriverRequest.event_type":
		return &node{Type: typeString, MinLength: 1, MaxLength: 64}
	case "Record.uptime_ms", "Telemetry.uptime_ms", "Health.reader_ms":
		return integer(0, maxCount)
	// An hour at most.
	case "Telemetry.interval_ms":
		return integer(0, 3_600_000)
	case "Command.n", "Presence.conn", "SetLocalList.version":
		return integer(1, maxCount)
	// 0 without a journal, a lease or a list.
	case "Ack.seq", "BridgeLease.term", "BridgeLease.number", "SetLocalList.base", "ListState.version":
		return integer(0, maxCount)
	// 0 in last means up to the end of the journal.
	case "Damaged.first", "Damaged.last":
		return atLeast(0)
	case "ConnectorState.rated_w":
		return integer(0, maxElectric)
	case "SetLimit.limit_ma", "ConnectorTelemetry.limit_ma", "ConnectorState.max_ma", "ConnectorState.safe_ma":
		return integer(0, wire.MaxLimit)
	case "Start.limit_wh", "Start.limit_amount", "Authorized.limit_wh", "Authorized.limit_amount":
		return integer(1, charge.MaxSessionLimit)
	case "Authorize.limit_wh", "Authorize.limit_amount":
		return integer(1, charge.MaxSessionLimit)
	// 0 is none.
	case "LocalListEntry.limit_wh", "LocalListEntry.limit_amount":
		return integer(0, charge.MaxSessionLimit)
	// Decimals above 0. How many decimals limit_cost may have depends on the currency.
	case "DriverRequest.limit_kwh":
		return &node{Type: typeNumber, Above: new(int64(0)), Maximum: new(int64(1_000_000_000))}
	case "DriverRequest.limit_cost":
		return &node{Type: typeNumber, Above: new(int64(0))}
	// Empty is the same as absent.
	case "Stop.reason":
		return oneOf("", string(charge.StopRemote), string(charge.StopLimitReached), string(charge.StopDeauthorized))
	case "Suspended.by":
		return oneOf("ev", "evse")
	// Texts that the decoder treats as identifiers.
	case "AuthRequested.request_id", "Authorize.request_id", "AnomalySeen.anomaly":
		return id()
	case "BridgeAlive.bridge", "BridgeLease.session":
		return name()
	case "ListState.digest", "SetLocalList.digest":
		return &node{Type: typeString, Pattern: `^[0-9a-f]{16}$`}
	case "CentralEvent.event_id":
		return &node{Type: typeString, MinLength: 1, MaxLength: 160}
	case "CentralEvent.connector":
		return integer(1, charge.MaxConnectors)
	}
	if most := longest(field); most > 0 {
		return text(most)
	}
	return nil
}

// longest returns the maximum length of a text field, in bytes; 0 without one.
// JSON Schema counts characters, so that a schema is looser for texts outside
// ASCII.
func longest(field string) int {
	switch field {
	case "CommandFinished.command":
		return 64
	case "Registered.agent", "Registered.name", "Registered.place", "Suspended.reason", "Authorize.reason",
		"CentralEvent.message_id", "DriverRequest.message_id", "DriverRequest.driver_id", "DriverRequest.client_id", "DriverRequest.error":
		return 128
	case "Damaged.reason", "FaultRaised.detail", "CommandFinished.reason", "Health.reader":
		return 256
	case "AnomalySeen.detail", "Health.alarm":
		return 512
	case "Dependency.reason",
		"Reason.code", "Reason.part", "Reason.bridge", "Reason.address", "Reason.topic", "Reason.central", "Reason.journal", "Reason.session_id",
		"Reason.other", "Reason.username", "Reason.fault", "Reason.since", "Reason.cause", "Reason.detail", "Reason.note":
		return 1024
	}
	return 0
}

// of returns the schema of any Go type that messages contain.
func of(t reflect.Type) *node {
	if n := ofType(t); n != nil {
		return n
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(of(t.Elem()))
	case reflect.Struct:
		return object(t)
	case reflect.Slice:
		return &node{Type: typeArray, Items: of(t.Elem())}
	case reflect.String:
		return &node{Type: typeString}
	case reflect.Bool:
		return &node{Type: typeBoolean}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return &node{Type: typeInteger}
	default:
		panic(fmt.Sprintf("no JSON Schema for %s", t)) // messages have no fields of other kinds
	}
}

// object returns the schema of a struct: one property per field, by its JSON
// name. Additional properties stay allowed.
func object(t reflect.Type) *node {
	n := &node{Type: typeObject, Properties: map[string]*node{}}
	for f := range t.Fields() {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := t.Name() + "." + key
		p := special(field)
		if p == nil {
			p = of(f.Type)
		}
		// A pointer is null unless its field is omitted when it is nil.
		if omitted := strings.Contains(options, "omit"); omitted && f.Type.Kind() == reflect.Pointer {
			p = withoutNull(of(f.Type.Elem()), special(field))
		}
		switch field {
		// The number of connectors of a charging point.
		case "Registered.connectors":
			p.MinItems, p.MaxItems = 1, charge.MaxConnectors
		case "Telemetry.connectors":
			p.MaxItems = charge.MaxConnectors
		}
		n.Properties[key] = p
	}
	return n
}

// withoutNull returns the schema of a pointer field that is omitted when nil,
// and never written as null.
func withoutNull(n, special *node) *node {
	if special != nil {
		return special
	}
	return n
}
