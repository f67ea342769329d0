package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/sim/demo"
	"github.com/carga-ev/carga/sim/people"
)

// TestMain: no goroutine is left when a demo has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a demo whose sessions take seconds.
func small(dir string, runFor time.Duration) demo.Config {
	cfg := demo.DefaultConfig()
	free := demo.Address{HostPort: "127.0.0.1:0", Explicit: true}
	cfg.CPs, cfg.Drivers, cfg.Data, cfg.For = 5, 3, dir, runFor
	cfg.HTTP, cfg.MQTT, cfg.Kafka = free, free, free
	cfg.Vehicles = sim.Vehicles{
		Least: sim.Vehicle{Capacity: 60, Charge: 200, MaxPower: 90_000},
		Most:  sim.Vehicle{Capacity: 200, Charge: 500, MaxPower: 150_000},
	}
	cfg.Visits = people.Config{
		Arrives: sim.Span{Least: 100 * time.Millisecond, Most: 500 * time.Millisecond},
		Stays:   sim.Span{Least: 2 * time.Second, Most: 4 * time.Second},
		Leaves:  sim.Span{Least: 100 * time.Millisecond, Most: 400 * time.Millisecond},
	}
	cfg.Pause = sim.Span{Least: 100 * time.Millisecond, Most: 500 * time.Millisecond}
	return cfg
}

// screen is the output for people; it can be read while it is written.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// logTo writes the logs of the parts to a file, and shows its end when the test
// fails.
func logTo(t *testing.T, dir string) *slog.Logger {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		if t.Failed() {
			raw, _ := os.ReadFile(f.Name())
			t.Logf("log:\n%s", raw[max(0, len(raw)-8_000):])
		}
	})
	return slog.New(slog.NewJSONHandler(f, nil))
}

func wantHealthy(t *testing.T, s demo.Summary) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Healthy() {
		t.Errorf("not in order: %s", text)
	}
	if s.Sessions == 0 || s.Energy.Billed == 0 || s.Reservations.Used == 0 || s.Events.Applied == 0 {
		t.Errorf("nothing happened: %s", text)
	}
	if s.Events.DeadLetters != 0 {
		t.Errorf("dead letters: %s", text)
	}
	if s.Energy.Unaccounted != 0 {
		t.Errorf("energy is on no ticket: %s", text)
	}
}

// TestDemoContinuesOnItsDataFolder: two runs on one folder, which no other demo
// can use meanwhile.
func TestDemoContinuesOnItsDataFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out screen
	deps := demo.Deps{Out: &out, Log: logTo(t, dir)}
	var intruder error
	deps.Ready = func(string) {
		_, intruder = demo.Run(t.Context(), small(dir, time.Second), demo.Deps{Out: &out, Log: deps.Log})
	}
	first, err := demo.Run(t.Context(), small(dir, 8*time.Second), deps)
	if err != nil {
		t.Fatal(err)
	}
	wantHealthy(t, first)
	if intruder == nil || !strings.Contains(intruder.Error(), dir) {
		t.Errorf("a second demo on the folder got %v, want an error that names it", intruder)
	}
	for _, want := range []string{"MQTT broker", "Kafka", "Central", "Bridge", "/signin?key=carga_", "5/5 charging points ready"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not printed:\n%s", want, out.String())
		}
	}

	deps.Ready = nil
	fewer := small(dir, 7*time.Second)
	fewer.CPs = 2 // the points of the data folder all run
	second, err := demo.Run(t.Context(), fewer, deps)
	if err != nil {
		t.Fatal(err)
	}
	wantHealthy(t, second)
	if second.Sessions <= first.Sessions || second.Energy.Metered <= first.Energy.Metered || second.Events.Journalled <= first.Events.Journalled {
		t.Errorf("first %+v, second %+v: it did not go on", first, second)
	}
}

