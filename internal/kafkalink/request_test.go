package kafkalink_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// requests are the produce requests that a cluster received, each as its
// partitions "topic/partition".
type requests struct {
	mu  sync.Mutex
	all [][]string
}

// watch notes all produce requests, and delays the answer to each.
func (q *requests) watch(c *kfake.Cluster, delay time.Duration) {
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p, ok := r.(*kmsg.ProduceRequest)
		if !ok {
			return nil, nil, false
		}
		var in []string
		for _, t := range p.Topics {
			for _, x := range t.Partitions {
				in = append(in, fmt.Sprint(t.Topic, "/", x.Partition))
			}
		}
		slices.Sort(in)
		q.mu.Lock()
		q.all = append(q.all, in)
		q.mu.Unlock()
		c.SleepControl(func() { time.Sleep(delay) })
		return nil, nil, false
	})
}

func (q *requests) got() [][]string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.all)
}

// keyFor returns a key that is mapped to a partition.
func keyFor(partition, partitions int) []byte {
	for i := 0; ; i++ {
		if key := []byte(strconv.Itoa(i)); kafkalink.PartitionOf(key, partitions) == partition {
			return key
		}
	}
}

// put enqueues one record for a partition of 4.
func (p *part) put(t *testing.T, e *ends, topic string, partition int, text string) {
	t.Helper()
	r := kafkalink.Record{Topic: topic, Key: keyFor(partition, 4), Value: []byte(text)}
	if e != nil {
		r.Done = e.of(text)
	}
	if err := p.producer.Enqueue(r); err != nil {
		t.Fatal(err)
	}
}

func four(topics ...string) []kafkalink.TopicSpec {
	var all []kafkalink.TopicSpec
	for _, name := range topics {
		all = append(all, kafkalink.TopicSpec{Name: name, Partitions: 4})
	}
	return all
}

