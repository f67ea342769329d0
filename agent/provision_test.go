package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/process"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA ana@laptop"

// newCard makes a boot partition as an image has it.
func newCard(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config.txt":  "dtparam=audio=on\n[pi4]\narm_boost=1",
		"cmdline.txt": "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait\n",
		"user-data":   "#cloud-config\n\n# hostname: raspberrypi\n",
	} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runCard runs the command without a terminal.
func runCard(t *testing.T, args ...string) (int, string) {
	t.Helper()
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	var out bytes.Buffer
	code := run(t.Context(), append([]string{"provision"}, args...), stdin, &out, &out)
	return code, out.String()
}

// The files on the card are what cloud-init reads, and the files that those write
// are settings that the agent accepts.
func TestProvisionedCardHoldsAWorkingAgent(t *testing.T) {
	dir := newCard(t)
	other := t.TempDir()
	code, out := runCard(t, "--to", dir, "--cp-id", "CP_007", "--broker", "tcp://192.168.1.10:1883",
		"--board", "../configs/boards/hat-pwm.yaml",
		"--ssh-key", writeFile(t, filepath.Join(other, "key.pub"), key+"\n"),
		"--wifi", `Café "1"`, "--wifi-password-file", writeFile(t, filepath.Join(other, "wifi"), `a: "b" # c`), "--wifi-country", "DE",
		"--package", writeFile(t, filepath.Join(other, "a.deb"), "!<arch>\nx"))
	if code != process.ExitOK {
		t.Fatalf("got %d: %s", code, out)
	}

	var user struct {
		Hostname string `yaml:"hostname"`
		Users    []struct {
			Name string   `yaml:"name"`
			Keys []string `yaml:"ssh_authorized_keys"`
		} `yaml:"users"`
		Files []struct {
			Path    string `yaml:"path"`
			Content string `yaml:"content"`
		} `yaml:"write_files"`
		Run [][]string `yaml:"runcmd"`
	}
	text := readFile(t, filepath.Join(dir, "user-data"))
	if err := yaml.Unmarshal([]byte(text), &user); err != nil || !strings.HasPrefix(text, "#cloud-config\n") {
		t.Fatalf("user-data: %v\n%s", err, text)
	}
	if user.Hostname != "cp-007" || len(user.Users) != 1 || user.Users[0].Name != "carga" || user.Users[0].Keys[0] != key || len(user.Run) != 4 {
		t.Errorf("user-data: got %+v", user)
	}
	written := map[string]string{}
	for _, f := range user.Files {
		written[filepath.Base(f.Path)] = f.Content
	}
	if written["carga.conf"] == "" || len(user.Files) != 4 {
		t.Errorf("user-data: got files %q", written)
	}
	cfg := app.DefaultConfig()
	board := writeFile(t, filepath.Join(other, "board.yaml"), written["board.yaml"])
	settings := writeFile(t, filepath.Join(other, "agent.yaml"), strings.ReplaceAll(written["agent.yaml"], "/etc/carga/board.yaml", board))
	if err := config.Load(&cfg, config.Options{Path: settings}); err != nil {
		t.Errorf("the agent refuses its settings: %v", err)
	}
	if cfg.CPID != "CP_007" || cfg.MQTT.URL != "tcp://192.168.1.10:1883" {
		t.Errorf("the settings are %+v", cfg)
	}

	var network struct {
		WiFis map[string]struct {
			Country string                       `yaml:"regulatory-domain"`
			Points  map[string]map[string]string `yaml:"access-points"`
		} `yaml:"wifis"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, filepath.Join(dir, "network-config"))), &network); err != nil {
		t.Fatal(err)
	}
	if w := network.WiFis["wlan0"]; w.Country != "DE" || w.Points[`Café "1"`]["password"] != `a: "b" # c` {
		t.Errorf("network-config: got %+v", network)
	}

	boot := readFile(t, filepath.Join(dir, "config.txt"))
	for _, want := range []string{"arm_boost=1\n# begin of carga", "\n[all]\ndtparam=strict_gpiod\n", "dtoverlay=pwm,pin=18,func=2\n"} {
		if !strings.Contains(boot, want) {
			t.Errorf("config.txt: there is no %q in\n%s", want, boot)
		}
	}
	if got := readFile(t, filepath.Join(dir, "cmdline.txt")); got != "console=tty1 root=PARTUUID=1-02 rootwait\n" {
		t.Errorf("cmdline.txt: got %q", got)
	}
	if got := readFile(t, filepath.Join(dir, "carga-agent.deb")); got != "!<arch>\nx" {
		t.Errorf("the package is %q", got)
	}
}

func TestProvisionReplacesNothingUnasked(t *testing.T) {
	dir := newCard(t)
	args := []string{"--to", dir, "--cp-id", "CP_1", "--broker", "tcp://b:1883", "--board", "../configs/boards/bench-contacts.yaml"}
	if code, out := runCard(t, args...); code != process.ExitOK {
		t.Fatalf("got %d: %s", code, out)
	}
	before := readAll(t, dir)
	if code, out := runCard(t, args...); code != process.ExitOK {
		t.Errorf("the same again: got %d: %s", code, out)
	}
	if after := readAll(t, dir); after != before {
		t.Errorf("the same again changed\n%s\nto\n%s", before, after)
	}
	args[3] = "CP_2"
	if code, out := runCard(t, args...); code != process.ExitConfig || !strings.Contains(out, "--force") {
		t.Errorf("another point: got %d: %s", code, out)
	}
	if after := readAll(t, dir); after != before {
		t.Errorf("a refusal changed\n%s\nto\n%s", before, after)
	}
	if code, out := runCard(t, append(args, "--force")...); code != process.ExitOK || !strings.Contains(readAll(t, dir), "CP_2") {
		t.Errorf("with --force: got %d: %s", code, out)
	}
}

// readAll returns the names and texts of a folder.
func readAll(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all.WriteString("== " + name + "\n" + readFile(t, filepath.Join(dir, name)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestProvisionNamesWhatIsWrong(t *testing.T) {
	other := t.TempDir()
	secret := writeFile(t, filepath.Join(other, "wifi"), "short")
	for _, c := range []struct {
		args string
		want string
	}{
		{"--cp-id CP_1", "--to is missing"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883", "--board is missing"},
		{"--to DIR --cp-id CP/1 --broker tcp://b:1883 --board BOARD", "cp_id"},
		{"--to DIR --cp-id CP_1 --broker mqtt --board BOARD", "mqtt.url"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board ../configs/agent.yaml", "cp_id"},
		{"--to OTHER --cp-id CP_1 --broker tcp://b:1883 --board BOARD", "boot partition"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board BOARD --host a.b", "--host"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board BOARD --user Ana", "--user"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board BOARD --ssh-key SECRET", "--ssh-key"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board BOARD --wifi x --wifi-country DE --wifi-password-file SECRET", "8 to 63"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board BOARD --wifi x --wifi-country de", "--wifi-country"},
		{"--to DIR --cp-id CP_1 --broker tcp://b:1883 --board BOARD --package SECRET", "no Debian package"},
	} {
		dir := newCard(t)
		before := readAll(t, dir)
		args := strings.Fields(strings.NewReplacer("DIR", dir, "OTHER", other, "BOARD", "../configs/boards/bench-contacts.yaml", "SECRET", secret).Replace(c.args))
		code, out := runCard(t, args...)
		if code == process.ExitOK || !strings.Contains(out, c.want) {
			t.Errorf("%s: got %d and %q, want %q", c.args, code, out, c.want)
		}
		if after := readAll(t, dir); after != before {
			t.Errorf("%s: changed the card", c.args)
		}
	}
}
