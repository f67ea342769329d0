package chaos_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/carga-ev/carga/internal/need"
)

// TestComposeMatchesTheSamples: the containers use the shipped configurations,
// and the mounted files exist.
func TestComposeMatchesTheSamples(t *testing.T) {
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
			WorkingDir  string            `yaml:"working_dir"`
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
	engines, err := os.ReadFile(filepath.Join(root, ".ci/engines"))
	if err != nil {
		t.Fatal(err)
	}
	kafka := compose.Services["kafka"]
	if id := kafka.Environment["CLUSTER_ID"]; !strings.Contains(string(engines), "\ncluster="+id+" ") || len(id) != 22 {
		t.Errorf("CLUSTER_ID %q is not the one of .ci/engines, of 22 characters", id)
	}
	pom, err := os.ReadFile(filepath.Join(root, ".ci/engines.pom.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, version, _ := strings.Cut(kafka.Image, ":"); version == "" || !strings.Contains(string(pom), "<version>"+version+"</version>") {
		t.Errorf("%s is not the Kafka of .ci/engines.pom.xml", kafka.Image)
	}
	if place := compose.Services["mosquitto"].WorkingDir; !mounts(compose.Services["mosquitto"].Volumes, place+"/"+setting(t, "mosquitto.conf", "persistence_location ")) {
		t.Error("what Mosquitto keeps is not on a volume")
	}
	if !mounts(kafka.Volumes, kafka.Environment["KAFKA_LOG_DIRS"]) {
		t.Error("what Kafka keeps is not on a volume")
	}
}

// mounts reports whether a volume is mounted at a path.
func mounts(volumes []string, at string) bool {
	return slices.ContainsFunc(volumes, func(v string) bool {
		parts := strings.Split(v, ":")
		return len(parts) > 1 && parts[1] == strings.TrimSuffix(at, "/")
	})
}

// setting returns the value after a key in a sample configuration.
func setting(t *testing.T, sample, key string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "configs", sample))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), key); found {
			return value
		}
	}
	t.Fatalf("%s has no %q", sample, key)
	return ""
}

// TestSamplesUseTheSameAddresses: with the samples unchanged, all programs of
// one machine connect to each other.
func TestSamplesUseTheSameAddresses(t *testing.T) {
	port, host, _ := strings.Cut(setting(t, "mosquitto.conf", "listener "), " ")
	for _, sample := range []string{"bridge.yaml", "agent.yaml"} {
		if url, _, _ := strings.Cut(setting(t, sample, "url: "), " "); url != "tcp://"+host+":"+port {
			t.Errorf("%s expects MQTT at %s, it is at %s:%s", sample, url, host, port)
		}
	}
	kafka, _ := strings.CutPrefix(setting(t, "kafka.properties", "advertised.listeners="), "PLAINTEXT://")
	if listeners := setting(t, "kafka.properties", "listeners="); !strings.Contains(listeners, "PLAINTEXT://"+kafka) {
		t.Errorf("Kafka advertises %s and listens at %s", kafka, listeners)
	}
	for _, sample := range []string{"bridge.yaml", "central.yaml"} {
		if brokers := setting(t, sample, "brokers: "); brokers != "["+kafka+"]" {
			t.Errorf("%s expects Kafka at %s, it is at %s", sample, brokers, kafka)
		}
	}
}

// TestDockerReadsCompose: Docker accepts the file. Docker is optional here:
// without it the test is skipped.
func TestDockerReadsCompose(t *testing.T) {
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() != nil {
		if os.Getenv("CI") == "true" {
			t.Skip("no docker compose")
		}
		need.That(t, false, "docker compose, without a daemon", "apt-get install docker-compose-v2, or docker-compose-plugin of docker.com")
	}
	out, err := exec.CommandContext(t.Context(), "docker", "compose", "-f", filepath.Join(root, "configs/compose.yaml"), "config", "-q").CombinedOutput()
	if err != nil {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}

// TestKafkaMakesNoTopicsByItself: otherwise a client that connects before the
// bridge would create topics with one partition and seven days of retention.
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
