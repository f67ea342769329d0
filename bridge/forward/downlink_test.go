package forward_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// central issues commands and acknowledgements.
var central = charge.Epoch{Number: 1, Run: "00000000000000ab"}

func ack(cp string, seq charge.Seq) route.CommandRecord {
	m := wire.Ack{V: 1, Central: central, Journal: new(charge.JournalID("boot")), Seq: seq, At: charge.At(began)}
	return commandRecord(cp, wire.KindValueAck, &m)
}

func command(cp string) route.CommandRecord {
	at := charge.At(began)
	data, err := wire.EncodeOrder(&wire.Stop{SessionID: "s1"})
	if err != nil {
		panic(err)
	}
	return commandRecord(cp, wire.KindValueCommand, &wire.Command{
		V: 1, ID: "c1", N: 1, Central: central, Journal: "boot", CPID: charge.CPID(cp), Connector: 1,
		Type: wire.CommandStop, IssuedAt: at, SentAt: at, ExpiresAt: at + 60_000, Data: data,
	})
}

func commandRecord(cp, kind string, m interface{ Encode() ([]byte, error) }) route.CommandRecord {
	raw, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return route.CommandRecord{Key: cp, Kind: kind, Value: raw}
}

// TestDownlink: of the acknowledgements of the backlog the last one of each charging point
// is published, at its end, and behind the backlog with each batch; commands are published
// in the order of the log, marked while they are of the backlog; what cannot be used
// becomes a dead letter.
func TestDownlink(t *testing.T) {
	t.Parallel()
	r := route.Router{Kafka: route.DefaultTopics()}
	var d forward.Downlink
	d.Opened(14)
	offset := int64(10)
	for _, step := range []struct {
		batch []route.CommandRecord
		want  []string
		dead  int
	}{
		{[]route.CommandRecord{ack("B", 1), command("B"), ack("A", 1)}, []string{"B command of the backlog"}, 0},
		{[]route.CommandRecord{ack("B", 2), command("A")}, []string{"A command", "A ack 1", "B ack 2"}, 0},
		{[]route.CommandRecord{ack("A", 2), {Key: "A", Kind: "other"}, ack("A", 3)}, []string{"A ack 3"}, 1},
		{nil, nil, 0},
	} {
		for i := range step.batch {
			step.batch[i].Offset = offset
			offset++
		}
		publish, dead := d.Read(r, step.batch, offset)
		var got []string
		for _, p := range publish {
			text := string(p.CP) + " command"
			if a, err := wire.DecodeAck(p.Payload); p.Retained && err == nil {
				text = fmt.Sprint(p.CP, " ack ", a.Seq)
			}
			if p.Backlog {
				text += " of the backlog"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, step.want) || len(dead) != step.dead {
			t.Errorf("published %q and %d dead letters, want %q and %d", got, len(dead), step.want, step.dead)
		}
	}
	// The topic was deleted and created again: nothing of it waits for the end of the old log.
	d.Opened(1)
	for i, want := range []bool{true, false} {
		record := command("A")
		record.Offset = int64(i)
		publish, _ := d.Read(r, []route.CommandRecord{ack("B", 1), record}, int64(i+1))
		if len(publish) != 2 || publish[0].Backlog != want {
			t.Errorf("offset %d of a new log: %d published, the first one of the backlog: %t", i, len(publish), publish[0].Backlog)
		}
	}
}
