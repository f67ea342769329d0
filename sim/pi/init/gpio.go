//go:build linux

package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// The structures and requests of the kernel's GPIO interface, version 2, as
// linux/gpio.h lays them out.
type lineConfig struct {
	flags      uint64
	attributes uint32
	_          [5]uint32
	_          [10][24]byte
}

type lineRequest struct {
	offsets  [64]uint32
	consumer [32]byte
	config   lineConfig
	lines    uint32
	buffer   uint32
	_        [5]uint32
	fd       int32
}

type lineValues struct{ bits, mask uint64 }

const (
	getLine   = 0xc250b407
	getValues = 0xc010b40e

	flagInput = 1 << 2
)

// line is one requested pin.
type line struct{ *os.File }

// requestInput requests one pin of the header, to read it.
func requestInput(pin int) (*line, error) {
	chip, err := os.OpenFile("/dev/gpiochip0", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = chip.Close() }() // the line has a descriptor of its own
	r := lineRequest{lines: 1}
	r.offsets[0], r.config.flags = uint32(pin), flagInput
	copy(r.consumer[:], "init")
	if err := ioctl(chip.Fd(), getLine, unsafe.Pointer(&r)); err != nil {
		return nil, fmt.Errorf("GPIO%d: %w", pin, err)
	}
	return &line{os.NewFile(uintptr(r.fd), fmt.Sprintf("GPIO%d", pin))}, nil
}

// high reads the pin.
func (l *line) high() (bool, error) {
	v := lineValues{mask: 1}
	if err := ioctl(l.Fd(), getValues, unsafe.Pointer(&v)); err != nil {
		return false, fmt.Errorf("%s: %w", l.Name(), err)
	}
	return v.bits&1 != 0, nil
}

// button is a pin that a button raises.
type button struct {
	*line
	down bool // as it was last read
}

func requestButton(pin int) (*button, error) {
	l, err := requestInput(pin)
	return &button{line: l}, err
}

// pressed reports whether the button went down since the last call.
func (b *button) pressed() (bool, error) {
	down, err := b.high()
	was := b.down
	b.down = down
	return down && !was, err
}

// ioctl makes one request of the kernel.
func ioctl(fd, request uintptr, data unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(data)); errno != 0 {
		return errno
	}
	return nil
}

// finitModule loads a driver.
func finitModule(f *os.File, parameters *byte) syscall.Errno {
	const sysFinitModule = 273 // of arm64
	_, _, errno := syscall.Syscall(sysFinitModule, f.Fd(), uintptr(unsafe.Pointer(parameters)), 0)
	return errno
}
