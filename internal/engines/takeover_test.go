package engines_test

import (
	"log/slog"
	"net"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/carga-ev/carga/internal/engines"
)

// TestTakeoverClientReceives: a client that takes over the session of
// another one receives its messages, whatever the end of the other one does.
func TestTakeoverClientReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vnet := &kfake.VirtualNetwork{}
		e := engines.NewMQTT("127.0.0.1:1883", vnet.Listen, slog.New(slog.DiscardHandler))
		if err := e.Start(); err != nil {
			t.Fatal(err)
		}
		defer e.Stop()
		connect := func(id string) mqtt.Client {
			o := mqtt.NewClientOptions().AddBroker(e.URL()).SetClientID(id).SetAutoReconnect(false)
			o.SetWill("will", "gone", 1, true)
			o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
				return vnet.DialContext(t.Context(), "tcp", u.Host)
			})
			c := mqtt.NewClient(o)
			done(t, c.Connect())
			return c
		}
		publisher := connect("publisher")
		var clients []mqtt.Client
		for round := range 500 {
			received := make(chan struct{}, 1)
			c := connect("twin")
			clients = append(clients, c)
			done(t, c.Subscribe("news", 1, func(mqtt.Client, mqtt.Message) {
				select {
				case received <- struct{}{}:
				default:
				}
			}))
			done(t, publisher.Publish("news", 1, false, "x"))
			select {
			case <-received:
			case <-time.After(5 * time.Second):
				t.Errorf("the new client of round %d receives nothing", round)
			}
		}
		for _, c := range append(clients, publisher) {
			c.Disconnect(0)
		}
		time.Sleep(time.Minute) // paho's goroutines end
	})
}

func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatalf("not done: %v", token.Error())
	}
}
