package kafkalink_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/reason"
)

// TestKafkaComesLate: Kafka starts ten minutes late. What was enqueued meanwhile
// is kept, and the first record is written within a second. An earlier system
// failed here.
func TestKafkaComesLate(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			w, e := &world{}, &ends{}
			p := w.open(t, setup{topics: one(), seed: seed})
			p.enqueue(t, e, "a", numbers(0, 1500)...)
			time.Sleep(10*time.Minute + time.Duration(seed)*97*time.Millisecond)
			if s := p.watcher.State(); s.Up || !strings.Contains(s.String(), "waiting for Kafka since ") || s.LastError == "" {
				t.Errorf("state %v", s)
			}
			balanced(t, p)
			w.start(t)
			came := time.Now()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			// A second is allowed. The watcher needs half of one; kafka-go's own
			// refresh needs more than one.
			if took := e.first().Sub(came); took > 500*time.Millisecond {
				t.Errorf("first record through %v after Kafka came, want at most 500ms", took)
			}
			equal(t, "log", w.log(t, "a", 0), numbers(0, 1500))
			if s := p.watcher.State(); !s.Up {
				t.Errorf("state %v", s)
			}
			balanced(t, p)
			p.stop()
			w.stop()
		})
	}
}

// TestOutageInMidStream: Kafka goes away and comes back several times under
// load. Each time the first record is written within a second, and the order
// holds.
func TestOutageInMidStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		p := w.open(t, setup{topics: one()})
		n := 0
		talk := func(d time.Duration, e *ends) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				p.enqueue(t, e, "a", numbers(n, n+3)...)
				n += 3
			}
		}
		talk(2*time.Second, nil)
		for range 4 {
			w.away()
			talk(30*time.Second, nil)
			w.back()
			came, e := time.Now(), &ends{}
			talk(3*time.Second, e)
			if took := e.first().Sub(came); took > time.Second {
				t.Errorf("first record through %v after Kafka came back, want at most 1s", took)
			}
		}
		time.Sleep(5 * time.Second)
		equal(t, "log without repeats", firsts(w.log(t, "a", 0)), numbers(0, n))
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestAppliedButAnsweredAsError: the batch was written, but the response is an
// error. Duplicates are allowed; the order holds.
func TestAppliedButAnsweredAsError(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend} {
		synctest.Test(t, func(t *testing.T) {
			w, e := &world{}, &ends{}
			c := w.start(t)
			p := w.open(t, setup{topics: one()})
			time.Sleep(2 * time.Second)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, Count: 3})
			p.enqueue(t, e, "a", numbers(0, 10)...)
			time.Sleep(200 * time.Millisecond)
			p.enqueue(t, e, "a", numbers(10, 20)...)
			time.Sleep(20 * time.Second)
			log := w.log(t, "a", 0)
			equal(t, "log without repeats", firsts(log), numbers(0, 20))
			if len(log) <= 20 {
				t.Error("the fault did not repeat anything")
			}
			synctest.Wait() // what the lanes wrote is seen
			equal(t, "reported", e.order, numbers(0, 20))
			// Every record is followed by its successor, in each repeat.
			for i := 1; i < len(log); i++ {
				if slices.Index(numbers(0, 20), log[i]) > slices.Index(numbers(0, 20), log[i-1])+1 {
					t.Errorf("%s after %s: a record was overtaken", log[i], log[i-1])
				}
			}
			balanced(t, p)
			p.stop()
			w.stop()
		})
	}
}

