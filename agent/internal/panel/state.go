package panel

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// State is the body of /status.json.
type State struct {
	CP      charge.CPID `json:"cp_id"`
	Name    string      `json:"name,omitempty"`
	Place   string      `json:"place,omitempty"`
	Version string      `json:"version"`
	// Simulated hardware may be operated by /simulate.
	Simulated bool                `json:"simulated,omitempty"`
	At        charge.Time         `json:"at"`
	Clock     charge.ClockQuality `json:"clock"`
	UptimeMS  int64               `json:"uptime_ms"`
	Link      Link                `json:"link"`
	Journal   Journal             `json:"journal"`
	Checks    []health.Status     `json:"checks"` // of /readyz
	Steps     map[Step]bool       `json:"steps"`  // of the whole charging point: done or not
	// Connectors are in order, from 1 on.
	Connectors []Connector `json:"connectors"`
}

// Link is the connection to the MQTT broker.
type Link struct {
	Up     bool      `json:"up"`
	Since  time.Time `json:"since"`
	Broker string    `json:"broker"`
	Error  string    `json:"error,omitempty"` // why it is down
}

// Journal is what is on the disk, and how far Central has it.
type Journal struct {
	Records int64 `json:"records"` // of all boots
	Unacked int64 `json:"unacked"`
	// QuotaPermille is how much of the space for unacknowledged records is used.
	QuotaPermille int64 `json:"quota_permille"`
	// AckedMS is the time since the last acknowledgement; -1: none in this boot.
	AckedMS int64 `json:"acked_ms"`
}

// Connector is one connector: its latest values, and what the agent knows beyond them.
type Connector struct {
	wire.ConnectorTelemetry

	Pilot  string `json:"pilot"`  // A to F; empty: not known
	Closed bool   `json:"closed"` // the contactor, as measured
	// Withheld is why the safety rules withhold power without a fault.
	Withheld string `json:"withheld,omitempty"`
	// MeterMS is the age of the last reading; -1: none in this boot.
	MeterMS int64         `json:"meter_ms"`
	Steps   map[Step]bool `json:"steps"` // done or not
}

// NewLink is the link as the page shows it.
func NewLink(s mqttlink.State) Link {
	l := Link{Up: s.Up, Since: s.Since, Broker: s.Broker}
	if !s.Up {
		l.Error = s.LastError
	}
	return l
}

// NewConnector is a connector as the page shows it at the time at.
func NewConnector(t wire.ConnectorTelemetry, s *connector.State, at time.Duration) Connector {
	t.SessionID = "" // names nothing that a person on site knows
	c := Connector{ConnectorTelemetry: t, Pilot: s.Pilot.String(), Closed: s.Closed, Withheld: s.Withheld, MeterMS: -1}
	if s.Meter.Known {
		c.MeterMS = (at - s.Meter.Last.BegunAt).Milliseconds()
	}
	return c
}
