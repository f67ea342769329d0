package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/charge"
)

// plainDriver is a driver as customers have written theirs: a common Kafka
// client and JSON, without code of this project.
type plainDriver struct {
	w      *world
	writer *kafka.Writer

	mu       sync.Mutex       // guards received
	received []map[string]any // messages of central-events, from the beginning
}

// newPlainDriver connects such a driver. The topics must exist.
func (w *world) newPlainDriver() *plainDriver {
	w.t.Helper()
	transport := &kafka.Transport{Dial: w.dialKafka("driver-kafka")}
	d := &plainDriver{w: w, writer: &kafka.Writer{
		Addr: kafka.TCP(kafkaAddr), Topic: "driver-events", RequiredAcks: kafka.RequireAll, BatchTimeout: 10 * time.Millisecond,
		Balancer: &kafka.Hash{}, Transport: transport,
	}}
	w.run("plain driver's reader", func(ctx context.Context) error { d.readEvents(ctx); return nil })
	w.run("plain driver's writer", func(ctx context.Context) error {
		<-ctx.Done()
		err := d.writer.Close()
		transport.CloseIdleConnections()
		return err
	})
	return d
}

// readEvents reads all messages of central-events.
func (d *plainDriver) readEvents(ctx context.Context) {
	dial := d.w.dialKafka("driver-kafka")
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{kafkaAddr}, Topic: "central-events", MaxWait: 200 * time.Millisecond,
		Dialer: &kafka.Dialer{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address)
		}},
	})
	for ctx.Err() == nil {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			continue // the client reconnects by itself
		}
		var e map[string]any
		if err := json.Unmarshal(m.Value, &e); err != nil {
			d.w.t.Errorf("%s: %v", m.Value, err)
		}
		d.record(m.Headers, e)
	}
	if err := reader.Close(); err != nil {
		d.w.t.Error(err)
	}
}