// TestEveryOtherErrorIsRetried: after any error but those of a poisoned record,
// the record is written in the end, in order.
func TestEveryOtherErrorIsRetried(t *testing.T) {
	codes := []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas,
		kerr.UnknownServerError, kerr.KafkaStorageError, kerr.CorruptMessage, kerr.ThrottlingQuotaExceeded,
		kerr.InvalidTimestamp, kerr.PolicyViolation, kerr.BrokerNotAvailable,
	}
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		c := w.start(t)
		p := w.open(t, setup{topics: one()})
		time.Sleep(2 * time.Second)
		for i, code := range codes {
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: code, Count: 4})
			p.enqueue(t, e, "a", numbers(10*i, 10*i+10)...)
			time.Sleep(15 * time.Second)
		}
		equal(t, "log", w.log(t, "a", 0), numbers(0, 10*len(codes)))
		if e.count(kafkalink.Produced) != 10*len(codes) {
			t.Errorf("outcomes %v", e.kinds)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestDeniedIsKeptAndAlarmed: access is denied for an hour. The lane retries
// slowly, and nothing is dropped.
func TestDeniedIsKeptAndAlarmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.start(t)
		p := w.open(t, setup{topics: one()})
		time.Sleep(2 * time.Second)
		f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		p.enqueue(t, nil, "a", numbers(0, 5)...)
		time.Sleep(time.Hour)
		s := p.producer.Stats()
		if !s.Lanes[0].Blocked() || s.Records != 5 || s.Retries > 400 || s.Retries < 100 {
			t.Errorf("stats %+v, want an alarm, 5 held, a try each 10 s", s)
		}
		if s.Lanes[0].OldestAge < time.Hour-time.Second {
			t.Errorf("oldest age %v, want an hour", s.Lanes[0].OldestAge)
		}
		f.Remove()
		time.Sleep(11 * time.Second)
		equal(t, "log", w.log(t, "a", 0), numbers(0, 5))
		if s := p.producer.Stats(); len(s.Blocked()) != 0 || !s.Lanes[0].Reason.IsZero() {
			t.Errorf("after the success: %+v", s.Blocked())
		}
		p.stop()
		w.stop()
	})
}

// TestBlockedLaneReportsSinceAndReason: whatever the error, a lane that has held
// a record for ten seconds is reported with the beginning and the reason; on a
// Latest topic, too, where each second a newer value replaces the old one. It is
// no longer reported once the record is written.
func TestBlockedLaneReportsSinceAndReason(t *testing.T) {
	for words, fault := range map[string]*kerr.Error{
		"this machine's clock is ahead of Kafka's":    kerr.InvalidTimestamp,
		"Kafka denies access to the topic":            kerr.TopicAuthorizationFailed,
		"Kafka denies access to the cluster":          kerr.ClusterAuthorizationFailed,
		"the partition has no leader":                 kerr.LeaderNotAvailable,
		"too few copies of the partition are in step": kerr.NotEnoughReplicas,
		"the broker's disk fails":                     kerr.KafkaStorageError,
		"the broker does not answer in time":          kerr.RequestTimedOut,
		"the topic or the partition does not exist":   kerr.UnknownTopicOrPartition,
		"Policy Violation":                            kerr.PolicyViolation,
	} {
		t.Run(fault.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				c := w.start(t)
				specs := []kafkalink.TopicSpec{{Name: "a", Partitions: 1}, {Name: "b", Partitions: 1}, {Name: "c", Partitions: 1}}
				p := w.open(t, setup{topics: specs, latest: []string{"b"}})
				time.Sleep(5 * time.Second)
				refuse := func(topic string) kfake.Fault {
					return kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: fault, Count: -1}
				}
				f := c.Fault(refuse("a"), refuse("b"))
				began := time.Now()
				p.enqueue(t, nil, "a", "1")
				for i := range 30 {
					p.enqueue(t, nil, "b", numbers(i, i+1)...) // as a heartbeat
					p.enqueue(t, nil, "c", "well")
					time.Sleep(time.Second)
					if i == 8 && len(p.producer.Stats().Blocked()) != 0 {
						t.Errorf("after 9 s: %+v", p.producer.Stats().Blocked())
					}
				}
				blocked := p.producer.Stats().Blocked()
				if len(blocked) != 2 || blocked[0].Topic != "a" || blocked[1].Topic != "b" {
					t.Fatalf("got %+v, want a and b blocked", blocked)
				}
				for _, b := range blocked {
					if !b.Since.Equal(began) || b.Lanes != 1 || b.Records != 1 || !strings.Contains(b.Why().String(), "cannot write "+b.Topic+": "+words) {
						t.Errorf("got %+v (%s), want it since %s because %s", b, b.Why(), began, words)
					}
				}
				f.Remove()
				time.Sleep(15 * time.Second)
				if blocked := p.producer.Stats().Blocked(); len(blocked) != 0 {
					t.Errorf("all is written: got %+v", blocked)
				}
				equal(t, "log", firsts(w.log(t, "a", 0)), []string{"1"})
				p.stop()
				w.stop()
			})
		})
	}
}

// TestTopicThatCannotBeCreatedBlocksItsLanes, with the reason.
func TestTopicThatCannotBeCreatedBlocksItsLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.start(t)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
		p := w.open(t, setup{topics: one()})
		p.enqueue(t, nil, "a", "1")
		time.Sleep(20 * time.Second)
		if b := p.producer.Stats().Blocked(); len(b) != 1 || !strings.HasPrefix(b[0].Reason.String(), "the topic does not exist: create: ") {
			t.Errorf("got %+v", b)
		}
		w.away()
		time.Sleep(10 * time.Second)
		if b := p.producer.Stats().Blocked(); len(b) != 1 || b[0].Reason != (reason.Reason{Code: reason.KafkaSilent}) {
			t.Errorf("Kafka is away: got %+v", b)
		}
		p.stop()
		w.stop()
	})
}

