package mqttlink

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"pgregory.net/rapid"
)

// published is a PUBLISH as a broker sends it.
func published(topic string, payload []byte) []byte {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket) //nolint:forcetypeassert // it is what was asked for
	p.Qos, p.MessageID, p.TopicName, p.Payload = 1, 7, topic, payload
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestShorterPacketsAreHandedOverAsTheyAre, however the line cuts them up.
func TestShorterPacketsAreHandedOverAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []byte
		for range rapid.IntRange(0, 5).Draw(t, "packets") {
			size := rapid.SampledFrom([]int{0, 1, 126, 127, 128, 16_383, 16_384, 70_000, maxPacket - 5}).Draw(t, "bytes")
			all = append(all, published("t", make([]byte, size))...)
			all = append(all, 0xd0, 0) // an answer to a ping
		}
		got, err := io.ReadAll(newFrames(iotest.HalfReader(bytes.NewReader(all)), func() { t.Error("cut") }))
		if err != nil || !bytes.Equal(got, all) {
			t.Fatalf("got %d bytes %v, want %d as they came", len(got), err, len(all))
		}
	})
}

// TestLongMessagesAreCut: an announced 256 MB need no more memory than
// maxPacket, and the next packet is read.
func TestLongMessagesAreCut(t *testing.T) {
	const size = 20 << 20
	cuts := 0
	line := io.MultiReader(bytes.NewReader(published("cp/a/down/ack", make([]byte, size))), bytes.NewReader(published("next", []byte("good"))))
	f := newFrames(line, func() { cuts++ })
	for _, want := range []struct {
		topic string
		bytes int
	}{{"cp/a/down/ack", maxPacket - 2 - len("cp/a/down/ack") - 2}, {"next", 4}} {
		p, err := packets.ReadPacket(f)
		if err != nil {
			t.Fatal(err)
		}
		m, ok := p.(*packets.PublishPacket)
		if !ok || m.TopicName != want.topic || len(m.Payload) != want.bytes || m.MessageID != 7 {
			t.Errorf("got %.80s, want %d bytes on %s", p, want.bytes, want.topic)
		}
	}
	if cuts != 1 {
		t.Errorf("%d cuts are reported, want 1", cuts)
	}
}

// TestOtherLongPacketsEndTheConnection, and so does a length without an end.
func TestOtherLongPacketsEndTheConnection(t *testing.T) {
	for raw, want := range map[string]string{
		"\x90\xff\xff\xff\x7f":     "packet of type 9 has 268435455 bytes; at most",
		"\x20\xff\xff\xff\xff\x01": "its length has more than 4 bytes",
	} {
		_, err := packets.ReadPacket(newFrames(strings.NewReader(raw), func() { t.Error("cut") }))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%x: got %v, want it refused: %s", raw, err, want)
		}
	}
}
