package mqttlink_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/mqttlink"
)

// TestBrokerComesLate: the broker is away for ten minutes. The link reports what
// it waits for, and is up at most one longest pause after the broker has
// started.
func TestBrokerComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		l := mustNew(t, config(w, in))
		began := time.Now()
		stop := run(t, l)
		time.Sleep(10 * time.Minute)
		s := l.State()
		if s.Up || !s.Since.Equal(began) || !strings.Contains(s.LastError, errRefused.Error()) {
			t.Errorf("state %+v, want down since %v because of %v", s, began, errRefused)
		}
		if want := "waiting for MQTT at tcp://broker:1883 since "; !strings.HasPrefix(s.String(), want) {
			t.Errorf("the state is %q, want %q…", s, want)
		}
		if w.dials < 100 || w.dials > 300 {
			t.Errorf("%d dials in 10 min, want one each 2.5 to 5 s", w.dials)
		}
		w.start(t)
		time.Sleep(5100 * time.Millisecond)
		synctest.Wait()
		if s := l.State(); !s.Up || s.Connects != 1 {
			t.Errorf("state %+v, want up", s)
		}
		w.publish(t, "down/x", "hello")
		synctest.Wait()
		if got := in.texts(); !slices.Equal(got, []string{"hello"}) {
			t.Errorf("received %q", got)
		}
		stop()
		w.stop()
		if s := l.State(); s.Up {
			t.Error("up after the stop")
		}
	})
}

// TestBrokerRestartedEmpty: the broker restarts without any session, several
// times. The link subscribes again each time.
func TestBrokerRestartedEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		cfg := config(w, in)
		cfg.CleanSession = false
		l := mustNew(t, cfg)
		w.start(t)
		stop := run(t, l)
		var want []string
		for range 3 {
			time.Sleep(time.Minute)
			synctest.Wait()
			text := time.Now().String()
			want = append(want, text)
			w.publish(t, "down/x", text)
			synctest.Wait()
			w.stop()
			time.Sleep(time.Minute) // refused dials in a row
			w.start(t)
		}
		if got := in.texts(); !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
		stop()
		w.stop()
	})
}

// TestHalfOpenLine: a connection that dies silently is detected within 1.5 ×
// KeepAlive, at every point of the ping cycle.
func TestHalfOpenLine(t *testing.T) {
	for _, keepAlive := range []time.Duration{2 * time.Second, 4 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute} {
		for phase := range 8 {
			t.Run(keepAlive.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					noticesDeadLine(t, keepAlive, 5*keepAlive+time.Duration(phase)*(keepAlive/7)+time.Millisecond)
				})
			})
		}
	}
}

func noticesDeadLine(t *testing.T, keepAlive, after time.Duration) {
	t.Helper()
	w, in := &wires{}, &inbox{}
	cfg := config(w, in)
	cfg.KeepAlive = keepAlive
	l := mustNew(t, cfg)
	w.start(t)
	stop := run(t, l)
	time.Sleep(after)
	synctest.Wait()
	if s := l.State(); !s.Up || s.Connects != 1 {
		t.Fatalf("state %+v, want a quiet line to stay up", s)
	}
	w.last().freeze()
	froze := time.Now()
	<-l.Conn().Lost()
	if took := time.Since(froze); took > keepAlive*3/2 {
		t.Errorf("noticed after %v, want at most %v", took, keepAlive*3/2)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	if s := l.State(); !s.Up || s.Connects != 2 {
		t.Errorf("state %+v, want a second connection", s)
	}
	stop()
	w.stop()
}

// TestRefusedSubscription: a connection whose subscription is refused is not up,
// reports the reason, and is retried until the subscription is granted.
func TestRefusedSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		l := mustNew(t, config(w, in))
		w.start(t)
		w.set(rules{subscribe: true})
		stop := run(t, l)
		time.Sleep(time.Minute)
		if s := l.State(); s.Up || !strings.Contains(s.LastError, "down/#: refused") || s.Attempts < 5 || s.Attempts > 40 {
			t.Errorf("state %+v, want down because of the refusal, tried again", s)
		}
		w.set(rules{})
		time.Sleep(6 * time.Second)
		if s := l.State(); !s.Up {
			t.Errorf("state %+v, want up", s)
		}
		stop()
		w.stop()
	})
}