// TestRefusedRecordIsReported: after Kafka has refused a record for good, the
// topic counts as one that cannot be written for a minute.
func TestRefusedRecordIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		c := w.start(t)
		if err := c.CreateTopic("a", 1, map[string]string{"max.message.bytes": "500"}); err != nil {
			t.Fatal(err)
		}
		p := w.open(t, setup{topics: one()})
		p.enqueue(t, e, "a", strings.Repeat("x", 1000), "small")
		time.Sleep(5 * time.Second)
		b := p.producer.Stats().Blocked()
		if len(b) != 1 || !strings.Contains(b[0].Reason.String(), "max.message.bytes") || e.count(kafkalink.Poisoned) != 1 || e.count(kafkalink.Produced) != 1 {
			t.Errorf("got %+v, outcomes %v", b, e.kinds)
		}
		time.Sleep(time.Minute)
		p.enqueue(t, e, "a", "small")
		time.Sleep(time.Second)
		if b := p.producer.Stats().Blocked(); len(b) != 0 || !p.producer.Stats().Lanes[0].Reason.IsZero() {
			t.Errorf("a minute later: got %+v", b)
		}
		p.stop()
		w.stop()
	})
}

// TestKeptRecordIsNeverGivenUp: with Keep, the record is written once the topic
// has been changed. Until then the reason is reported.
func TestKeptRecordIsNeverGivenUp(t *testing.T) {
	for name, fault := range map[string]*kerr.Error{"large": kerr.MessageTooLarge, "invalid": kerr.InvalidRecord} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, e := &world{}, &ends{}
				c := w.start(t)
				p := w.open(t, setup{topics: one(), keep: true})
				time.Sleep(2 * time.Second)
				f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: -1, When: func(r kmsg.Request) bool { return contains(r, "7") }})
				p.enqueue(t, e, "a", numbers(0, 10)...)
				time.Sleep(time.Hour)
				if b := p.producer.Stats().Blocked(); len(b) != 1 || b[0].Records != 3 || b[0].Reason.IsZero() || e.count(kafkalink.Poisoned) != 0 {
					t.Errorf("got %+v, outcomes %v", b, e.kinds)
				}
				f.Remove()
				time.Sleep(11 * time.Second)
				equal(t, "log", w.log(t, "a", 0), numbers(0, 10))
				balanced(t, p)
				p.stop()
				w.stop()
			})
		})
	}
}

// TestPoisonIsIsolated: among good records one is refused for good, by its size
// (a real limit) and as invalid. Only that one is reported; all others are
// written in order.
func TestPoisonIsIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		c := w.start(t)
		specs := []kafkalink.TopicSpec{{Name: "a", Partitions: 1, MaxMessageBytes: 69632}, {Name: "b", Partitions: 1}}
		p := w.open(t, setup{topics: specs})
		big := strings.Repeat("x", 80_000)
		p.enqueue(t, e, "a", numbers(0, 700)...)
		p.enqueue(t, e, "a", big)
		p.enqueue(t, e, "a", numbers(700, 1000)...)
		time.Sleep(30 * time.Second)
		equal(t, "log", w.log(t, "a", 0), numbers(0, 1000))
		if e.count(kafkalink.Poisoned) != 1 || e.order[700] != big {
			t.Errorf("outcomes %v, want one poison in its place", e.kinds)
		}
		e = &ends{}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, When: func(r kmsg.Request) bool {
			return contains(r, "bad")
		}})
		p.enqueue(t, e, "b", numbers(0, 500)...)
		p.enqueue(t, e, "b", "bad1", "bad2")
		p.enqueue(t, e, "b", numbers(500, 600)...)
		time.Sleep(30 * time.Second)
		equal(t, "log", w.log(t, "b", 0), numbers(0, 600))
		if e.count(kafkalink.Poisoned) != 2 {
			t.Errorf("outcomes %v, want two poisons", e.kinds)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

func contains(r kmsg.Request, text string) bool {
	p, ok := r.(*kmsg.ProduceRequest)
	return ok && bytes.Contains(p.Topics[0].Partitions[0].Records, []byte(text))
}

// TestSmallerLimitThanExpected: the topic was created by another program and
// accepts only small batches. Everything is written, nothing is poisoned, and
// the lane learns the limit instead of halving each batch.
func TestSmallerLimitThanExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		c := w.start(t)
		if err := c.CreateTopic("a", 1, map[string]string{"max.message.bytes": "20000"}); err != nil {
			t.Fatal(err)
		}
		requests := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
		p := w.open(t, setup{topics: one()})
		var texts []string
		for _, n := range numbers(0, 2000) {
			texts = append(texts, n+strings.Repeat(".", 200))
		}
		p.enqueue(t, e, "a", texts...)
		time.Sleep(30 * time.Second)
		equal(t, "log", w.log(t, "a", 0), texts)
		if e.count(kafkalink.Produced) != 2000 {
			t.Errorf("outcomes %v", e.kinds)
		}
		if n := requests.Hits(); n > 60 {
			t.Errorf("%d requests, want about 48; halving each batch takes 126", n)
		}
		p.stop()
		w.stop()
	})
}

