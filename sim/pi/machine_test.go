package pi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/chaos"
)

// machine is an emulated Raspberry Pi. Its card and its console outlive a power
// cut; powerOn starts it again.
type machine struct {
	*testing.T
	dir   string // of all its files
	qemu  *chaos.Process
	args  []string // of qemu, without those of one boot
	card  string
	pins  *pins // of the present power-on, as serial
	since time.Time
	// serial is the far end of the serial port of the meter.
	serial net.Conn
}

// Files of a machine, in its folder.
const (
	pinsSocket    = "pins"
	monitorSocket = "monitor"
	serialSocket  = "serial"
	consoleFile   = "console.log"
)

// newMachine prepares a machine that boots from the files of sys and keeps its
// data on a new card.
func newMachine(t *testing.T, sys *system, files []file) *machine {
	t.Helper()
	dir := folder(t)
	m := &machine{T: t, dir: dir, card: filepath.Join(dir, "card.img")}
	raw, err := initramfs(files)
	m.must(err)
	m.must(os.WriteFile(m.path("initrd.gz"), raw, 0o600))
	m.must(os.WriteFile(m.card, nil, 0o600))
	m.must(os.Truncate(m.card, cardSize))
	run(t, sys.mkfs, "-q", "-F", m.card)
	socket := func(name string) string { return "unix:" + m.path(name) + ",server=on,wait=off" }
	m.qemu = &chaos.Process{Name: "Raspberry Pi", Path: sys.qemu, Log: m.path("qemu.log"), Args: []string{
		// One thread for all cores halves the work of a boot. The clock counts
		// instructions of 2³ ns. A reboot ends the emulator. -S: it waits in reset.
		"-M", "raspi3b", "-m", "1G", "-accel", "tcg,thread=single", "-icount", "shift=3", "-no-reboot", "-S", "-display", "none",
		"-kernel", sys.kernel, "-dtb", sys.tree, "-initrd", m.path("initrd.gz"),
		"-netdev", "user,id=n0", "-device", "usb-net,netdev=n0",
		// A write that has ended is in the host's page cache, which outlives the
		// emulator. To sync it there would stop all of the machine meanwhile, unlike a card.
		"-drive", "file=" + m.card + ",if=sd,format=raw,cache=writeback",
		"-chardev", "file,id=console,path=" + m.path(consoleFile) + ",append=on", "-serial", "chardev:console",
		"-serial", socket(serialSocket),
		"-monitor", socket(monitorSocket),
		"-qtest", socket(pinsSocket), "-qtest-log", "none",
	}}
	chaos.RaisePriority(m.qemu) // a Raspberry Pi has its cores for itself
	m.args = m.qemu.Args
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the console:\n%s", tail(m.console(), 8<<10))
		}
		m.cutPower()
	})
	return m
}

// cardSize is the size of the card in bytes, a power of two as the emulated one
// wants.
const cardSize = 64 << 20

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// powerOn connects the supply. before is called with the machine in reset, when
// its pins can be read and moved and nothing runs yet. Before the agent, init runs
// commands of it.
func (m *machine) powerOn(before func(), commands ...string) {
	m.Helper()
	m.qemu.Args = append(m.args, "-append", strings.Join(append([]string{"console=ttyAMA0,115200 rdinit=/init quiet --"}, commands...), " "))
	m.must(m.qemu.Start(context.WithoutCancel(m.Context())))
	monitor := m.connect(monitorSocket)
	m.pins, m.serial = newPins(m.connect(pinsSocket)), m.connect(serialSocket)
	before()
	m.since = time.Now()
	_, err := fmt.Fprintln(monitor, "cont")
	m.must(err)
}

// connect connects to one of the emulator's sockets, which appear after its
// start. The connection is closed with the test.
func (m *machine) connect(name string) (conn net.Conn) {
	m.Helper()
	await(m.T, "the socket "+name, func(ctx context.Context) (err error) {
		if !m.qemu.Alive() {
			m.Fatalf("the emulator has ended: %s", m.qemu.Tail())
		}
		conn, err = new(net.Dialer).DialContext(ctx, "unix", m.path(name))
		return err
	})
	m.Cleanup(func() { _ = conn.Close() }) // its other end is gone by then
	return conn
}

// cutPower cuts the supply: SIGKILL of the emulator. It does nothing while the
// machine is off.
func (m *machine) cutPower() {
	m.Helper()
	if _, err := m.qemu.Kill(); err != nil && !errors.Is(err, chaos.ErrNotRunning) {
		m.Error(err)
	}
}

// awaitOff waits until the machine has switched itself off.
func (m *machine) awaitOff() {
	m.Helper()
	await(m.T, "the machine is off", func(context.Context) error {
		if m.qemu.Alive() {
			return errors.New("the emulator runs")
		}
		return nil
	})
}

// console returns what the machine has printed since it was made.
func (m *machine) console() string {
	raw, err := os.ReadFile(m.path(consoleFile))
	if err != nil {
		return err.Error()
	}
	return string(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")))
}

// printed returns a look function for await: the console has words after a
// position.
func (m *machine) printed(after int, words string) func(context.Context) error {
	return func(context.Context) error {
		if !m.qemu.Alive() {
			m.Fatalf("the emulator has ended: %s", m.qemu.Tail())
		}
		if out := m.console(); len(out) < after || !strings.Contains(out[after:], words) {
			return fmt.Errorf("the console has no %q", words)
		}
		return nil
	}
}

// tail returns the last bytes of s.
func tail(s string, size int) string { return s[max(0, len(s)-size):] }
