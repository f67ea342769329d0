package route

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// clockTolerance is how far the clocks of Central and of the bridge may differ
// before a command that arrives immediately would count as expired.
const clockTolerance = 30 * time.Second

// CommandRecord is a record of cp-commands.
type CommandRecord struct {
	Key       string
	Value     []byte
	Kind      string // its header "kind"
	Partition int
	Offset    int64
	At        charge.Time // when the bridge read it
}

// Publish is a message to publish by MQTT with QoS 1.
type Publish struct {
	CP       charge.CPID
	Topic    string
	Payload  []byte
	Retained bool // true for an acknowledgement, of which the latest one is enough
	// Expires is when a command ends, by Central's clock.
	Expires charge.Time
	// Life is how long after its sending a command may have an effect.
	Life time.Duration
	// Backlog reports that a command was in the log when the bridge started.
	Backlog bool
}

// Down decides what becomes of a record of cp-commands. The dead letter is nil
// when the record can be published.
func (r Router) Down(o CommandRecord) (Publish, *Decision) {
	cp, err := charge.ParseCPID(o.Key)
	if err != nil {
		return Publish{}, r.deadLetterCommand(o, "", wire.NotCPID("key", o.Key))
	}
	switch o.Kind {
	case wire.KindValueAck:
		if _, err := wire.DecodeAck(o.Value); err != nil {
			return Publish{}, r.deadLetterCommand(o, cp, wire.Why(err))
		}
		return Publish{CP: cp, Topic: r.MQTT.Of(cp, wire.KindAck), Payload: o.Value, Retained: true}, nil
	case wire.KindValueCommand:
		c, err := wire.DecodeCommand(o.Value)
		switch {
		case err != nil:
			return Publish{}, r.deadLetterCommand(o, cp, wire.Why(err))
		case c.CPID != cp:
			return Publish{}, r.deadLetterCommand(o, cp, reason.Reason{Code: reason.KeyNames, Value: string(cp), Allowed: string(c.CPID)})
		}
		return Publish{
			CP: cp, Topic: r.MQTT.Of(cp, wire.KindCommand), Payload: o.Value, Expires: c.ExpiresAt, Life: c.Life(),
		}, nil
	}
	return Publish{}, r.deadLetterCommand(o, cp, reason.Reason{
		Code: reason.FieldUnknown, Message: "header " + wire.HeaderKind, Value: fmt.Sprintf("%.40q", o.Kind), Allowed: wire.KindValueCommand + ", " + wire.KindValueAck,
	})
}

// Stale reports whether a command must not be published any more. waited is how
// long the bridge has held it. For a command of the backlog its end counts. For a
// live one, its end may be passed by clockTolerance, but the bridge may not have held
// it longer than its life.
func (p Publish) Stale(now charge.Time, waited time.Duration) bool {
	switch {
	case p.Retained:
		return false // an acknowledgement never expires
	case p.Backlog:
		return now >= p.Expires
	}
	return waited >= p.Life || now.Sub(p.Expires) > clockTolerance
}

// deadLetterCommand makes a dead letter of a record of cp-commands.
func (r Router) deadLetterCommand(o CommandRecord, cp charge.CPID, why reason.Reason) *Decision {
	return &Decision{
		Kind: DeadLetter, CP: cp, Why: why,
		Record: r.deadLetterRecord(cut(o.Key), o.Value, append([]Header{
			{wire.HeaderTopic, r.Kafka.Commands},
			{wire.HeaderReceivedAt, o.At.String()},
			{wire.HeaderOrigin, fmt.Sprintf("%d/%d", o.Partition, o.Offset)},
		}, whyHeaders(why)...)),
	}
}