// TestPublishEnds: every publish ends: acknowledged, refused without a
// connection, lost with it, or by its context. Without an acknowledgement its
// error is never nil.
func TestPublishEnds(t *testing.T) {
	for _, clean := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, in := &wires{}, &inbox{}
			cfg := config(w, in)
			cfg.CleanSession = clean
			l := mustNew(t, cfg)
			ctx := t.Context()
			if err := l.Publish(ctx, "up/x", 1, false, nil); !errors.Is(err, mqttlink.ErrNotConnected) {
				t.Errorf("before Run: %v", err)
			}
			w.start(t)
			stop := run(t, l)
			synctest.Wait()
			for qos := range byte(2) {
				if err := l.Publish(ctx, "up/x", qos, false, []byte("a")); err != nil {
					t.Errorf("QoS %d: %v", qos, err)
				}
			}
			w.set(rules{silent: true})
			var all []*mqttlink.Pending
			for range 64 {
				p, err := l.PublishAsync(ctx, "up/x", 1, false, []byte("b"))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, p)
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			if err := l.Publish(short, "up/x", 1, false, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with a deadline: %v", err)
			}
			cancel()
			w.stop()
			for i, p := range all {
				if err := p.Wait(ctx); err == nil {
					t.Errorf("publish %d ended with nil, though nothing was acknowledged", i)
				}
			}
			time.Sleep(time.Minute)
			w.start(t)
			time.Sleep(6 * time.Second)
			if err := l.Publish(ctx, "up/x", 1, false, nil); err != nil {
				t.Errorf("on the next connection: %v", err)
			}
			stop()
			w.stop()
			if s := l.State(); s.Published != 3 || s.Unpublished != 65 {
				t.Errorf("counted %d published and %d not, want 3 and 65", s.Published, s.Unpublished)
			}
		})
	}
}

// TestPublishKeepsOrder: a pipelined window arrives in the order of the calls.
func TestPublishKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		l := mustNew(t, config(w, in))
		w.start(t)
		stop := run(t, l)
		synctest.Wait()
		var want []string
		for i := range 500 {
			want = append(want, string(rune('a'+i%26)))
			if _, err := l.PublishAsync(t.Context(), "down/x", 1, false, []byte(want[i])); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := in.texts(); !slices.Equal(got, want) {
			t.Errorf("received %d of %d, or in another order", len(got), len(want))
		}
		stop()
		w.stop()
	})
}

// TestManualAck: what is not acknowledged is redelivered on the next connection.
// An acknowledgement of the old delivery has no effect.
func TestManualAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		cfg := config(w, in)
		cfg.CleanSession, cfg.ManualAck = false, true
		l := mustNew(t, cfg)
		w.start(t)
		stop := run(t, l)
		synctest.Wait()
		w.publish(t, "down/x", "1")
		w.publish(t, "down/x", "2")
		synctest.Wait()
		first := in.all()
		if len(first) != 2 || first[0].Conn != 1 {
			t.Fatalf("received %+v", first)
		}
		l.Acknowledge(1, 1)
		synctest.Wait()
		w.last().cut()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		again := in.all()[2:]
		if len(again) != 1 || string(again[0].Payload) != "2" || !again[0].Dup || again[0].Conn != 2 {
			t.Fatalf("delivered again %+v, want message 2 as a duplicate on connection 2", again)
		}
		l.Acknowledge(1, 1) // of the old connection
		synctest.Wait()
		if s := l.State(); s.Acked != 1 || s.AcksDropped != 1 {
			t.Errorf("acks %d, dropped %d, want 1 and 1", s.Acked, s.AcksDropped)
		}
		l.Acknowledge(2, 1)
		synctest.Wait()
		w.last().cut()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if got := len(in.all()); got != 3 {
			t.Errorf("%d deliveries, want 3: all is acknowledged", got)
		}
		stop()
		w.stop()
	})
}

// TestAcksInTheOrderOfReceipt: messages are acknowledged in the order of receipt
// (MQTT 3.1.1, MQTT-4.6.0-2), as many as the owner acknowledges.
func TestAcksInTheOrderOfReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		cfg := config(w, in)
		cfg.CleanSession, cfg.ManualAck = false, true
		l := mustNew(t, cfg)
		w.start(t)
		stop := run(t, l)
		synctest.Wait()
		for range 6 {
			w.publish(t, "down/x", "m")
		}
		synctest.Wait()
		if n := len(in.all()); n != 6 || len(w.delivered) != 6 {
			t.Fatalf("%d received, %d delivered, want 6", n, len(w.delivered))
		}
		sum := 0
		for _, n := range []int{0, 1, 3, 2} {
			l.Acknowledge(1, n)
			sum += n
			synctest.Wait()
			if want := w.delivered[:sum]; !slices.Equal(w.acked, want) {
				t.Errorf("%d more: acknowledged %v, want %v", n, w.acked, want)
			}
		}
		if s := l.State(); s.Acked != 6 {
			t.Errorf("%d acknowledgements counted, want 6", s.Acked)
		}
		stop()
		w.stop()
	})
}

