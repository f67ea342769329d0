package rpi

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// The requests of linux/i2c-dev.h and linux/spi/spidev.h. periph's own drivers for
// these two files bring all of its sysfs package, 128 KiB (ADR 0026).
const (
	i2cTransfer = 0x0707
	i2cRead     = 1 // a flag of i2cMessage
	spiSetMode  = 0x40016b01
	spiMessage  = 0x40206b00 // one transfer of 32 bytes
)

// ioctl calls ioctl(2) with a pointer to a struct of the kernel.
func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// i2cBus is /dev/i2c-N. It is safe for concurrent use.
type i2cBus struct{ f *os.File }

var _ i2c.BusCloser = i2cBus{}

// openI2C opens a bus by its name, such as i2c-1.
func openI2C(name string) (i2c.BusCloser, error) {
	f, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return i2cBus{f}, nil
}

// i2cMessage is struct i2c_msg, i2cMessages struct i2c_rdwr_ioctl_data.
type i2cMessage struct {
	address, flags, length uint16
	data                   *byte
}

type i2cMessages struct {
	first *i2cMessage
	count uint32
}

// Tx implements i2c.Bus: it writes and then reads, without a stop between.
func (b i2cBus) Tx(address uint16, w, r []byte) error {
	var all [2]i2cMessage
	n := uint32(0)
	if len(w) > 0 {
		all[n] = i2cMessage{address: address, length: uint16(len(w)), data: &w[0]}
		n++
	}
	if len(r) > 0 {
		all[n] = i2cMessage{address: address, flags: i2cRead, length: uint16(len(r)), data: &r[0]}
		n++
	}
	if n == 0 {
		return nil
	}
	if err := ioctl(b.f, i2cTransfer, unsafe.Pointer(&i2cMessages{first: &all[0], count: n})); err != nil {
		return fmt.Errorf("%s address %#02x: %w", b, address, err)
	}
	return nil
}

// SetSpeed implements i2c.Bus. The speed of the bus is set in config.txt.
func (b i2cBus) SetSpeed(physic.Frequency) error { return errors.ErrUnsupported }

// Close implements i2c.BusCloser.
func (b i2cBus) Close() error { return b.f.Close() }

// String names the device.
func (b i2cBus) String() string { return b.f.Name() }

// spiPort is /dev/spidevB.C, with its one connection. It is safe for concurrent
// use.
type spiPort struct {
	f *os.File

	mu    sync.Mutex // guards what follows, and a transfer
	speed uint32     // Hz; 0 before Connect
}

var (
	_ spi.PortCloser = (*spiPort)(nil)
	_ spi.Conn       = (*spiPort)(nil)
)

// openSPI opens a chip select by its name, such as spi0.0.
func openSPI(name string) (spi.PortCloser, error) {
	f, err := os.OpenFile("/dev/spidev"+strings.TrimPrefix(name, "spi"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &spiPort{f: f}, nil
}

// Connect implements spi.Port.
func (p *spiPort) Connect(speed physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	if bits != 8 {
		return nil, fmt.Errorf("%s: %d bits a word are not supported; use 8", p, bits)
	}
	m := uint8(mode)
	if err := ioctl(p.f, spiSetMode, unsafe.Pointer(&m)); err != nil {
		return nil, fmt.Errorf("%s: mode %d: %w", p, mode, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.speed = uint32(speed / physic.Hertz)
	return p, nil
}

// LimitSpeed implements spi.PortCloser.
func (p *spiPort) LimitSpeed(physic.Frequency) error { return errors.ErrUnsupported }

// spiTransfer is struct spi_ioc_transfer. Its addresses are no pointers for Go, so
// the buffers are pinned.
type spiTransfer struct {
	tx, rx               uint64
	length, speed        uint32
	delay                uint16
	bits                 uint8
	keep, txWires, wires uint8
	wordDelay, pad       uint8
}

// Tx implements conn.Conn: r receives as many bytes as w sends.
func (p *spiPort) Tx(w, r []byte) error {
	if len(w) == 0 || len(r) != 0 && len(r) != len(w) {
		return fmt.Errorf("%s: %d bytes to send, %d to receive", p, len(w), len(r))
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := spiTransfer{length: uint32(len(w)), speed: p.speed, bits: 8}
	pin.Pin(&w[0])
	t.tx = uint64(uintptr(unsafe.Pointer(&w[0])))
	if len(r) > 0 {
		pin.Pin(&r[0])
		t.rx = uint64(uintptr(unsafe.Pointer(&r[0])))
	}
	if err := ioctl(p.f, spiMessage, unsafe.Pointer(&t)); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// TxPackets implements spi.Conn: no part needs it.
func (p *spiPort) TxPackets([]spi.Packet) error { return errors.ErrUnsupported }

// Duplex implements conn.Conn.
func (p *spiPort) Duplex() conn.Duplex { return conn.Full }

// Close implements spi.PortCloser.
func (p *spiPort) Close() error { return p.f.Close() }

// String names the device.
func (p *spiPort) String() string { return p.f.Name() }
