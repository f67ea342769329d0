package route

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// skew is how far the clocks of Central and of the bridge may differ before a
// command that arrives as it is written would count as old.
const skew = 30 * time.Second

// CommandRecord is a record of cp-commands.
type CommandRecord struct {
	Key       string
	Value     []byte
	Kind      string // its header "kind"
	Partition int
	Offset    int64
	At        charge.Time // when the bridge read it
}

// Publish is a message for MQTT, QoS 1.
type Publish struct {
	CP       charge.CPID
	Topic    string
	Payload  []byte
	Retained bool // an acknowledgement: the latest one is enough
	// Expires is the end of a command.
	Expires charge.Time
	// Life is how long after its sending a command may take effect.
	Life time.Duration
}

// Down decides about a record of cp-commands. The dead letter is nil when it
// can be published.
func (r Router) Down(o CommandRecord) (Publish, *Decision) {
	cp, err := charge.ParseCPID(o.Key)
	if err != nil {
		return Publish{}, r.deadLetterCommand(o, "", "key: "+err.Error())
	}
	switch o.Kind {
	case wire.KindValueAck:
		if _, err := wire.DecodeAck(o.Value); err != nil {
			return Publish{}, r.deadLetterCommand(o, cp, err.Error())
		}
		return Publish{CP: cp, Topic: r.MQTT.Of(cp, wire.KindAck), Payload: o.Value, Retained: true}, nil
	case wire.KindValueCommand:
		c, err := wire.DecodeCommand(o.Value)
		if err == nil && c.CPID != cp {
			err = fmt.Errorf("the key names %s, the command names %s", cp, c.CPID)
		}
		if err != nil {
			return Publish{}, r.deadLetterCommand(o, cp, err.Error())
		}
		return Publish{
			CP: cp, Topic: r.MQTT.Of(cp, wire.KindCommand), Payload: o.Value, Expires: c.ExpiresAt, Life: c.Life(),
		}, nil
	}
	return Publish{}, r.deadLetterCommand(o, cp, fmt.Sprintf("header %s: %.40q is unknown; %s or %s is expected",
		wire.HeaderKind, o.Kind, wire.KindValueCommand, wire.KindValueAck))
}

// Stale reports whether a command must not be published any more. In the log
// read at a start (backlog) its own end counts; live, 30 s are granted to
// clocks that differ, and it may not have waited here longer than it lives.
func (p Publish) Stale(now charge.Time, waited time.Duration, backlog bool) bool {
	switch {
	case p.Retained:
		return false // an acknowledgement stays true
	case backlog:
		return now >= p.Expires
	}
	return waited >= p.Life || now.Sub(p.Expires) > skew
}

func (r Router) deadLetterCommand(o CommandRecord, cp charge.CPID, reason string) *Decision {
	return &Decision{
		Kind: DeadLetter, CP: cp, Reason: reason,
		Record: r.deadLetterRecord(cut(o.Key), o.Value, []Header{
			{wire.HeaderTopic, r.Kafka.Commands},
			{wire.HeaderReceivedAt, o.At.String()},
			{wire.HeaderOrigin, fmt.Sprintf("%d/%d", o.Partition, o.Offset)},
			{wire.HeaderReason, cut(reason)},
		}),
	}
}