// TestOneRequestWhileOneIsUnderWay: the first record leaves at once; what comes
// while its request is under way leaves in one request over all partitions.
func TestOneRequestWhileOneIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := &world{}, &requests{}
		c := w.start(t)
		p := w.open(t, setup{topics: four("a", "b")})
		time.Sleep(3 * time.Second)
		q.watch(c, 100*time.Millisecond)
		p.put(t, nil, "a", 2, "first")
		synctest.Wait()
		for i := range 40 {
			p.put(t, nil, "a", i%4, "a")
			p.put(t, nil, "b", i%4, "b")
		}
		time.Sleep(time.Second)
		want := [][]string{{"a/2"}, {"a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "b/3"}}
		if got := q.got(); len(got) != 2 || !slices.Equal(got[0], want[0]) || !slices.Equal(got[1], want[1]) {
			t.Errorf("requests %v, want %v", got, want)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestLatestLeaveTogether: of a Latest topic a value that comes alone leaves at once,
// and of those that come one after another some each tenth of a second.
func TestLatestLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q, e := &world{}, &requests{}, &ends{}
		c := w.start(t)
		p := w.open(t, setup{topics: four("a", "b"), latest: []string{"a"}})
		time.Sleep(3 * time.Second)
		q.watch(c, 0)
		p.put(t, e, "a", 1, "alone")
		synctest.Wait()
		if got := q.got(); len(got) != 1 {
			t.Fatalf("requests for the first: %v", got)
		}
		for i := range 1000 {
			text := strconv.Itoa(i)
			if err := p.producer.Enqueue(kafkalink.Record{Topic: "a", Key: keyFor(1, 4), Subject: text, Value: []byte(text), Done: e.of(text)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		if n := len(q.got()); n < 10 || n > 12 {
			t.Errorf("%d requests in a second, want one each 100 ms", n)
		}
		equal(t, "log", w.log(t, "a", 1), append([]string{"alone"}, numbers(0, 1000)...))
		p.put(t, e, "b", 1, "at once")
		p.put(t, e, "b", 2, "at once, too")
		synctest.Wait()
		equal(t, "another topic", w.log(t, "b", 1), []string{"at once"})
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestASlowPartitionIsSentAlone: a partition whose copies are missing holds up a
// shared request once, for a second; then it is sent alone, and the others do not
// wait for it. When it is well again, it shares requests again.
func TestASlowPartitionIsSentAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q, e := &world{}, &requests{}, &ends{}
		c := w.start(t)
		p := w.open(t, setup{topics: four("a")})
		time.Sleep(3 * time.Second)
		q.watch(c, time.Millisecond)
		f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "a", Partitions: []int32{0}, Err: kerr.RequestTimedOut, Count: -1})
		for i := range 100 {
			for partition := range 4 {
				p.put(t, e, "a", partition, fmt.Sprint(partition, ".", i))
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := e.count(kafkalink.Produced); n != 300 {
			t.Errorf("%d records of the other partitions are written, want 300", n)
		}
		shared := 0
		for _, in := range q.got() {
			if slices.Contains(in, "a/0") && len(in) > 1 {
				shared++
			}
		}
		if shared > 1 {
			t.Errorf("the partition that fails shared %d requests, want at most 1", shared)
		}
		f.Remove()
		time.Sleep(5 * time.Second)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint("0.", i))
		}
		equal(t, "the slow partition", firsts(w.log(t, "a", 0)), want)
		before := len(q.got())
		p.put(t, e, "a", 1, "x")
		synctest.Wait()
		for partition := range 4 {
			p.put(t, e, "a", partition, "again")
		}
		time.Sleep(time.Second)
		if last := q.got()[before:]; len(last) != 2 || len(last[1]) != 4 {
			t.Errorf("afterwards the requests are %v, want one partition and then all four together", last)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestAKeyKeepsItsOrderWhenItMoves: the topic gets partitions while the partition of
// a key is slow. What was in flight there is written before anything of that key
// goes to its new partition.
func TestAKeyKeepsItsOrderWhenItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e := &world{}, &ends{}
		c := w.start(t)
		p := w.open(t, setup{topics: []kafkalink.TopicSpec{{Name: "a", Partitions: 1}}})
		time.Sleep(3 * time.Second)
		f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "a", Partitions: []int32{0}, Err: kerr.RequestTimedOut, Count: -1})
		key := keyFor(3, 4)
		put := func(from, to int) {
			for _, text := range numbers(from, to) {
				if err := p.producer.Enqueue(kafkalink.Record{Topic: "a", Key: key, Value: []byte(text), Done: e.of(text)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(0, 10)
		time.Sleep(time.Second)
		put(10, 20)
		w.grow(t, "a", 4)
		for i := range 30 {
			put(20+i, 21+i)
			time.Sleep(100 * time.Millisecond)
		}
		if n := e.count(kafkalink.Produced); n != 0 {
			t.Errorf("%d records are written, although the first of the key is not", n)
		}
		f.Remove()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		equal(t, "ends", e.order, numbers(0, 50))
		equal(t, "the partition of the key before", firsts(w.log(t, "a", 0)), numbers(0, 10))
		equal(t, "the partition of the key", firsts(w.log(t, "a", 3)), numbers(10, 50))
		balanced(t, p)
		p.stop()
		w.stop()
	})
}

// TestEachBrokerHasItsRequests: partitions of two brokers never share one, and a
// broker that is slow does not hold up the other.
func TestEachBrokerHasItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, q := &world{}, &requests{}
		c := w.start(t, kfake.NumBrokers(2), kfake.Ports(9092, 9093))
		p := w.open(t, setup{topics: four("a")})
		time.Sleep(3 * time.Second)
		leader := map[string]int32{}
		for partition := range int32(4) {
			if err := c.MoveTopicPartition("a", partition, partition%2); err != nil {
				t.Fatal(err)
			}
			leader[fmt.Sprint("a/", partition)] = partition % 2
		}
		time.Sleep(3 * time.Second) // the layout is known
		q.watch(c, 10*time.Millisecond)
		for i := range 200 {
			p.put(t, nil, "a", i%4, "x")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		for _, in := range q.got() {
			for _, x := range in {
				if leader[x] != leader[in[0]] {
					t.Errorf("a request holds %v, of two brokers", in)
				}
			}
		}
		if s := p.producer.Stats(); s.Records != 0 || s.Retries != 0 {
			t.Errorf("%d held, %d retries, want 0 and 0", s.Records, s.Retries)
		}
		balanced(t, p)
		p.stop()
		w.stop()
	})
}
