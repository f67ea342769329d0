package serial

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// speeds are the speeds that the kernel knows by a name of their own.
//
//nolint:gochecknoglobals // a table of constants
var speeds = map[int]uint32{
	1200: unix.B1200, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600, 19200: unix.B19200,
	38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200,
}

// Open opens the line, sets it up and drops what has arrived before. A device
// that another program has opened exclusively is an error.
func Open(cfg Config) (Line, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	// Non-blocking puts the file under the runtime's poller, which gives it deadlines.
	f, err := os.OpenFile(cfg.Device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := configure(f, cfg); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", cfg.Device, err)
	}
	return f, nil
}

// configure makes the line raw, as cfg wants it and this process's own.
func configure(f *os.File, cfg Config) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = setUp(int(fd), cfg) }); err != nil {
		return err
	}
	return set
}

func setUp(fd int, cfg Config) error {
	speed := speeds[cfg.Baud]
	t := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | speed, Ispeed: speed, Ospeed: speed}
	t.Cc[unix.VMIN] = 1
	switch cfg.Parity {
	case Odd:
		t.Cflag |= unix.PARENB | unix.PARODD
		t.Iflag |= unix.INPCK
	case Even:
		t.Cflag |= unix.PARENB
		t.Iflag |= unix.INPCK
	case None:
	}
	if cfg.StopBits == 2 {
		t.Cflag |= unix.CSTOPB
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return fmt.Errorf("set up the serial line: %w", err)
	}
	// A second program on the same line would mix its frames with ours.
	if err := unix.IoctlSetInt(fd, unix.TIOCEXCL, 0); err != nil {
		return fmt.Errorf("reserve the serial line: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH); err != nil {
		return fmt.Errorf("flush the serial line: %w", err)
	}
	return nil
}