// TestDemoSurvivesEveryCut: each part is cut and restored during sessions, by
// the keys and by the page's button. Nothing is lost or applied twice.
func TestDemoSurvivesEveryCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out screen
	keys := make(chan rune)
	page := make(chan string, 1)
	deps := demo.Deps{Out: &out, Log: logTo(t, dir), Keys: keys, Ready: func(url string) { page <- url }}
	ctx, cancel := context.WithCancel(t.Context())
	var saboteur sync.WaitGroup
	saboteur.Go(func() {
		url := <-page
		for _, step := range []struct {
			wait time.Duration
			do   func() error
		}{
			{time.Second, press(ctx, keys, 'k')},
			{2 * time.Second, press(ctx, keys, 'k')},
			{time.Second, press(ctx, keys, 'm')},
			{2 * time.Second, press(ctx, keys, 'm')},
			{time.Second, press(ctx, keys, 'b')},
			{2 * time.Second, press(ctx, keys, 'b')},
			{time.Second, press(ctx, keys, 'f')},
			{time.Second, press(ctx, keys, 'r')},
			{time.Second, part(ctx, url, "bridge", false)}, // restored by the demo's end
		} {
			select {
			case <-ctx.Done():
				return
			case <-time.After(step.wait):
			}
			if err := step.do(); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	s, err := demo.Run(ctx, small(dir, 17*time.Second), deps)
	cancel()
	saboteur.Wait()
	if err != nil {
		t.Fatal(err)
	}
	wantHealthy(t, s)
	for _, want := range []string{"kafka is cut", "kafka is back", "mqtt is cut", "mqtt is back", "bridge is cut", "bridge is back"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not printed:\n%s", want, out.String())
		}
	}
}

func press(ctx context.Context, keys chan<- rune, k rune) func() error {
	return func() error {
		select {
		case keys <- k:
		case <-ctx.Done():
		}
		return nil
	}
}

func part(ctx context.Context, link, name string, up bool) func() error {
	return func() error {
		return ask(ctx, link, http.MethodPost, "demo/parts/"+name, fmt.Sprintf(`{"up":%v}`, up), nil)
	}
}

// ask sends a request to Central's API, as the admin that link signs in, and decodes the
// answer; nil: it is not wanted. A refusal is an error.
func ask(ctx context.Context, link, method, path, body string, answer any) error {
	page, key, _ := strings.Cut(link, "/signin?key=")
	req, err := http.NewRequestWithContext(ctx, method, page+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// TestAGroupOfTheDemo: two of its charging points share a supply. While one charges, the
// other one lends its current. That the first gets it is not seen here: Central raises
// nothing for 6 minutes after its start.
func TestAGroupOfTheDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := small(dir, 0)
	cfg.CPs, cfg.Drivers = 2, 1
	cfg.Stay(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var observer sync.WaitGroup
	var out screen
	deps := demo.Deps{Out: &out, Log: logTo(t, dir), Ready: func(link string) {
		observer.Go(func() {
			defer cancel()
			group := func(limit int) error {
				return ask(ctx, link, http.MethodPost, "groups", fmt.Sprintf(`{"name":"hall","limit_ma":%d,"cps":["CP_0001","CP_0002"]}`, limit), nil)
			}
			// A charging point is online before Central knows its connectors.
			err := errors.New("not asked")
			for ctx.Err() == nil && (err == nil || !strings.Contains(err.Error(), "safe_above_limit")) {
				err = group(199_000)
				pause(ctx)
			}
			if ctx.Err() != nil {
				t.Errorf("a supply below the safe currents: got %v", err)
			}
			if err := group(250_000); err != nil {
				t.Error(err)
				return
			}
			var g view.Group
			lends := func(m view.GroupMember) bool { return m.Safe == 100_000 && m.Granted < m.Safe }
			for !slices.ContainsFunc(g.Members, lends) {
				pause(ctx)
				var got view.GroupList
				if err := ask(ctx, link, http.MethodGet, "groups", "", &got); err != nil {
					t.Errorf("nothing was lent: %v; the last state: %+v", err, g)
					return
				}
				if g = got.Groups[0]; len(g.Members) != 2 || g.Granted > g.Limit {
					t.Errorf("got %+v", g)
				}
			}
		})
	}}
	_, err := demo.Run(ctx, cfg, deps)
	observer.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

// pause waits before something is looked at again.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// TestBusyPorts: an occupied explicit port is an error that names it; a default
// one is moved, with a message.
func TestBusyPorts(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dir := t.TempDir()
	var out screen
	cfg := small(dir, time.Second)
	cfg.HTTP = demo.Address{HostPort: l.Addr().String(), Explicit: true}
	if _, err := demo.Run(t.Context(), cfg, demo.Deps{Out: &out, Log: logTo(t, dir)}); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v, want an error that names %s", err, l.Addr())
	}
	cfg.HTTP.Explicit = false
	cfg.For = 500 * time.Millisecond
	if _, err := demo.Run(t.Context(), cfg, demo.Deps{Out: &out, Log: logTo(t, dir)}); err != nil {
		t.Errorf("a busy default port: %v", err)
	}
	if !strings.Contains(out.String(), "is busy; the page is at") {
		t.Errorf("the move was not printed:\n%s", out.String())
	}
}

// TestVehiclesStayAsLongAsWanted: none is full before.
func TestVehiclesStayAsLongAsWanted(t *testing.T) {
	t.Parallel()
	cfg := demo.DefaultConfig()
	cfg.Stay(5 * time.Minute)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	smallest, most := cfg.Vehicles.Least, cfg.Vehicles.Most
	missing := float64(smallest.Capacity) * float64(1000-most.Charge) / 1000
	full := time.Duration(missing / float64(most.MaxPower) * float64(time.Hour))
	if cfg.Visits.Stays.Least != 5*time.Minute || full < cfg.Visits.Stays.Most {
		t.Errorf("a vehicle stays for %v to %v, and may be full after %v", cfg.Visits.Stays.Least, cfg.Visits.Stays.Most, full)
	}
}

// TestConfigNamesEveryMistake: all invalid values are reported, by their flags.
func TestConfigNamesEveryMistake(t *testing.T) {
	t.Parallel()
	cfg := demo.Config{Drivers: -1, For: -1, ExternalMQTT: "nowhere", ExternalKafka: []string{"x"}}
	err := cfg.Validate()
	for _, want := range []string{"--cps", "--drivers", "--data", "--for", "--partitions", "--external-mqtt", "--external-kafka"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
}

// TestExternalBrokers: the demo uses the brokers it is given, starts none, and
// has no buttons for them.
func TestExternalBrokers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := logTo(t, dir)
	mqtt, kafka := engines.NewMQTT("127.0.0.1:0", nil, log), engines.NewKafka("127.0.0.1:0", t.TempDir(), nil)
	if err := errors.Join(mqtt.Start(), kafka.Start()); err != nil {
		t.Fatal(err)
	}
	defer mqtt.Stop()
	defer kafka.Stop()
	cfg := small(dir, 6*time.Second)
	cfg.ExternalMQTT, cfg.ExternalKafka = mqtt.URL(), []string{kafka.Addr()}
	var out screen
	deps := demo.Deps{Out: &out, Log: log}
	deps.Ready = func(page string) {
		if err := part(t.Context(), page, "kafka", false)(); err == nil {
			t.Error("an external Kafka was cut")
		}
	}
	s, err := demo.Run(t.Context(), cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	wantHealthy(t, s)
	if got := strings.Count(out.String(), "external"); got != 2 {
		t.Errorf("printed %d times that something is external:\n%s", got, out.String())
	}
}
