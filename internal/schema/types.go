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
	maxCount = 1 << 53 // integers beyond it are not exact everywhere
	// power, current and voltage of a charging point are far below.
	maxElectric = 10_000_000
	maxDecimal  = 10_000_000_000_000
)

// ofType is the schema of a Go type that stands for one value; nil for those
// that are made of others.
func ofType(t reflect.Type) *node {
	switch t {
	case reflect.TypeFor[charge.CPID](), reflect.TypeFor[charge.JournalID](), reflect.TypeFor[charge.SessionID](),
		reflect.TypeFor[charge.ReservationID](), reflect.TypeFor[charge.CommandID](), reflect.TypeFor[charge.TariffVersion]():
		return id()
	case reflect.TypeFor[charge.Epoch]():
		return &node{Type: typeString, Pattern: `^((1000000000000|[1-9]\d{0,11})-[0-9a-f]{16}|` +
			`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$`}
	case reflect.TypeFor[charge.Username](), reflect.TypeFor[charge.IDToken]():
		return name()
	case reflect.TypeFor[charge.Time]():
		return &node{Type: typeString, Pattern: `^(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z$`}
	case reflect.TypeFor[charge.WattHours]():
		return integer(0, int64(charge.MaxRegister))
	case reflect.TypeFor[charge.Seq]():
		return integer(1, maxCount)
	case reflect.TypeFor[charge.ConnectorID]():
		return integer(1, charge.MaxConnectors)
	case reflect.TypeFor[charge.Watts](), reflect.TypeFor[charge.MilliAmps]():
		return integer(-maxElectric, maxElectric)
	case reflect.TypeFor[charge.MilliVolts]():
		return integer(0, maxElectric)
	case reflect.TypeFor[charge.MilliCelsius]():
		return integer(-273_150, maxElectric)
	case reflect.TypeFor[wire.KWh](), reflect.TypeFor[wire.Money]():
		least, most := int64(-maxDecimal), int64(maxDecimal)
		return &node{Type: typeNumber, Minimum: &least, Maximum: &most}
	case reflect.TypeFor[wire.Seconds]():
		least, most := int64(0), int64(charge.MaxTime)/1000
		return &node{Type: []string{typeNumber, typeString}, Minimum: &least, Maximum: &most, Pattern: `^\d+(\.\d+)?$`}
	case reflect.TypeFor[json.RawMessage]():
		return &node{Type: typeObject}
	}
	return ofWord(t)
}

// ofWord is the schema of a closed list of words.
func ofWord(t reflect.Type) *node {
	switch t {
	case reflect.TypeFor[charge.Status]():
		return oneOf(charge.Statuses()...)
	case reflect.TypeFor[charge.Fault]():
		return oneOf(charge.Faults()...)
	case reflect.TypeFor[charge.StopReason]():
		return oneOf(charge.StopReasons()...)
	case reflect.TypeFor[charge.ReservationEnd]():
		return oneOf(charge.ReservationExpired, charge.ReservationCancelled, charge.ReservationFault,
			charge.ReservationUnavailable, charge.ReservationClockUnset)
	case reflect.TypeFor[charge.ClockQuality]():
		return oneOf(charge.ClockUnset, charge.ClockSet, charge.ClockSynced)
	case reflect.TypeFor[wire.Grant]():
		return oneOf(wire.GrantReservation, wire.GrantOrder, wire.GrantLocalList, wire.GrantFreeVend)
	case reflect.TypeFor[wire.CommandResult]():
		return oneOf(wire.ResultDone, wire.ResultFailed, wire.ResultRejected, wire.ResultExpired)
	case reflect.TypeFor[wire.SimulateAction]():
		return oneOf(wire.SimulatePlug, wire.SimulateUnplug, wire.SimulateFault, wire.SimulateRepair)
	}
	return nil
}

func id() *node {
	return &node{Type: typeString, Pattern: fmt.Sprintf("^[A-Za-z0-9_-]{1,%d}$", charge.MaxIDLength)}
}

func name() *node {
	return &node{Type: typeString, MinLength: 1, MaxLength: charge.MaxNameLength, Pattern: `^[^\x00-\x1f\x7f]+$`}
}

func hash() *node { return &node{Type: typeString, Pattern: `^[0-9a-f]{64}$`} }

// special is the schema of a field whose type does not say it all, by Go type
// and JSON name; nil for all others.
func special(field string) *node {
	switch field {
	case "Record.v", "Command.v", "Ack.v", "Presence.v", "Telemetry.v", "BridgeAlive.v", "CentralAlive.v":
		return atLeast(1)
	case "Record.connector", "Command.connector":
		return integer(0, charge.MaxConnectors)
	case "Record.prev":
		return &node{Type: typeString, Pattern: `^([0-9a-f]{64})?$`}
	case "Record.type", "Command.type", "DriverRequest.event_type":
		return &node{Type: typeString, MinLength: 1, MaxLength: 64}
	case "Record.uptime_ms", "Telemetry.uptime_ms":
		return integer(0, maxCount)
	case "Telemetry.interval_ms":
		return integer(0, 3_600_000)
	case "Command.n", "Presence.conn", "SetLocalList.version":
		return integer(1, maxCount)
	case "Ack.seq":
		return integer(0, maxCount)
	case "Damaged.first", "Damaged.last":
		return atLeast(0)
	case "ConnectorState.rated_w":
		return integer(0, maxElectric)
	case "SetLimit.limit_ma":
		return integer(0, 1_000_000)
	case "Suspended.by":
		return oneOf("ev", "evse")
	case "AuthRequested.request_id", "Authorize.request_id", "AnomalySeen.anomaly":
		return id()
	case "BridgeAlive.bridge":
		return name()
	case "LocalListEntry.token_hash":
		return hash()
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

// longest bounds texts, in bytes.
func longest(field string) int {
	switch field {
	case "CommandFinished.command":
		return 64
	case "Registered.agent", "Registered.name", "Registered.place", "Suspended.reason", "Authorize.reason",
		"CentralEvent.message_id", "DriverRequest.message_id", "DriverRequest.driver_id", "DriverRequest.client_id", "DriverRequest.error":
		return 128
	case "Damaged.reason", "FaultRaised.detail", "CommandFinished.reason":
		return 256
	case "AnomalySeen.detail", "Health.alarm":
		return 512
	case "Dependency.reason":
		return 1024
	}
	return 0
}

// of makes the schema of a Go type.
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
		panic(fmt.Sprintf("no JSON Schema for %s", t)) // a field of a kind that messages do not have
	}
}

func object(t reflect.Type) *node {
	n := &node{Type: typeObject, Properties: map[string]*node{}}
	for f := range t.Fields() {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := t.Name() + "." + key
		p := special(field)
		if p == nil {
			p = of(f.Type)
		}
		if omitted := strings.Contains(options, "omit"); omitted && f.Type.Kind() == reflect.Pointer {
			p = withoutNull(of(f.Type.Elem()), special(field))
		}
		switch field {
		case "Registered.connectors":
			p.MinItems, p.MaxItems = 1, charge.MaxConnectors
		case "Telemetry.connectors":
			p.MaxItems = charge.MaxConnectors
		}
		n.Properties[key] = p
	}
	return n
}

// withoutNull is for pointers that are left out instead of written as null.
func withoutNull(n, special *node) *node {
	if special != nil {
		return special
	}
	return n
}
