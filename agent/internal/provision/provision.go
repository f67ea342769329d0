// Package provision writes what turns a fresh SD card of a Raspberry Pi into a
// charging point: the files that cloud-init reads from the boot partition at the
// first start, and the lines of config.txt that the wiring needs. The system must
// have cloud-init: Raspberry Pi OS from 2025-11 on, or Ubuntu.
//
// Plan decides, Write touches the card.
package provision

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
)

// Point is the charging point that a card is made for. Its texts were not checked
// yet; the broker and the wiring were.
type Point struct {
	ID       charge.CPID
	Host     string // empty: follows from ID
	Broker   string // a URL, as mqtt.url
	Wiring   rpi.Config
	Board    string // text of the board file
	User     string // the maintainer, by SSH
	SSHKey   string // a public key; empty: no log-in by SSH
	WiFi     WiFi
	Packaged bool // a package lies beside the files
}

// WiFi is a wireless network. Without a name there is only the cable.
type WiFi struct{ Name, Password, Country string }

// PackageName is the name of the agent's package on the boot partition.
const PackageName = "carga-agent.deb"

// The files of cloud-init.
const (
	UserData      = "user-data"
	MetaData      = "meta-data"
	NetworkConfig = "network-config"
)

// Plan returns the files by their names. An error names the setting and the remedy.
func Plan(p Point) (map[string]string, error) {
	if p.Host == "" {
		p.Host = strings.ToLower(strings.ReplaceAll(string(p.ID), "_", "-"))
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return map[string]string{UserData: p.userData(), MetaData: p.metaData(), NetworkConfig: p.networkConfig()}, nil
}

func (p Point) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !isLabel(p.Host, 63) {
		bad("--host %q: use 1 to 63 letters, digits and hyphens, with no hyphen at an end", p.Host)
	}
	if !isLabel(p.User, 32) || !unicode.IsLower(rune(p.User[0])) {
		bad("--user %q: use 1 to 32 small letters, digits and hyphens, a letter first", p.User)
	}
	if p.SSHKey != "" && !isKey(p.SSHKey) {
		bad("--ssh-key: want a file with one public key, such as ~/.ssh/id_ed25519.pub")
	}
	if w := p.WiFi; w.Name != "" {
		if len(w.Name) > 32 || !utf8.ValidString(w.Name) {
			bad("--wifi %q: a network's name has 1 to 32 bytes", w.Name)
		}
		if n := len(w.Password); n < 8 || n > 63 || !isPrintable(w.Password) {
			bad("--wifi-password-file: a password has 8 to 63 printable ASCII characters")
		}
		if len(w.Country) != 2 || strings.ToUpper(w.Country) != w.Country || !isLabel(w.Country, 2) {
			bad("--wifi-country %q: want two capital letters, such as DE; the radio is off without it", w.Country)
		}
	}
	return errors.Join(errs...)
}

// isLabel reports whether s is one label of a host name.
func isLabel(s string, longest int) bool {
	for _, r := range s {
		if r >= utf8.RuneSelf || r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return s != "" && len(s) <= longest && s[0] != '-' && s[len(s)-1] != '-'
}

// isKey reports whether s is one line in the form of a public key of OpenSSH.
func isKey(s string) bool {
	words := strings.Fields(s)
	return isPrintable(s) && len(words) >= 2 &&
		(strings.HasPrefix(words[0], "ssh-") || strings.HasPrefix(words[0], "ecdsa-") || strings.HasPrefix(words[0], "sk-"))
}

func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func (p Point) metaData() string {
	return "instance-id: carga-" + p.Host + "\nlocal-hostname: " + p.Host + "\n"
}

func (p Point) networkConfig() string {
	var b strings.Builder
	b.WriteString("version: 2\nethernets:\n  eth0:\n    dhcp4: true\n    optional: true\n")
	if p.WiFi.Name != "" {
		// A quoted string of Go is one of YAML too.
		fmt.Fprintf(&b, "wifis:\n  wlan0:\n    dhcp4: true\n    optional: true\n    regulatory-domain: %s\n    access-points:\n      %s:\n        password: %s\n",
			p.WiFi.Country, strconv.Quote(p.WiFi.Name), strconv.Quote(p.WiFi.Password))
	}
	return b.String()
}

func (p Point) userData() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#cloud-config\n# Written by agent provision for %s.\nhostname: %s\nmanage_etc_hosts: true\nssh_pwauth: false\n", p.ID, p.Host)
	if p.SSHKey != "" {
		fmt.Fprintf(&b, "users:\n  - name: %s\n    shell: /bin/bash\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    ssh_authorized_keys:\n      - %s\n", p.User, strconv.Quote(strings.TrimSpace(p.SSHKey)))
	}
	b.WriteString("write_files:\n")
	file := func(name, text string) {
		fmt.Fprintf(&b, "  - path: %s\n    content: |\n", name)
		for line := range strings.Lines(text) {
			b.WriteString("      " + strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	file("/etc/carga/agent.yaml", p.settings())
	file("/etc/carga/board.yaml", "# The wiring, as given to agent provision.\n"+p.Board)
	if p.Wiring.UsesI2C() {
		file("/etc/modules-load.d/carga.conf", "i2c-dev\n")
	}
	if p.Wiring.Watchdog.Device == "" {
		file("/etc/systemd/system.conf.d/carga.conf", "# The hardware resets a computer that hangs.\n[Manager]\nRuntimeWatchdogSec=14\n")
	}
	b.WriteString("runcmd:\n  - [systemctl, daemon-reexec]\n")
	if p.SSHKey != "" {
		b.WriteString("  - [systemctl, enable, --now, ssh]\n")
	}
	if p.Packaged {
		// The files above are kept instead of those of the package.
		fmt.Fprintf(&b, "  - [dpkg, --force-confold, -i, /boot/firmware/%s]\n  - [systemctl, enable, --now, carga-agent]\n", PackageName)
	}
	return b.String()
}

// settings is agent.yaml.
func (p Point) settings() string {
	return fmt.Sprintf("# Written by agent provision. The sample with all keys is configs/agent.yaml.\ncp_id: %s\ndata_dir: /var/lib/carga-agent\nmqtt: {url: %s}\nhardware: {kind: rpi, rpi: {board: /etc/carga/board.yaml}}\nobserve: {listen: 127.0.0.1:9464}\n",
		strconv.Quote(string(p.ID)), strconv.Quote(p.Broker))
}
