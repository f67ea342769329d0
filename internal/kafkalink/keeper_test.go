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

// TestIdlePartNotices: a part that has nothing to say knows within seconds that
// Kafka went and came back, and since when.
func TestIdlePartNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.start(t)
		p := w.open(t, setup{topics: one()})
		time.Sleep(time.Hour)
		if s := p.keeper.State(); !s.Up || time.Since(s.Since) < time.Hour-time.Second {
			t.Errorf("state %v, want up for an hour", s)
		}
		w.away()
		went := time.Now()
		time.Sleep(3 * time.Second)
		if s := p.keeper.State(); s.Up || s.Since.Sub(went) > 2*time.Second || !strings.Contains(s.LastError, errCut.Error()) {
			t.Errorf("state %v, want down since %v", s, went)
		}
		time.Sleep(time.Hour)
		if s := p.keeper.State(); s.Up || s.Since.Sub(went) > 2*time.Second {
			t.Errorf("state %v, want down since %v", s, went)
		}
		w.back()
		time.Sleep(time.Second)
		if s := p.keeper.State(); !s.Up {
			t.Errorf("state %v, want up", s)
		}
		p.stop()
		w.stop()
	})
}

// TestMovedLeaderIsFoundAtOnce: whoever meets the old leader has the layout asked
// for anew, instead of waiting for kafka-go's refresh.
func TestMovedLeaderIsFoundAtOnce(t *testing.T) {
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
			p.say(t, e, "a", "x")
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
		p.say(t, nil, "a", "1")
		time.Sleep(time.Minute)
		if topic := p.keeper.State().Topics[0]; topic.Seen() || !strings.Contains(topic.Error, "Replication Factor") {
			t.Errorf("topic %+v, want the reason", topic)
		}
		f.Remove()
		time.Sleep(2 * time.Second)
		if topic := p.keeper.State().Topics[0]; topic.Partitions != 1 || topic.Error != "" {
			t.Errorf("topic %+v, want it there", topic)
		}
		equal(t, "log", w.log(t, "a", 0), []string{"1"})
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
			_, err = kafkalink.NewKeeper(c, kafkalink.KeeperConfig{Write: []kafkalink.TopicSpec{{Name: "a"}}})
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