// record stores a message. One about a session must have its id as the trace_id
// header.
func (d *plainDriver) record(headers []kafka.Header, e map[string]any) {
	trace := ""
	for _, h := range headers {
		if h.Key == "trace_id" {
			trace = string(h.Value)
		}
	}
	if session, _ := e["session_id"].(string); trace != session {
		d.w.t.Errorf("%v has the trace_id %q, want %q", e["event_type"], trace, session)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.received = append(d.received, e)
}

// send writes one message with the driver's name as its key.
func (d *plainDriver) send(username, text string) {
	d.w.t.Helper()
	now := fmt.Sprintf("%.3f", float64(time.Now().UnixMilli())/1000)
	text = strings.ReplaceAll(text, "NOW", now)
	if err := d.writer.WriteMessages(context.WithoutCancel(d.w.t.Context()), kafka.Message{Key: []byte(username), Value: []byte(text)}); err != nil {
		d.w.t.Fatal(err)
	}
}

// receivedTypes returns the types of the messages to a driver that belong to
// its service, in order, without repetitions.
func (d *plainDriver) receivedTypes(username string) (kinds []string) {
	unordered := []string{"charging_progress", "cp_status_changed", "notice"} // may come at any time
	seen := map[any]bool{}
	for _, e := range d.receivedBy(username) {
		if k, _ := e["event_type"].(string); !slices.Contains(unordered, k) && !seen[e["event_id"]] {
			seen[e["event_id"]] = true
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// receivedBy returns all messages to a driver.
func (d *plainDriver) receivedBy(username string) (list []map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.received {
		if e["username"] == username {
			list = append(list, e)
		}
	}
	return list
}

// awaitFirst waits for the first message of a type to a driver.
func (d *plainDriver) awaitFirst(username, kind string) map[string]any {
	d.w.t.Helper()
	for waited := time.Duration(0); ; waited += 100 * time.Millisecond {
		events := d.receivedBy(username)
		if i := slices.IndexFunc(events, func(e map[string]any) bool { return e["event_type"] == kind }); i >= 0 {
			return events[i]
		}
		if waited > 10*time.Minute {
			d.w.t.Fatalf("%s did not receive %s, but %v: %s", username, kind, d.receivedBy(username), d.w.describeBooks())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

const authorizationJSON = `{"message_id":"%s","event_type":"AUTHORIZATION_REQUEST","driver_id":"7","username":"%s","cp_id":%s,"client_id":"app","timestamp":NOW}`

// startedJSON is how a driver of the old system requests the start.
const startedJSON = `{"message_id":"%s","event_type":"charging_started","username":"%s","cp_id":"%s","timestamp":NOW}`

// TestPlainDriver: a driver reserves any charging point, receives each step in
// order, and its ticket. A message that it sends twice has one effect.
func TestPlainDriver(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{points: 2}, func(w *world) {
		w.start(allParts()...)
		w.watchInvariants()
		time.Sleep(10 * time.Second)
		d := w.newPlainDriver()
		request := fmt.Sprintf(authorizationJSON, "m-1", "dora", "null")
		for range 3 {
			d.send("dora", request)
		}
		answer := d.awaitFirst("dora", "AUTHORIZATION_RESPONSE")
		if answer["authorized"] != true || answer["message_id"] != "m-1" || answer["client_id"] != "app" || answer["reservation_id"] == "" {
			t.Fatalf("the answer: %v", answer)
		}
		cp, _ := answer["cp_id"].(string)
		time.Sleep(10 * time.Second)
		for range 2 {
			d.send("dora", fmt.Sprintf(startedJSON, "m-2", "dora", cp))
		}
		ticket := d.awaitFirst("dora", "CHARGING_TICKET")
		if ticket["energy_kwh"] != 2.0 || ticket["cost"] != 1.9 || ticket["currency"] != "EUR" || ticket["cp_id"] != cp || ticket["session_id"] == "" || ticket["reason"] != "unplugged" {
			t.Errorf("the ticket: %v", ticket)
		}
		d.send("dora", request) // again, after the end
		time.Sleep(10 * time.Second)
		want := []string{"AUTHORIZATION_RESPONSE", "charging_started", "charging_suspended", "CHARGING_TICKET"}
		if got := d.receivedTypes("dora"); !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		progress := slices.IndexFunc(d.receivedBy("dora"), func(e map[string]any) bool { return e["event_type"] == "charging_progress" })
		if progress < 0 {
			t.Error("received no progress")
		}
		if n := len(items[reservation](w, "/reservations")); n != 1 {
			t.Errorf("%d reservations of one request", n)
		}
		w.settle()
		w.balanced(1)
	})
}

// TestPlainDriverIsRefusedInTime: while no charging point answers, the refusal
// comes within five seconds, and nothing stays reserved.
func TestPlainDriverIsRefusedInTime(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{points: 2}, func(w *world) {
		w.start(allParts()...)
		w.watchInvariants()
		time.Sleep(10 * time.Second)
		d := w.newPlainDriver()
		time.Sleep(2 * time.Second)
		w.links["agent-mqtt"].set(linkBlackhole) // online, as far as Central knows
		d.send("dora", fmt.Sprintf(authorizationJSON, "m-1", "dora", "null"))
		began := time.Now()
		answer := d.awaitFirst("dora", "AUTHORIZATION_RESPONSE")
		if took := time.Since(began); answer["authorized"] != false || answer["reason"] == "" || took > 5*time.Second {
			t.Errorf("after %s: %v, want a refusal within 5 s", took, answer)
		}
		time.Sleep(time.Second)
		for _, r := range items[reservation](w, "/reservations") {
			if r.State == "active" || r.State == "pending" {
				t.Errorf("still there: %+v", r)
			}
		}
		w.links["agent-mqtt"].set(linkUp)
		time.Sleep(healTimeout)
		d.send("dora", fmt.Sprintf(authorizationJSON, "m-3", "dora", `"CP_001"`))
		w.await(healTimeout, "the next request is granted", func() bool { return w.points[0].shown().Status == charge.StatusReserved })
		d.send("dora", fmt.Sprintf(startedJSON, "s-3", "dora", "CP_001"))
		d.awaitFirst("dora", "CHARGING_TICKET")
		w.settle()
		w.balanced(1)
	})
}

// TestOldRequestsAreReadAgain: a Central with a new database reads all of
// yesterday's requests. It makes the same tickets and reserves nothing.
func TestOldRequestsAreReadAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{points: 2}, func(w *world) {
		w.start(allParts()...)
		time.Sleep(10 * time.Second)
		d := w.newPlainDriver()
		for _, username := range []string{"dora", "emil"} {
			d.send(username, fmt.Sprintf(authorizationJSON, "m-"+username, username, "null"))
			cp, _ := d.awaitFirst(username, "AUTHORIZATION_RESPONSE")["cp_id"].(string)
			d.send(username, fmt.Sprintf(startedJSON, "s-"+username, username, cp))
			d.awaitFirst(username, "CHARGING_TICKET")
		}
		d.send("fritz", fmt.Sprintf(authorizationJSON, "m-fritz", "fritz", `"CP_009"`)) // it does not exist
		d.awaitFirst("fritz", "AUTHORIZATION_RESPONSE")
		w.settle()
		w.balanced(2)
		want := w.ticketsByCP()
		w.stop("agent", "central", "bridge", "plain driver's reader", "people of CP_001", "people of CP_002") // so that a day of fake time passes quickly
		time.Sleep(24 * time.Hour)
		restarted := charge.At(time.Now())
		for _, tail := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(w.database() + tail); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		w.watchInvariants()
		w.start("bridge", "central", "agent")
		time.Sleep(healTimeout)
		w.settle()
		w.balanced(2)
		if got := w.ticketsByCP(); len(got) != len(want) || !slices.Equal(got["CP_001"], want["CP_001"]) || !slices.Equal(got["CP_002"], want["CP_002"]) {
			t.Errorf("tickets\n got %v\nwant %v", got, want)
		}
		if all := items[reservation](w, "/reservations"); slices.ContainsFunc(all, func(r reservation) bool { return r.State == "active" || r.State == "pending" }) {
			t.Errorf("yesterday's requests reserve: %+v", all)
		}
		// Yesterday's commands are in the journals, and so in the books; none
		// is sent.
		if n := w.count("SELECT count(*) FROM commands WHERE type IN ('RESERVE','START') AND issued_at>=?", int64(restarted)); n != 0 {
			t.Errorf("%d commands for yesterday's requests: %+v", n, items[order](w, "/commands"))
		}
		if got := w.points[0].shown().Status; got != charge.StatusAvailable {
			t.Errorf("%s is %s", w.points[0].id, got)
		}
	})
}
