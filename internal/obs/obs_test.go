package obs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/obs"
)

func TestLoggerWritesJSONWithTheFixedKeys(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := obs.NewLogger(&out, level)
	log.LogAttrs(t.Context(), slog.LevelInfo, "all keys",
		obs.CP("CP_001"), obs.Connector(2), obs.Session("s-1"), obs.Journal("j-1"), obs.Seq(7), obs.Command("c-1"),
		obs.Topic("cp-events"), obs.Partition(3), obs.Offset(99), obs.Err(errors.New("no")))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("got %q, want one JSON object: %v", out.String(), err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "all keys", "cp_id": "CP_001", "connector": 2.0, "session_id": "s-1", "journal": "j-1",
		"seq": 7.0, "command_id": "c-1", "topic": "cp-events", "partition": 3.0, "offset": 99.0, "err": "no",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	out.Reset()
	log.LogAttrs(t.Context(), slog.LevelDebug, "hidden")
	level.Set(slog.LevelDebug)
	log.LogAttrs(t.Context(), slog.LevelDebug, "shown", obs.Err(nil))
	if s := out.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "shown") || strings.Contains(s, "err") {
		t.Errorf("got %q, want only the line after the level was lowered, without err", s)
	}
}

func TestHealthKeepsSinceWhileTheStateIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := obs.NewRegistry("mqtt", "kafka")
		check := func(name string, want obs.Health) {
			t.Helper()
			if got, known := r.Get(name); !known || got != want {
				t.Errorf("got %+v %v, want %+v", got, known, want)
			}
		}
		check("mqtt", obs.Health{Name: "mqtt", Since: start, Reason: "starting"})
		time.Sleep(time.Second)
		r.Down("mqtt", "connection refused")
		check("mqtt", obs.Health{Name: "mqtt", Since: start, Reason: "connection refused"})
		time.Sleep(time.Second)
		r.Up("mqtt")
		time.Sleep(time.Second)
		r.Up("mqtt")
		check("mqtt", obs.Health{Name: "mqtt", Up: true, Since: start.Add(2 * time.Second)})
		if r.Ready() {
			t.Error("got ready while kafka is down, want not ready")
		}
		r.Up("kafka")
		if !r.Ready() {
			t.Error("got not ready with all up, want ready")
		}
		if all := r.All(); len(all) != 2 || all[0].Name != "kafka" || all[1].Name != "mqtt" {
			t.Errorf("got %v, want kafka and mqtt in this order", all)
		}
		if _, known := r.Get("other"); known {
			t.Error("got a health for an unknown name, want none")
		}
	})
}

func TestHealthIsSafeForConcurrentUse(t *testing.T) {
	r := obs.NewRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint(i % 3)
			for range 100 {
				r.Up(name)
				r.Down(name, "x")
				r.All()
				r.Ready()
			}
		})
	}
	wg.Wait()
	if n := len(r.All()); n != 3 {
		t.Errorf("got %d names, want 3", n)
	}
}

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestNotifierTellsTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	n := obs.NewNotifier(env(map[string]string{"NOTIFY_SOCKET": path}), 1)
	buf := make([]byte, 64)
	for _, c := range []struct {
		want string
		err  error
	}{
		{"READY=1", n.Ready(t.Context())},
		{"WATCHDOG=1", n.Watchdog(t.Context())},
		{"STOPPING=1", n.Stopping(t.Context())},
	} {
		if c.err != nil {
			t.Fatalf("%s: %v", c.want, c.err)
		}
		k, err := conn.Read(buf)
		if err != nil || string(buf[:k]) != c.want {
			t.Errorf("got %q %v, want %q", buf[:k], err, c.want)
		}
	}
}

func TestNotifierOutsideSystemdIsSilent(t *testing.T) {
	n := obs.NewNotifier(env(nil), 1)
	if err := n.Ready(t.Context()); err != nil || n.WatchdogInterval() != 0 {
		t.Errorf("got %v and interval %v, want silence", err, n.WatchdogInterval())
	}
	n = obs.NewNotifier(env(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "absent")}), 1)
	if err := n.Ready(t.Context()); err == nil {
		t.Error("got no error for a socket that does not exist")
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"20000000", "", 10 * time.Second},
		{"20000000", "42", 10 * time.Second},
		{"20000000", "7", 0},
		{"", "", 0},
		{"-5", "", 0},
		{"soon", "", 0},
		{"9223372036854775807", "", 0},
	} {
		n := obs.NewNotifier(env(map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}), 42)
		if got := n.WatchdogInterval(); got != c.want {
			t.Errorf("usec %q pid %q: got %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}
