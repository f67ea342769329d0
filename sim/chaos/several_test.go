package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/chaos"
)

// withSharedSubscription builds a bridge that subscribes to $share/carga/cp/+/up/#
// in place of cp/+/up/#.
func withSharedSubscription(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	file, err := filepath.Abs(filepath.Join(root, "bridge/internal/mqttside/side.go"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const plain = `{Filter: cfg.Router.MQTT.All("up/#"),`
	changed := strings.Replace(string(raw), plain, `{Filter: "$share/carga/"+cfg.Router.MQTT.All("up/#"),`, 1)
	if changed == string(raw) {
		t.Fatalf("%s does not contain %s", file, plain)
	}
	patched := filepath.Join(dir, "side.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: patched}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{patched: changed, filepath.Join(dir, "overlay.json"): string(overlay)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, "bridge"), "./bridge")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// TestSeveralBridgesForLong measures forms of running two bridges: how fast events
// arrive, whether in order, and what becomes of them when one bridge is killed. It
// states figures for docs/adr/0017 and runs only with CARGA_SOAK=1, alone.
func TestSeveralBridgesForLong(t *testing.T) {
	if os.Getenv("CARGA_SOAK") == "" {
		t.Skip("set CARGA_SOAK=1: it needs minutes, and a machine without other work")
	}
	forms := []struct {
		name     string
		bridges  [2][]string // settings of each; nil: there is none
		shares   bool        // a shared subscription
		prefixes [2]string   // of one half of the points and of the other
	}{
		{"one bridge", [2][]string{{}, nil}, false, [2]string{"cp", "cp"}},
		{"standby", [2][]string{{"MQTT__SHARED", "true"}, {"MQTT__SHARED", "true"}}, false, [2]string{"cp", "cp"}},
		{"both forward all", [2][]string{{}, {"MQTT__CLIENT_ID", "two"}}, false, [2]string{"cp", "cp"}},
		{"shared subscription", [2][]string{{}, {"MQTT__CLIENT_ID", "two"}}, true, [2]string{"cp", "cp"}},
		{"split by prefix", [2][]string{{"MQTT__TOPIC_PREFIX", "a"}, {"MQTT__TOPIC_PREFIX", "b", "MQTT__CLIENT_ID", "two"}}, false, [2]string{"a", "b"}},
	}
	kafka := newBroker(t, apache(t), 0)
	for i, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			s := newSite(t, fmt.Sprintf("v%d", i), kafka, 50, func(j int, p *numberedPoint) {
				p.prefix, p.window, p.probe = form.prefixes[j%2], 1000, 10*time.Second
			})
			if form.shares {
				s.bin = withSharedSubscription(t)
			}
			var bridges []*chaos.Process
			for j, settings := range form.bridges {
				if settings == nil {
					continue
				}
				b := s.bridge(fmt.Sprintf("bridge%d", j+1), kafka.Addr, settings...)
				s.start(b)
				bridges = append(bridges, b)
				if j == 0 || form.name != "standby" {
					await(t, "the bridge is connected", func(context.Context) error {
						raw, err := os.ReadFile(b.Log)
						if err == nil && !strings.Contains(string(raw), "reading from Kafka") {
							err = fmt.Errorf("it is not")
						}
						return err
					})
				}
			}
			s.write(1) // all topics are led, all points connected
			s.drained()
			const each = 800
			began := time.Now()
			s.write(each)
			late := chaos.Await(t.Context(), 30*time.Second, s.allRead)
			took := time.Since(began)
			a := s.log()
			if late != nil {
				t.Logf("%s: %v; %d records, %d repeats, %d behind a later one", form.name, late, a.records, a.repeats, len(a.backward))
				return
			}
			t.Logf("%s: %.0f events/s; %d records, %d repeats, %d behind a later one", form.name, float64(each*len(s.points))/took.Seconds(),
				a.records, a.repeats, len(a.backward))
			stop := s.flow()
			s.more(10)
			at, err := bridges[0].Kill()
			s.must(err)
			stuck := chaos.Await(t.Context(), 30*time.Second, func(context.Context) error {
				behind := 0
				for _, p := range s.points {
					if written, read := p.state(); written > read+20 {
						behind++
					}
				}
				if behind > 0 || time.Since(at) < 5*time.Second {
					return fmt.Errorf("%d of %d charging points are more than 2 s behind", behind, len(s.points))
				}
				return nil
			})
			t.Logf("%s: the first bridge is killed: after %v: %v", form.name, time.Since(at).Round(100*time.Millisecond), stuck)
			s.must(bridges[0].Start(t.Context()))
			s.more(10)
			stop()
			s.drained()
			b := s.log()
			t.Logf("%s: it is back: %d behind a later one, %d repeats", form.name, len(b.backward)-len(a.backward), b.repeats-a.repeats)
		})
	}
}

// write lets every charging point write n events at once.
func (s *site) write(n int) {
	for _, p := range s.points {
		for range n {
			p.write()
		}
	}
}
