package serial_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carga-ev/carga/hal/rpi/serial"
	"github.com/carga-ev/carga/hal/rpi/serial/pty"
)

func TestEveryByteArrivesAsItWasSent(t *testing.T) {
	device, far := pty.Open(t)
	line, err := serial.Open(serial.Config{Device: device, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = line.Close() }()
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	for name, dir := range map[string]struct {
		from io.Writer
		to   io.Reader
	}{"sent": {line, far}, "received": {far, line}} {
		if _, err := dir.from.Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(dir.to, got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: got % X, %v; a terminal changes some, a raw line none", name, got, err)
		}
	}
}

func TestOpenSetsTheLineUpAndDropsWhatIsOld(t *testing.T) {
	device, far := pty.Open(t)
	if _, err := far.WriteString("old"); err != nil {
		t.Fatal(err)
	}
	line, err := serial.Open(serial.Config{Device: device, Baud: 2400, Parity: serial.Odd, StopBits: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = line.Close() }()
	raw, err := line.(*os.File).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got *unix.Termios
	if failed := raw.Control(func(fd uintptr) { got, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	// The kernel's pseudo-terminals have no parity; the rest is what we asked for.
	if want := uint32(unix.B2400 | unix.CSTOPB | unix.CS8); got.Cflag&(unix.CBAUD|unix.CSTOPB|unix.CSIZE) != want || got.Lflag != 0 || got.Oflag != 0 {
		t.Errorf("got %+v; want 2400 baud, 8 bits, 2 stop bits and nothing else", got)
	}
	if err := line.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := line.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes, %v; want none until the deadline", n, err)
	}
}

func TestADeviceThatIsNoLineIsAnError(t *testing.T) {
	for device, want := range map[string]string{"/dev/null": "set up the serial line", "/dev/none": "no such file"} {
		if _, err := serial.Open(serial.Config{Device: device, Baud: 9600}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), device) {
			t.Errorf("%s: got %v; want an error with %q and the device", device, err, want)
		}
	}
}

func TestCharTime(t *testing.T) {
	for cfg, want := range map[serial.Config]time.Duration{
		{Baud: 9600}:              10 * time.Second / 9600,
		{Baud: 2400, StopBits: 2}: 11 * time.Second / 2400,
		{Baud: 9600, Parity: serial.Even, StopBits: 1}: 11 * time.Second / 9600,
	} {
		if got := cfg.CharTime(); got != want {
			t.Errorf("%+v: got %v, want %v", cfg, got, want)
		}
	}
}