// TestPartitions: a key always maps to the partition that the Java client would
// choose, and each partition is in order.
func TestPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		p := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 3}}})
		want := make([][]string, 3)
		for i := range 300 {
			key := numbers(i%20, i%20+1)[0]
			text := numbers(i, i+1)[0]
			at := kafkalink.PartitionOf([]byte(key), 3)
			want[at] = append(want[at], text)
			if err := p.producer.Enqueue(kafkalink.Record{Topic: "a", Key: []byte(key), Value: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		for i := range want {
			if len(want[i]) == 0 {
				t.Errorf("partition %d: no key", i)
			}
			equal(t, "partition", w.log(t, "a", i), want[i])
		}
		p.stop()
		w.stop()
	})
}

// TestTopicWithOtherPartitions: a topic with another number of partitions than
// configured is used with those it has, each key in order in the partition where
// the Java client would write it.
func TestTopicWithOtherPartitions(t *testing.T) {
	for _, real := range []int{1, 5} {
		synctest.Test(t, func(t *testing.T) {
			w, e := &world{}, &ends{}
			c := w.start(t)
			if err := c.CreateTopic("a", int32(real), nil); err != nil {
				t.Fatal(err)
			}
			p := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 3}}})
			want := p.keyed(t, e, "a", 0, 200, real) // before Kafka has been asked
			time.Sleep(10 * time.Second)
			for i, more := range p.keyed(t, e, "a", 200, 400, real) {
				want[i] = append(want[i], more...)
			}
			time.Sleep(10 * time.Second)
			for i := range want {
				equal(t, "partition "+strconv.Itoa(i), byKey(w.log(t, "a", i)), byKey(want[i]))
			}
			if topic := p.watcher.State().Topics[0]; !topic.Differs() || topic.Partitions != real || topic.Warning().IsZero() {
				t.Errorf("topic %+v, want a warning", topic)
			}
			if s := p.producer.Stats(); e.count(kafkalink.Produced) != 400 || s.Records != 0 || len(s.Lanes) != real {
				t.Errorf("outcomes %v, stats %+v", e.kinds, s)
			}
			balanced(t, p)
			p.stop()
			w.stop()
		})
	}
}

// byKey sorts what keyed enqueued by key; the order within a key stays.
func byKey(texts []string) []string {
	key := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n % 20
	}
	slices.SortStableFunc(texts, func(a, b string) int { return key(a) - key(b) })
	return texts
}

// keyed enqueues numbers under twenty keys, and returns them by the partition of
// their key among count.
func (p *part) keyed(tb testing.TB, e *ends, topic string, from, to, count int) [][]string {
	tb.Helper()
	want := make([][]string, count)
	for i := from; i < to; i++ {
		key, text := strconv.Itoa(i%20), strconv.Itoa(i)
		r := kafkalink.Record{Topic: topic, Key: []byte(key), Value: []byte(text), Done: e.of(text)}
		if err := p.producer.Enqueue(r); err != nil {
			tb.Fatal(err)
		}
		at := kafkalink.PartitionOf([]byte(key), count)
		want[at] = append(want[at], text)
	}
	return want
}

