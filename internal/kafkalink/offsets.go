package kafkalink

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
)

var errNoAnswer = errors.New("no answer for the partition")

// bounds returns the first offset and the end of the log.
func (r *PartitionReader) bounds(ctx context.Context) (first, end int64, err error) {
	p, err := r.list(ctx, kafka.FirstOffsetOf(r.cfg.Partition), kafka.LastOffsetOf(r.cfg.Partition))
	return p.FirstOffset, p.LastOffset, err
}

// offsetOf returns the offset of the first record of that time or later, or −1.
func (r *PartitionReader) offsetOf(ctx context.Context, at time.Time) (int64, error) {
	p, err := r.list(ctx, kafka.TimeOffsetOf(r.cfg.Partition, at))
	if err != nil {
		return 0, err
	}
	for offset := range p.Offsets {
		return offset, nil
	}
	return 0, errNoAnswer
}

// list requests offsets of the partition.
func (r *PartitionReader) list(ctx context.Context, ask ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	res, err := r.client.api.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{r.cfg.Topic: ask},
	})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	for _, p := range res.Topics[r.cfg.Topic] {
		if p.Partition == r.cfg.Partition {
			return p, p.Error
		}
	}
	return kafka.PartitionOffsets{}, errNoAnswer
}
