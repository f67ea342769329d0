package pwm

import (
	"fmt"
	"sync"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/carga-ev/carga/hal"
)

// adcMost is the largest value of a conversion.
const adcMost = 1023

// ADC is an MCP3004 or MCP3008, which several pilots may share.
type ADC struct {
	mu   sync.Mutex // one conversion after another
	conn spi.Conn
}

// NewADC makes the converter on an SPI port.
func NewADC(port spi.Port) (*ADC, error) {
	c, err := port.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		return nil, fmt.Errorf("converter MCP3004 on %s: %w", port, err)
	}
	return &ADC{conn: c}, nil
}

// Convert measures a channel once: 0 to adcMost of the reference voltage.
func (a *ADC) Convert(channel int) (int, error) {
	// Start bit; single-ended and the channel; two bits and eight bits of the value.
	w, r := [3]byte{0x01, byte(0x80 | channel<<4)}, [3]byte{}
	a.mu.Lock()
	err := a.conn.Tx(w[:], r[:])
	a.mu.Unlock()
	switch {
	case err != nil:
		return 0, fmt.Errorf("converter: %w: %w", hal.ErrUnreadable, err)
	case r[1]&0x04 != 0: // the chip sends a zero before the value; an open line is high
		return 0, fmt.Errorf("converter: %w: the chip does not answer: check the wiring of SPI", hal.ErrUnreadable)
	}
	return int(r[1]&3)<<8 | int(r[2]), nil
}
