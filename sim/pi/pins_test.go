package pi_test

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Registers of a BCM2837.
const (
	selectRegister = 0x3f200000 // GPFSEL0: 10 pins a register, 3 bits a pin
	setRegister    = 0x3f20001c // GPSET0
	clearRegister  = 0x3f200028 // GPCLR0
	levelRegister  = 0x3f200034 // GPLEV0

	clockRegister = 0x3f003004 // of the system timer: microseconds since power on
)

// pins reads and moves the pins of the machine from outside, by the emulator's
// qtest protocol: a line for a command, a line for its answer. It is safe for
// concurrent use.
type pins struct {
	mu   sync.Mutex // guards what follows: an answer belongs to the command before
	conn net.Conn
	in   *bufio.Reader
}

func newPins(conn net.Conn) *pins { return &pins{conn: conn, in: bufio.NewReader(conn)} }

// command sends a command and returns the value in its answer, 0 without one.
func (p *pins) command(format string, args ...any) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(p.conn, line); err != nil {
		return 0, fmt.Errorf("pins: %w", err)
	}
	answer, err := p.in.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("pins: %w", err)
	}
	words := strings.Fields(answer)
	if len(words) == 0 || words[0] != "OK" {
		return 0, fmt.Errorf("pins: %q to %s", answer, line)
	}
	if len(words) == 1 {
		return 0, nil
	}
	v, err := strconv.ParseUint(words[1], 0, 64)
	if err != nil {
		return 0, fmt.Errorf("pins: answer to %s: %w", line, err)
	}
	return uint32(v), nil
}

// levels reads all pins: bit n is GPIO n.
func (p *pins) levels() (uint32, error) { return p.command("readl %#x", levelRegister) }

// drive moves an input as something outside of the machine does.
func (p *pins) drive(pin int, high bool) error {
	register := clearRegister
	if high {
		register = setRegister
	}
	_, err := p.command("writel %#x %#x", register, 1<<pin)
	return err
}

// isOutput reports whether the machine drives a pin.
func (p *pins) isOutput(pin int) (bool, error) {
	v, err := p.command("readl %#x", selectRegister+pin/10*4)
	return v>>(pin%10*3)&7 == 1, err
}

// clock reads the machine's own clock.
func (p *pins) clock() (time.Duration, error) {
	v, err := p.command("readl %#x", clockRegister)
	return time.Duration(v) * time.Microsecond, err
}
