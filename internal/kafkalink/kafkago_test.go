package kafkalink_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// The tests of this file state what kafka-go does where this package relies on
// it or works round it. When one fails after an update of kafka-go, kafka-go has
// changed: check the guarantee of this package that it belongs to.

// TestKafkaGoCachesMetadata: once filled, the cache answers while Kafka is away,
// too. API versions are requested each time, so the watcher requests both.
func TestKafkaGoCachesMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		c, tr := w.bare()
		if _, err := c.Metadata(t.Context(), &kafka.MetadataRequest{}); err != nil {
			t.Fatal(err)
		}
		w.away()
		time.Sleep(time.Hour)
		if _, err := c.Metadata(t.Context(), &kafka.MetadataRequest{}); err != nil {
			t.Errorf("metadata: %v; it used to come from the cache", err)
		}
		if _, err := c.ApiVersions(t.Context(), &kafka.ApiVersionsRequest{}); err == nil {
			t.Error("API versions answered without Kafka")
		}
		// Dropping the pool makes the next request go out at once.
		tr.CloseIdleConnections()
		if _, err := c.Metadata(t.Context(), &kafka.MetadataRequest{}); err == nil {
			t.Error("a new pool answered without Kafka")
		}
		w.back()
		tr.CloseIdleConnections()
		began := time.Now()
		if _, err := c.Metadata(t.Context(), &kafka.MetadataRequest{}); err != nil || time.Since(began) > 0 {
			t.Errorf("a new pool: %v after %v, want an answer at once", err, time.Since(began))
		}
		tr.CloseIdleConnections()
		w.stop()
	})
}

// TestKafkaGoCachesTheFirstFailure: before the first success, further calls fail
// without a dial, so that a loop without a pause of its own would spin.
func TestKafkaGoCachesTheFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{cut: true}
		c, tr := w.bare()
		began := time.Now()
		for range 1000 {
			if _, err := c.Metadata(t.Context(), &kafka.MetadataRequest{}); !errors.Is(err, errCut) {
				t.Fatalf("metadata: %v", err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("1000 failures took %v: kafka-go pauses now", took)
		}
		tr.CloseIdleConnections()
	})
}

func record(text string) kafka.RecordReader {
	return kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(text))})
}

// TestKafkaGoProduceErrors: a missing topic is an error value without a code; a
// refused batch is an error inside the response, with a nil error.
func TestKafkaGoProduceErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		k := w.start(t)
		c, tr := w.bare()
		_, err := c.Produce(t.Context(), &kafka.ProduceRequest{Topic: "a", RequiredAcks: kafka.RequireAll, Records: record("x")})
		if err == nil || errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("missing topic: %v", err)
		}
		limit := "1000"
		if err := k.CreateTopic("a", 1, map[string]string{"max.message.bytes": limit}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		res, err := c.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: "a", RequiredAcks: kafka.RequireAll, Records: record(string(make([]byte, 2000))),
		})
		if err != nil || !errors.Is(res.Error, kafka.MessageSizeTooLarge) {
			t.Errorf("too large: %v, %+v", err, res)
		}
		// The bound applies to a batch: records that fit one by one do not fit
		// together.
		var both []kafka.Record
		for range 2 {
			both = append(both, kafka.Record{Value: kafka.NewBytes(make([]byte, 700))})
		}
		res, err = c.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: "a", RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(both...),
		})
		if err != nil || !errors.Is(res.Error, kafka.MessageSizeTooLarge) {
			t.Errorf("two that fit alone: %v, %+v", err, res)
		}
		tr.CloseIdleConnections()
		w.stop()
	})
}

// TestKafkaGoOffsets: an offset beyond the end is an error inside the response.
// A time after the last record is offset −1, which kafka-go's Reader would
// resolve as "the end, whenever the request arrives".
func TestKafkaGoOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		w.write(t, numbers(0, 3)...)
		time.Sleep(time.Hour)
		c, tr := w.bare()
		res, err := c.Fetch(t.Context(), &kafka.FetchRequest{Topic: "a", Offset: 4, MinBytes: 1, MaxBytes: 1000, MaxWait: time.Second})
		if err != nil || !errors.Is(res.Error, kafka.OffsetOutOfRange) {
			t.Errorf("beyond the end: %v, %+v", err, res)
		}
		list, err := c.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{
			Topics: map[string][]kafka.OffsetRequest{"a": {kafka.TimeOffsetOf(0, time.Now())}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := list.Topics["a"][0].Offsets[-1]; !ok {
			t.Errorf("a time with nothing as late: %+v", list.Topics["a"][0])
		}
		tr.CloseIdleConnections()
		w.stop()
	})
}

// TestPartitionOfIsJavas: test vectors of librdkafka and kafka-python for the
// partitioner of the Java client, and kafka-go's own.
func TestPartitionOfIsJavas(t *testing.T) {
	for key, hash := range map[string]uint32{
		"kafka": 0xd067cf64, "giberish123456789": 0x8f552b0c, "1234": 0x9fc97b14, "234": 0xe7c009ca,
		"34": 0x873930da, "4": 0x5a4b5ca1, "": 0x106e08d9,
		"PreAmbleWillBeRemoved,ThePrePartThatIs": 0x78424f1c, "reAmbleWillBeRemoved,ThePrePartThatIs": 0x4a62b377,
		"eAmbleWillBeRemoved,ThePrePartThatIs": 0xe0e4e09e, "AmbleWillBeRemoved,ThePrePartThatIs": 0x62b8b43f,
	} {
		const count = 1_000_003
		if got, want := kafkalink.PartitionOf([]byte(key), count), int(hash&0x7fffffff)%count; got != want {
			t.Errorf("%q: partition %d, want %d", key, got, want)
		}
	}
	for key, want := range map[string]int{"": 681, "a": 524, "ab": 434, "abc": 107, "123456789": 566, "\x00 ": 742} {
		if got := kafkalink.PartitionOf([]byte(key), 1000); got != want {
			t.Errorf("%q: partition %d of 1000, want %d", key, got, want)
		}
	}
	b := kafka.Murmur2Balancer{}
	all := make([]int, 12)
	for i := range all {
		all[i] = i
	}
	for i := range 500 {
		key := []byte("CP_" + numbers(i*i, i*i+1)[0])
		if got, want := kafkalink.PartitionOf(key, 12), b.Balance(kafka.Message{Key: key}, all...); got != want {
			t.Errorf("%s: partition %d, want %d", key, got, want)
		}
	}
}
