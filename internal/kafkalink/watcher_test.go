package kafkalink_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// TestIdlePartNotices: a program that writes nothing knows within seconds that
// Kafka went away or came back, and since when.
func TestIdlePartNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		p := w.open(t, setup{topics: one()})
		time.Sleep(time.Hour)
		if s := p.watcher.State(); !s.Up || time.Since(s.Since) < time.Hour-time.Second {
			t.Errorf("state %v, want up for an hour", s)
		}
		w.away()
		went := time.Now()
		time.Sleep(3 * time.Second)
		if s := p.watcher.State(); s.Up || s.Since.Sub(went) > 2*time.Second || !strings.Contains(s.LastError, errCut.Error()) {
			t.Errorf("state %v, want down since %v", s, went)
		}
		time.Sleep(time.Hour)
		if s := p.watcher.State(); s.Up || s.Since.Sub(went) > 2*time.Second {
			t.Errorf("state %v, want down since %v", s, went)
		}
		w.back()
		time.Sleep(time.Second)
		if s := p.watcher.State(); !s.Up {
			t.Errorf("state %v, want up", s)
		}
		p.stop()
		w.stop()
	})
}

// TestMovedLeaderIsUsedAtOnce: a lane or reader that gets an error from the old
// leader makes the watcher refresh the metadata, instead of waiting for
// kafka-go's refresh.
func TestMovedLeaderIsUsedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.start(t, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
		p := w.open(t, setup{topics: one()})
		time.Sleep(5 * time.Second)
		for round := range 30 {
			if err := c.MoveTopicPartition("a", 0, int32(round%3)); err != nil {
				t.Fatal(err)
			}
			e := &ends{}
			began := time.Now()
			p.enqueue(t, e, "a", "x")
			time.Sleep(5*time.Second + 17*time.Millisecond)
			if took := e.first().Sub(began); took < 0 || took > 600*time.Millisecond {
				t.Errorf("round %d: written after %v", round, took)
			}
		}
		p.stop()
		w.stop()
	})
}

// TestTopicThatCannotBeMade: the reason is shown, and it is tried until it can.
func TestTopicThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.start(t)
		f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.InvalidReplicationFactor, Count: -1})
		p := w.open(t, setup{topics: one()})
		p.enqueue(t, nil, "a", "1")
		time.Sleep(time.Minute)
		if topic := p.watcher.State().Topics[0]; topic.Exists() || !strings.Contains(topic.Error, "Replication Factor") {
			t.Errorf("topic %+v, want the reason", topic)
		}
		f.Remove()
		time.Sleep(2 * time.Second)
		if topic := p.watcher.State().Topics[0]; topic.Partitions != 1 || topic.Error != "" {
			t.Errorf("topic %+v, want it there", topic)
		}
		equal(t, "log", w.log(t, "a", 0), []string{"1"})
		p.stop()
		w.stop()
	})
}

// TestTroubles: what cannot be written or read, and what is not there, since when
// and why; nothing of it while Kafka is away.
func TestTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &world{}, &inbox{}
		c := w.start(t)
		if err := c.CreateTopic("a", 2, nil); err != nil {
			t.Fatal(err)
		}
		making := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		p := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 2}, {Name: "b", Partitions: 1}}})
		r, stop := p.read(in.config("a", kafkalink.FromFirst()))
		troubles := func() (reasons []string) {
			for _, t := range kafkalink.Troubles(p.watcher.State(), []kafkalink.Stats{p.producer.Stats()}, []kafkalink.ReaderState{r.State()}) {
				reasons = append(reasons, t.Reason.String())
			}
			return reasons
		}
		time.Sleep(8 * time.Second)
		equal(t, "early", troubles(), nil)
		time.Sleep(5 * time.Second)
		noTopic := "topic b does not exist: create: [29] Topic Authorization Failed"
		if got := troubles(); len(got) != 1 || !strings.HasPrefix(got[0], noTopic) {
			t.Errorf("got %q", got)
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: "a", Err: kerr.TopicAuthorizationFailed, Count: -1})
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "a", Err: kerr.NotEnoughReplicas, Count: -1})
		making.Remove()
		time.Sleep(time.Second)
		p.enqueue(t, nil, "a", "1")
		time.Sleep(15 * time.Second)
		equal(t, "troubles", troubles(), []string{
			"cannot read a: Kafka denies access to the topic: an access rule (ACL) is missing",
			"cannot write a: too few copies of the partition are in step (min.insync.replicas): a broker is away",
		})
		w.away()
		time.Sleep(time.Minute)
		equal(t, "Kafka is away", troubles(), nil)
		w.back()
		time.Sleep(2 * time.Second)
		if got := troubles(); len(got) != 1 { // a blocked lane is reported at once, a reader only after ten seconds
			t.Errorf("Kafka is back: got %q", got)
		}
		stop()
		p.stop()
		w.stop()
	})
}

// TestConfigErrors: what is wrong is named.
func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]kafkalink.ClientConfig{
		"none named, give one":        {},
		"write host:port":             {Brokers: []string{"here"}, Topics: []string{"a"}},
		"topics: none":                {Brokers: []string{"here:1"}},
		"needs a name and at least 1": {Brokers: []string{"here:1"}, Topics: []string{"a"}},
	} {
		c, err := kafkalink.NewClient(cfg)
		if err == nil {
			_, err = kafkalink.NewTopicWatcher(c, kafkalink.WatcherConfig{Create: []kafkalink.TopicSpec{{Name: "a"}}})
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
