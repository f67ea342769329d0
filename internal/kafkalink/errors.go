package kafkalink

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/carga-ev/carga/internal/backoff"
	"github.com/carga-ev/carga/internal/reason"
)

// class is what an error means for the next attempt.
type class int

const (
	classRetry class = iota // everything that is not known better
	// classStale: leaders or partitions have changed; the cached metadata is of
	// no use.
	classStale
	// classTooLarge: the batch, or a single record, is larger than the topic
	// allows.
	classTooLarge
	// classInvalid: the broker refuses a record of the batch.
	classInvalid
	// classDenied: an operator must act; retried slowly.
	classDenied
	// classClock: Kafka refuses the timestamps. It answers, and accepts the
	// records once the clocks agree.
	classClock
)

// classify returns the class of an error of kafka-go.
func classify(err error) class {
	code, ok := errors.AsType[kafka.Error](err)
	if !ok {
		return classRetry
	}
	//nolint:exhaustive // every other code is retried
	switch code {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return classTooLarge
	case kafka.InvalidRecord:
		return classInvalid
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.SASLAuthenticationFailed:
		return classDenied
	case kafka.InvalidTimestamp:
		return classClock
	case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.UnknownTopicOrPartition, kafka.BrokerNotAvailable:
		return classStale
	}
	return classRetry
}

// reasonOf explains to an operator why Kafka did not accept a record. The same
// cause always has the same reason.
func reasonOf(err error) reason.Reason {
	code, answered := errors.AsType[kafka.Error](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		return reason.Reason{}
	case answered:
		return reasonOfCode(code)
	case errors.Is(err, protocol.ErrNoLeader):
		return reason.Reason{Code: reason.NoLeader}
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return reason.Reason{Code: reason.PartitionUnknown}
	case network, errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return reason.Reason{Code: reason.KafkaUnreachable, Detail: err.Error()}
	}
	return reason.Words(err.Error())
}

// reasonOfCode is reasonOf for an error code of the broker.
func reasonOfCode(code kafka.Error) reason.Reason {
	//nolint:exhaustive // every other code has a title of its own
	switch code {
	case kafka.InvalidTimestamp:
		return reason.Reason{Code: reason.ClockAhead}
	case kafka.TopicAuthorizationFailed:
		return reason.Reason{Code: reason.TopicDenied}
	case kafka.ClusterAuthorizationFailed:
		return reason.Reason{Code: reason.ClusterDenied}
	case kafka.SASLAuthenticationFailed:
		return reason.Reason{Code: reason.LoginRefused}
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return reason.Reason{Code: reason.RecordTooLarge}
	case kafka.InvalidRecord:
		return reason.Reason{Code: reason.RecordInvalid}
	case kafka.UnknownTopicOrPartition:
		return reason.Reason{Code: reason.PartitionUnknown}
	case kafka.NotLeaderForPartition, kafka.LeaderNotAvailable:
		return reason.Reason{Code: reason.NoLeader}
	case kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend:
		return reason.Reason{Code: reason.TooFewCopies}
	case kafka.KafkaStorageError:
		return reason.Reason{Code: reason.BrokerDisk}
	case kafka.RequestTimedOut:
		return reason.Reason{Code: reason.BrokerTimeout}
	}
	return reason.Words(code.Title())
}

const (
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
	// deniedRetry is the least pause between attempts that only an operator can
	// make succeed.
	deniedRetry = 10 * time.Second
)

// retrier spaces the attempts of one lane or reader.
type retrier struct {
	backoff *backoff.Backoff
	watcher *TopicWatcher
}

// wait waits for the next attempt after err, or until Kafka answers again
// (wake). It reports false when ctx has ended. Errors that an absent or changed
// cluster explains make the watcher check at once.
func (p *retrier) wait(ctx context.Context, err error, wake <-chan struct{}) bool {
	wait := p.backoff.Next()
	switch classify(err) {
	case classStale, classRetry:
		p.watcher.Suspect()
	case classDenied:
		wait = max(wait, deniedRetry)
	case classTooLarge, classInvalid: // of a record that is kept: an operator must change the topic
		wait = max(wait, deniedRetry)
	case classClock:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
		p.backoff.Reset()
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
