package mqttlink_test

import (
	"context"
	"net"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// The tests of this file state what paho does where this package relies on it or
// works round it. When one fails after an update of paho, paho has changed:
// check the guarantee of this package that it belongs to.

// bare is a paho client as the link makes it, with the changes of change.
func bare(w *wires, change func(*mqtt.ClientOptions)) mqtt.Client {
	o := mqtt.NewClientOptions().AddBroker("tcp://broker:1883").SetClientID("bare").SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectRetry(false).SetKeepAlive(10 * time.Second).SetPingTimeout(2 * time.Second).
		SetWriteTimeout(10 * time.Second).
		SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return w.open(context.Background(), u)
		})
	if change != nil {
		change(o)
	}
	return mqtt.NewClient(o)
}

func mustConnect(t *testing.T, c mqtt.Client) {
	t.Helper()
	if token := c.Connect(); !token.WaitTimeout(time.Minute) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
}

func over(token mqtt.Token) bool { return token.WaitTimeout(10 * time.Minute) }

// TestPahoFirstFailureIsFinal: without ConnectRetry paho does not retry, hence
// Link.Run.
func TestPahoFirstFailureIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{}
		c := bare(w, nil)
		if token := c.Connect(); !over(token) || token.Error() == nil {
			t.Error("connected to nothing")
		}
		time.Sleep(10 * time.Minute)
		if w.dials != 1 {
			t.Errorf("%d dials, want 1", w.dials)
		}
	})
}

// TestPahoTokenAfterLoss: with a clean session the token of a lost connection
// ends in an error; without one it never ends.
func TestPahoTokenAfterLoss(t *testing.T) {
	for _, clean := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := &wires{}
			w.start(t)
			defer w.stop()
			w.set(rules{silent: true})
			c := bare(w, func(o *mqtt.ClientOptions) { o.SetCleanSession(clean) })
			mustConnect(t, c)
			token := c.Publish("up/x", 1, false, "a")
			synctest.Wait() // it is in flight
			w.last().cut()
			ended := over(token)
			if ended != clean {
				t.Errorf("clean %v: token ended: %v", clean, ended)
			}
			if ended && token.Error() == nil {
				t.Error("token of a lost connection ended with nil")
			}
		})
	}
}

// TestPahoReconnectCompletesTokens: paho's own reconnection completes
// outstanding tokens with nil although nothing was acknowledged, hence one
// client per connection.
func TestPahoReconnectCompletesTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{}
		w.start(t)
		defer w.stop()
		w.set(rules{silent: true})
		c := bare(w, func(o *mqtt.ClientOptions) { o.SetCleanSession(false).SetAutoReconnect(true) })
		mustConnect(t, c)
		token := c.Publish("up/x", 1, false, "a")
		synctest.Wait() // it is in flight
		w.last().cut()
		if !over(token) || token.Error() != nil {
			t.Errorf("token: ended with %v; paho used to complete it with nil", token.Error())
		}
		c.Disconnect(10)
	})
}

// TestPahoRestoresNoSubscription: after paho's own reconnection to a broker
// without the session, no message is received.
func TestPahoRestoresNoSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{}
		w.start(t)
		c := bare(w, func(o *mqtt.ClientOptions) { o.SetCleanSession(false).SetAutoReconnect(true).SetResumeSubs(true) })
		mustConnect(t, c)
		got := 0
		if token := c.Subscribe("down/#", 1, func(mqtt.Client, mqtt.Message) { got++ }); !over(token) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		w.stop()
		time.Sleep(time.Second)
		w.start(t)
		time.Sleep(10 * time.Minute)
		if !c.IsConnectionOpen() {
			t.Fatal("not reconnected")
		}
		w.publish(t, "down/x", "a")
		synctest.Wait()
		if got != 0 {
			t.Errorf("%d messages: paho restores subscriptions now", got)
		}
		c.Disconnect(10)
		w.stop()
	})
}

// TestPahoRefusedSubscriptionIsNoError: only the result shows the refusal.
func TestPahoRefusedSubscriptionIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{}
		w.start(t)
		defer w.stop()
		w.set(rules{subscribe: true})
		c := bare(w, nil)
		mustConnect(t, c)
		token := c.SubscribeMultiple(map[string]byte{"down/#": 1}, nil)
		if !over(token) || token.Error() != nil {
			t.Errorf("token: %v; paho reports the refusal now", token.Error())
		}
		if sub, ok := token.(*mqtt.SubscribeToken); !ok || sub.Result()["down/#"] != 128 {
			t.Errorf("result of %T, want 128", token)
		}
		c.Disconnect(10)
	})
}

// TestPahoBlockedHandlerHidesTheLoss: while a handler blocks, paho does not
// report the lost connection, hence guardedConn and the rule that a handler only
// queues.
func TestPahoBlockedHandlerHidesTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{}
		w.start(t)
		defer w.stop()
		lost := make(chan struct{})
		release := make(chan struct{})
		c := bare(w, func(o *mqtt.ClientOptions) {
			o.SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) })
		})
		mustConnect(t, c)
		if token := c.Subscribe("down/#", 1, func(mqtt.Client, mqtt.Message) { <-release }); !over(token) {
			t.Fatal("not subscribed")
		}
		w.publish(t, "down/x", "a")
		synctest.Wait()
		w.last().cut()
		time.Sleep(10 * time.Minute)
		select {
		case <-lost:
			t.Error("the loss was reported while the handler waited")
		default:
		}
		close(release)
		<-lost
	})
}

// TestBlockedHandlerDoesNotStopTheLink: even a handler that blocks for a minute
// does not delay the next connection.
func TestBlockedHandlerDoesNotStopTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in := &wires{}, &inbox{}
		w.start(t)
		cfg := config(w, in)
		cfg.Handler = func(m mqttMessage) {
			if in.put(m); m.Conn == 1 {
				time.Sleep(time.Minute)
			}
		}
		l := mustNew(t, cfg)
		stop := run(t, l)
		synctest.Wait()
		w.publish(t, "down/x", "a")
		synctest.Wait()
		w.last().cut()
		time.Sleep(3 * time.Second)
		if s := l.State(); !s.Up || s.Conn != 2 {
			t.Errorf("state %+v, want the second connection up", s)
		}
		stop()
		w.stop()
		time.Sleep(time.Minute)
	})
}