// TestUnmatchedIsAcknowledged: messages for the subscriptions of an older
// session are acknowledged and counted, and are not redelivered.
func TestUnmatchedIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		old := config(w, in)
		old.CleanSession, old.ManualAck = false, true
		old.Subscriptions = []mqttlink.Subscription{{Filter: "old/#", QoS: 1}}
		w.start(t)
		stop := run(t, mustNew(t, old))
		synctest.Wait()
		stop()
		w.publish(t, "old/x", "1")
		cfg := config(w, in)
		cfg.CleanSession, cfg.ManualAck = false, true
		for round, want := range []uint64{1, 0} {
			l := mustNew(t, cfg)
			stop := run(t, l)
			time.Sleep(time.Second)
			synctest.Wait()
			if s := l.State(); s.Unmatched != want || s.Received != 0 {
				t.Errorf("round %d: %d unmatched, %d received, want %d and 0", round, s.Unmatched, s.Received, want)
			}
			stop()
		}
		w.stop()
	})
}

// TestWillAndFarewell: the will has the number of its connection, and the broker
// publishes it when the connection breaks. A clean stop publishes the farewell
// and no will.
func TestWillAndFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in, watched := &wires{}, &inbox{}, &inbox{}
		w.start(t)
		watch := config(w, watched)
		watch.ClientID = "watch"
		stopWatch := run(t, mustNew(t, watch))
		cfg := config(w, in)
		note := func(word string) func(uint64) *mqttlink.Note {
			return func(conn uint64) *mqttlink.Note {
				return &mqttlink.Note{Topic: "down/note", Payload: []byte(word + string(rune('0'+conn))), QoS: 1}
			}
		}
		cfg.Will, cfg.Farewell = note("will"), note("bye")
		cfg.Subscriptions = nil
		var downs []uint64
		cfg.OnDown = func(conn uint64, err error) { downs = append(downs, conn) }
		cfg.OnUp = func(ctx context.Context, c *mqttlink.Conn) {
			if err := c.Publish(ctx, "down/note", 1, false, []byte("up"+string(rune('0'+c.Number())))); err != nil {
				t.Errorf("OnUp: %v", err)
			}
			<-ctx.Done()
		}
		synctest.Wait()
		stop := run(t, mustNew(t, cfg))
		time.Sleep(time.Second)
		w.last().cut()
		time.Sleep(10 * time.Second)
		stop()
		synctest.Wait()
		if got, want := watched.texts(), []string{"up1", "will1", "up2", "bye2"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
		if !slices.Equal(downs, []uint64{1, 2}) {
			t.Errorf("OnDown of %v, want 1 and 2", downs)
		}
		stopWatch()
		w.stop()
	})
}

// TestOneOwnerAtATime: the next connection waits until OnUp of the last one has
// returned.
func TestOneOwnerAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		cfg := config(w, in)
		owners := 0
		cfg.OnUp = func(ctx context.Context, _ *mqttlink.Conn) {
			if owners++; owners > 1 {
				t.Error("two owners at a time")
			}
			<-ctx.Done()
			time.Sleep(10 * time.Second)
			owners--
		}
		l := mustNew(t, cfg)
		w.start(t)
		stop := run(t, l)
		for range 3 {
			time.Sleep(20 * time.Second)
			w.last().cut()
		}
		time.Sleep(20 * time.Second)
		stop()
		if owners != 0 {
			t.Error("Run returned before its owner")
		}
		w.stop()
	})
}

// TestPause: a paused link stays disconnected, its messages wait at the broker,
// and it connects again when resumed.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		cfg := config(w, in)
		cfg.CleanSession = false
		l := mustNew(t, cfg)
		w.start(t)
		stop := run(t, l)
		synctest.Wait()
		l.Pause("buffer full")
		time.Sleep(time.Hour)
		if s := l.State(); s.Up || s.Attempts != 1 || s.Paused != "buffer full" {
			t.Errorf("state %+v, want held after one attempt", s)
		}
		w.publish(t, "down/x", "kept")
		l.Resume()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := in.texts(); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("received %q after the release", got)
		}
		l.Pause("again")
		stop() // while paused, too
		w.stop()
	})
}

// TestConfigErrorsNameTheField: the error has all faults at once.
func TestConfigErrorsNameTheField(t *testing.T) {
	_, err := mqttlink.New(mqttlink.Config{
		Brokers: []string{"ws://a:1", "tcp://", "::"}, KeepAlive: -1,
		Subscriptions: []mqttlink.Subscription{{Filter: "", QoS: 2}},
	})
	for _, want := range []string{`scheme "ws"`, `"tcp://" names no host`, "client id", "keep-alive", "subscription", "handler"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}