// TestPartitionsGrowWhileWriting: waiting records move to the partitions of
// their keys, and new records are written there at once. None is lost, and no
// record is written twice unless Kafka has refused it. The same holds for a FIFO
// and for a Latest topic.
func TestPartitionsGrowWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		w.start(t)
		specs := []kafkalink.TopicSpec{{Name: "a", Partitions: 3}, {Name: "b", Partitions: 1}}
		p := w.open(t, setup{topics: specs, latest: []string{"b"}})
		p.keyed(t, e, "a", 0, 100, 3)
		time.Sleep(5 * time.Second)
		w.grow(t, "a", 6)
		w.grow(t, "b", 4)
		for i := range 100 { // while the growth is being noticed
			p.keyed(t, e, "a", 100+20*i, 120+20*i, 6)
			p.keyed(t, e, "b", 20*i, 20*i+20, 4)
			time.Sleep(50 * time.Millisecond)
		}
		w.away() // and it waits while Kafka is away
		time.Sleep(5 * time.Second)
		want := p.keyed(t, e, "a", 2100, 2200, 6)
		w.back()
		time.Sleep(10 * time.Second)
		var all []string
		for i := range 6 {
			got := w.log(t, "a", i)
			all = append(all, got...)
			equal(t, "end of partition "+strconv.Itoa(i), got[len(got)-len(want[i]):], want[i])
		}
		if len(all) != 2200 || len(firsts(all)) != 2200 {
			t.Errorf("%d records in the logs, %d different ones, want 2200", len(all), len(firsts(all)))
		}
		last := map[string]bool{}
		for i := range 4 {
			for _, text := range w.log(t, "b", i) {
				last[text] = true
			}
		}
		for _, text := range numbers(1980, 2000) {
			if !last[text] {
				t.Errorf("the latest value %s is not in the log", text)
			}
		}
		if s := p.producer.Stats(); s.Records != 0 || len(s.Lanes) != 10 {
			t.Errorf("stats %+v", s)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestTopicComesBackSmaller: the topic was deleted and created again with fewer
// partitions. Records that waited or were in flight are written to those.
func TestTopicComesBackSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		c := w.start(t)
		if err := c.CreateTopic("a", 6, nil); err != nil {
			t.Fatal(err)
		}
		p := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 2}}})
		time.Sleep(3 * time.Second)
		f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		p.keyed(t, e, "a", 0, 100, 6)
		time.Sleep(100 * time.Millisecond) // a batch of each is under way
		p.keyed(t, e, "a", 100, 200, 6)
		if err := c.DeleteTopic("a"); err != nil {
			t.Fatal(err)
		}
		f.Remove()
		time.Sleep(time.Minute) // it is made here, with two
		var all []string
		for i := range 2 {
			all = append(all, w.log(t, "a", i)...)
		}
		if len(firsts(all)) != 200 || e.count(kafkalink.Produced) != 200 {
			t.Errorf("%d records in the logs, outcomes %v", len(firsts(all)), e.kinds)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestTopicDeletedUnderTheProducer: the topic is created again with its
// settings, and writing continues in order.
func TestTopicDeletedUnderTheProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.start(t)
		spec := kafkalink.TopicSpec{Name: "a", Partitions: 2, Retention: time.Hour, MaxMessageBytes: 69632}
		p := w.open(t, setup{topics: []kafkalink.TopicSpec{spec}})
		p.enqueue(t, nil, "a", "1")
		time.Sleep(3 * time.Second)
		if err := c.DeleteTopic("a"); err != nil {
			t.Fatal(err)
		}
		p.enqueue(t, nil, "a", numbers(2, 6)...)
		time.Sleep(5 * time.Second)
		equal(t, "log", w.log(t, "a", kafkalink.PartitionOf([]byte("k"), 2)), numbers(2, 6))
		info := c.TopicInfo("a")
		for name, want := range map[string]string{"retention.ms": "3600000", "max.message.bytes": "69632", "segment.ms": "900000"} {
			if got := info.Configs[name]; got == nil || *got != want {
				t.Errorf("%s of the new topic: want %s, have %v", name, want, got)
			}
		}
		p.stop()
		w.stop()
	})
}

// TestLeaderMoves: partitions move between three brokers under load.
func TestLeaderMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.start(t, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
		p := w.open(t, setup{topics: one()})
		n := 0
		for round := range 12 {
			for range 20 {
				p.enqueue(t, nil, "a", numbers(n, n+5)...)
				n += 5
				time.Sleep(50 * time.Millisecond)
			}
			if err := c.MoveTopicPartition("a", 0, int32(round%3)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		if s := p.producer.Stats(); s.Records != 0 {
			t.Errorf("%d still held 2 s after the last move", s.Records)
		}
		p.stop()
		inbox := &inbox{}
		q := w.open(t, setup{read: []string{"a"}})
		_, stop := q.read(inbox.config("a", kafkalink.FromFirst()))
		time.Sleep(5 * time.Second)
		equal(t, "log", firsts(inbox.got()), numbers(0, n))
		stop()
		q.stop()
		w.stop()
	})
}

