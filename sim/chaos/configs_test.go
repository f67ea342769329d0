package chaos_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestComposeRunsTheSame: the containers are given the shipped configurations,
// and the files that are mounted are there.
func TestComposeRunsTheSame(t *testing.T) {
	file := filepath.Join(root, "configs/compose.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Image       string            `yaml:"image"`
			NetworkMode string            `yaml:"network_mode"`
			Volumes     []string          `yaml:"volumes"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
		Volumes map[string]any `yaml:"volumes"`
	}
	if err := yaml.Unmarshal(raw, &compose); err != nil {
		t.Fatal(err)
	}
	for service, mounted := range map[string]string{"mosquitto": "./mosquitto.conf", "kafka": "./kafka.properties"} {
		s := compose.Services[service]
		if s.Image == "" || s.NetworkMode != "host" {
			t.Errorf("%s: image %q, network %q; want an image on the machine's own network", service, s.Image, s.NetworkMode)
		}
		found := false
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(from, "./") {
				if _, ok := compose.Volumes[from]; !ok {
					t.Errorf("%s: volume %s is not declared", service, from)
				}
				continue
			}
			found = found || from == mounted
			if _, err := os.Stat(filepath.Join(root, "configs", from)); err != nil {
				t.Errorf("%s: %v", service, err)
			}
		}
		if !found {
			t.Errorf("%s does not mount %s", service, mounted)
		}
	}
	if id := compose.Services["kafka"].Environment["CLUSTER_ID"]; len(id) != 22 {
		t.Errorf("CLUSTER_ID %q is not 22 characters long", id)
	}
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() != nil {
		t.Log("no docker compose here, which could read the file too")
		return
	}
	if out, err := exec.CommandContext(t.Context(), "docker", "compose", "-f", file, "config", "-q").CombinedOutput(); err != nil {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}

// TestKafkaMakesNoTopicsByItself: a plain client that comes first would make
// them with one partition and seven days.
func TestKafkaMakesNoTopicsByItself(t *testing.T) {
	f, err := os.Open(filepath.Join(root, "configs/kafka.properties"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	set := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if was, twice := set[key]; twice && !strings.HasPrefix(key, "#") && key != "" {
			t.Errorf("%s is set twice, to %s and %s", key, was, value)
		}
		set[key] = value
	}
	if got := set["auto.create.topics.enable"]; got != "false" {
		t.Errorf("auto.create.topics.enable is %q", got)
	}
}
