package packaging_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// expressions are all of the alerts and of the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert string `yaml:"alert"`
				Expr  string `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				RefID string `json:"refId"`
				Expr  string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := yaml.Unmarshal(read(t, "../configs/observe/alerts.yml"), &alerts); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(read(t, "../configs/observe/grafana/network.json"), &board); err != nil {
		t.Fatal(err)
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			all["alert "+r.Alert] = r.Expr
		}
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title+" "+target.RefID+" "+target.Expr] = target.Expr
		}
	}
	if len(all) < 40 {
		t.Fatalf("found only %d expressions", len(all))
	}
	return all
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMetricsOfPanelsAndAlertsExist: each metric that a panel or an alert names is
// in the tables of OPERATIONS. Tests of agent, bridge and Central compare those
// tables with what the programs serve.
func TestMetricsOfPanelsAndAlertsExist(t *testing.T) {
	exists := map[string]string{} // kind by name
	row := regexp.MustCompile("(?m)^\\| ((?:`carga_\\w+` ?)+)\\| ([gch])\\b")
	name := regexp.MustCompile(`\bcarga_\w+`)
	for _, m := range row.FindAllStringSubmatch(string(read(t, "../docs/OPERATIONS.md")), -1) {
		for _, n := range name.FindAllString(m[1], -1) {
			exists[n] = m[2]
		}
	}
	if len(exists) < 60 {
		t.Fatalf("OPERATIONS has only %d metrics", len(exists))
	}
	for at, expr := range expressions(t) {
		names := name.FindAllString(expr, -1)
		if len(names) == 0 && !strings.HasPrefix(expr, "up{") {
			t.Errorf("%s names no metric: %s", at, expr)
		}
		for _, n := range names {
			base, bucket := strings.CutSuffix(n, "_bucket")
			kind, known := exists[base]
			if !known || bucket != (kind == "h") {
				t.Errorf("%s: %s is served by no program", at, n)
			}
			counts := kind == "c" || kind == "h"
			if rated := regexp.MustCompile(`(rate|increase)\(` + n + `[\[{]`).MatchString(expr); counts && !rated {
				t.Errorf("%s: %s is a counter: want its rate or its increase", at, n)
			}
		}
	}
}

// TestComposeRunsTheWholeNetwork: each service has a health check, except the
// simulated agent, and every file that is mounted exists.
func TestComposeRunsTheWholeNetwork(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Profiles []string `yaml:"profiles"`
			Volumes  []string `yaml:"volumes"`
			Build    struct {
				Target string `yaml:"target"`
			} `yaml:"build"`
			Health struct {
				Test []string `yaml:"test"`
			} `yaml:"healthcheck"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(read(t, "../configs/compose.yaml"), &compose); err != nil {
		t.Fatal(err)
	}
	var plain []string
	images := string(read(t, "../Containerfile"))
	for name, s := range compose.Services {
		if len(s.Profiles) == 0 {
			plain = append(plain, name)
		}
		if len(s.Health.Test) == 0 && name != "agent" {
			t.Errorf("%s has no health check", name)
		}
		if target := s.Build.Target; target != "" && !strings.Contains(images, "FROM scratch AS "+target+"\n") {
			t.Errorf("%s: the Containerfile has no target %s", name, target)
		}
		for _, v := range s.Volumes {
			if file, _, _ := strings.Cut(v, ":"); strings.HasPrefix(file, "./") {
				read(t, "../configs/"+file)
			}
		}
	}
	slices.Sort(plain)
	if !slices.Equal(plain, []string{"bridge", "central", "kafka", "mosquitto"}) {
		t.Errorf("without a profile it runs %v", plain)
	}
}