// TryEnqueue refuses above the capacity; Enqueue never refuses.
func TestTryEnqueueRefusesAboveTheCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		p := w.open(t, setup{topics: one(), maxRecords: 150})
		r := kafkalink.Record{Topic: "a", Key: []byte("k"), Value: []byte("v")}
		for i := 1; i <= 151; i++ {
			if ok, err := p.producer.TryEnqueue(r); err != nil || ok != (i <= 150) {
				t.Fatalf("record %d: accepted %t, %v", i, ok, err)
			}
		}
		if err := p.producer.Enqueue(r); err != nil || p.producer.Stats().Records != 151 {
			t.Errorf("Enqueue above the capacity: %+v, %v", p.producer.Stats(), err)
		}
		w.start(t)
		time.Sleep(2 * time.Second)
		if s := p.producer.Stats(); s.Records != 0 || s.Bytes != 0 {
			t.Errorf("still held: %+v", s)
		}
		if ok, err := p.producer.TryEnqueue(r); err != nil || !ok {
			t.Errorf("after the queue is written: accepted %t, %v", ok, err)
		}
		p.stop()
		w.stop()
		if err := p.producer.Enqueue(r); !errors.Is(err, kafkalink.ErrStopped) {
			t.Errorf("after the stop: %v", err)
		}
		if err := p.producer.Enqueue(kafkalink.Record{Topic: "z"}); err == nil {
			t.Error("a topic that is not configured was accepted")
		}
	})
}

// TestLatest: during an outage only the latest value per key is kept; the others
// are counted and reported as conflated. Afterwards the latest value of each key
// is in the log.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		w.start(t)
		p := w.open(t, setup{topics: one(), latest: []string{"a"}})
		time.Sleep(2 * time.Second)
		w.away()
		for range 600 {
			for key := range 50 {
				text := numbers(key, key+1)[0]
				r := kafkalink.Record{Topic: "a", Key: []byte(text), Value: []byte(text + time.Now().String()), Done: e.of(text)}
				if err := p.producer.Enqueue(r); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			if s := p.producer.Stats(); s.Records > 50 {
				t.Fatalf("%d records held for 50 keys", s.Records)
			}
		}
		balanced(t, p)
		w.back()
		time.Sleep(3 * time.Second)
		log := w.log(t, "a", 0)
		if len(log) != 50 || e.count(kafkalink.Produced) != 50 || e.count(kafkalink.Conflated) != 600*50-50 {
			t.Errorf("%d in the log, outcomes %v", len(log), e.kinds)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestLatestOfEachSubject: two subjects under one key do not replace each other
// while they wait.
func TestLatestOfEachSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		w.start(t)
		p := w.open(t, setup{topics: one(), latest: []string{"a"}})
		time.Sleep(2 * time.Second)
		w.away()
		for i := range 10 {
			for _, subject := range []string{"session-1", "session-2"} {
				text := subject + " " + strconv.Itoa(i)
				r := kafkalink.Record{Topic: "a", Key: []byte("ana"), Subject: subject, Value: []byte(text), Done: e.of(text)}
				if err := p.producer.Enqueue(r); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		w.back()
		time.Sleep(3 * time.Second)
		equal(t, "log", w.log(t, "a", 0), []string{"session-1 9", "session-2 9"})
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestStop: lanes get their grace period. Records that are held after that get
// no outcome.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		w.start(t)
		p := w.open(t, setup{topics: one(), grace: 3 * time.Second})
		time.Sleep(2 * time.Second)
		p.enqueue(t, e, "a", numbers(0, 2500)...)
		p.stop() // all of them fit into the grace
		equal(t, "log", w.log(t, "a", 0), numbers(0, 2500))
		w.away()
		q := w.open(t, setup{topics: one(), grace: 3 * time.Second})
		e = &ends{}
		q.enqueue(t, e, "a", numbers(0, 10)...)
		began := time.Now()
		q.stop()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("stopped after %v, want the grace of 3s", took)
		}
		if len(e.order) != 0 || q.producer.Stats().Records != 10 {
			t.Errorf("outcomes %v, held %d, want no outcome and 10 held", e.kinds, q.producer.Stats().Records)
		}
		balanced(t, q)
		w.stop()
	})
}
