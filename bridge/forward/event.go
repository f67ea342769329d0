package forward

import (
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/reason"
)

// Message is a message that the bridge has received. The caller makes it and
// passes it to the core by Received; from then on the core owns it.
type Message struct {
	Decision route.Decision
	// Conn is the number of the MQTT connection that delivered it; 0 for a dead
	// letter of a record from Kafka, which is not acknowledged by MQTT.
	Conn uint64
	// QoS is that of its delivery. Only with QoS 1 it is acknowledged.
	QoS byte
	// Size is what it holds in memory, in bytes.
	Size       int
	ReceivedAt time.Time

	number       uint64   // of its place in the window of conn
	counted      bool     // it is part of Counts
	older, newer *Message // the counted messages in flight, in the order of acceptance
}

// Event is what happened to a bridge.
//
//sumtype:decl
type Event interface{ event() }

// The events.
type (
	// Received is a message from MQTT or, with Conn 0, a dead letter of a record
	// from Kafka. If the effect is Pause, it was not accepted: the caller passes it
	// again after Resume, and none behind it before.
	Received struct{ Message *Message }

	// Written reports that Kafka has the message.
	Written struct{ Message *Message }

	// Replaced reports that a newer value is written instead of the message.
	// It happens to telemetry and presence alone.
	Replaced struct{ Message *Message }

	// Refused reports that Kafka refuses the message for what it is, for good. The
	// message becomes a dead letter.
	Refused struct {
		Message *Message
		Why     reason.Reason
	}

	// Withdrawn reports that the message will not be written, since the bridge is
	// stopping. It is not acknowledged, and the broker redelivers it.
	Withdrawn struct{ Message *Message }

	// Lost reports that a connection has ended. What it delivered is not acknowledged
	// any more; what is in flight of it stays so.
	Lost struct{ Conn uint64 }

	// PauseExpired reports that reading has been paused for as long as the connection
	// tolerates.
	PauseExpired struct{ Conn uint64 }
)

func (Received) event()     {}
func (Written) event()      {}
func (Replaced) event()     {}
func (Refused) event()      {}
func (Withdrawn) event()    {}
func (Lost) event()         {}
func (PauseExpired) event() {}

// Effects are what the caller does after a Step. Those of Reading are performed in
// the order of the steps. The zero value is nothing.
type Effects struct {
	// Write is to be written to Kafka; nil for nothing. Messages with one key are
	// written in the order of these effects. Of telemetry and presence the latest
	// of a key is enough: it may replace one that is not yet under way, which is
	// then Replaced.
	Write *Message
	// Acknowledge is how many messages of Conn are to be acknowledged: those
	// received first of the ones that are not acknowledged yet.
	Acknowledge int
	Conn        uint64
	// Reading is what happens to reading from MQTT.
	Reading Reading
}

// Reading is what a caller does about reading from MQTT.
type Reading int

// What a caller does about reading.
const (
	// Unchanged: it goes on as it is.
	Unchanged Reading = iota
	// Pause stops reading on the connection, so that the broker keeps what comes.
	// If no Resume follows within the pause that the connection tolerates, the
	// caller reports PauseExpired.
	Pause
	// Resume reads again.
	Resume
	// Disconnect ends the connection: it would be lost, since a connection that is
	// not read cannot answer. The caller connects again at Connect.
	Disconnect
	// Connect connects again after Disconnect.
	Connect
)
