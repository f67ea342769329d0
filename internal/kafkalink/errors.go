package kafkalink

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/backoff"
)

// class says what an error means for the next attempt.
type class int

const (
	classRetry class = iota // everything that is not known better
	// classStale: the cluster moved on; the cached layout is of no use.
	classStale
	// classTooLarge: the batch, or a single record, is larger than allowed.
	classTooLarge
	// classInvalid: the broker refuses a record of the batch.
	classInvalid
	// classDenied: an operator must act; it is tried again, slowly.
	classDenied
)

func classify(err error) class {
	code, ok := errors.AsType[kafka.Error](err)
	if !ok {
		return classRetry
	}
	//nolint:exhaustive // every other code is tried again
	switch code {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return classTooLarge
	case kafka.InvalidRecord:
		return classInvalid
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.SASLAuthenticationFailed:
		return classDenied
	case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.UnknownTopicOrPartition, kafka.BrokerNotAvailable:
		return classStale
	}
	return classRetry
}

const (
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
	// deniedRetry spaces attempts that only an operator can make succeed.
	deniedRetry = 10 * time.Second
)

// patience spaces the attempts of one lane or reader.
type patience struct {
	pause  *backoff.Backoff
	keeper *Keeper
}

// after waits for the next attempt after err, or until Kafka is back. It
// reports false when ctx has ended.
func (p *patience) after(ctx context.Context, err error, wake <-chan struct{}) bool {
	wait := p.pause.Next()
	switch classify(err) {
	case classStale, classRetry:
		p.keeper.Suspect()
	case classDenied:
		wait = max(wait, deniedRetry)
	case classTooLarge, classInvalid:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
		p.pause.Reset()
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
