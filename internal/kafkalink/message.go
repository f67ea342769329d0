package kafkalink

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Fingerprint identifies the content of a record: CRC-32C over the length of the
// key, key and value. It detects accidents, not attacks.
func Fingerprint(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(key)))
	sum := crc32.Checksum(size[:], table)
	sum = crc32.Update(sum, table, key)
	return crc32.Update(sum, table, value)
}

// Message is a record that was read. Its slices belong to the receiver.
type Message struct {
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Headers []Header
}

// Header returns the value of the first header of that name, or nil.
func (m Message) Header(name string) []byte {
	for _, h := range m.Headers {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}

// Batch is at least one message of one partition, in the order of the log.
type Batch struct {
	Topic     string
	Partition int
	Messages  []Message
	// HighWatermark is the end of the log when the batch was fetched: nothing
	// followed it then if Next == HighWatermark.
	HighWatermark int64
	// After is a moment, by this machine's clock, at which no message of the batch
	// was in the log: the reader had read to its end. Zero if it had not.
	After time.Time
	// Next and CRC are the position behind the batch. An owner that stores them in
	// the transaction of the batch's effects continues with FromOffset.
	Next int64
	CRC  uint32
}

// readAll copies the records from an offset on. Kafka delivers whole batches, so
// that records before the offset can precede them.
func readAll(records kafka.RecordReader, from int64) ([]Message, error) {
	var messages []Message
	for {
		rec, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		m, err := copyRecord(rec)
		if err != nil {
			return messages, err
		}
		if m.Offset >= from {
			messages = append(messages, m)
		}
	}
}

// holdsBatches reports whether a response contains batches, even ones without
// records.
func holdsBatches(records kafka.RecordReader) bool {
	stream, ok := records.(*protocol.RecordStream)
	return ok && len(stream.Records) > 0
}

func copyRecord(rec *kafka.Record) (Message, error) {
	key, err := readBytes(rec.Key)
	if err != nil {
		return Message{}, err
	}
	value, err := readBytes(rec.Value)
	if err != nil {
		return Message{}, err
	}
	return Message{Offset: rec.Offset, Time: rec.Time, Key: key, Value: value, Headers: slices.Clone(rec.Headers)}, nil
}

func readBytes(b kafka.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	data, err := kafka.ReadAll(b)
	return data, errors.Join(err, b.Close())
}
