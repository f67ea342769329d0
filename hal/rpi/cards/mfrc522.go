package cards

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// The registers of the MFRC522 that are used.
const (
	regCommand    byte = 0x01
	regComIrq     byte = 0x04
	regError      byte = 0x06
	regFIFOData   byte = 0x09
	regFIFOLevel  byte = 0x0A
	regControl    byte = 0x0C
	regBitFraming byte = 0x0D
	regMode       byte = 0x11
	regTxControl  byte = 0x14
	regTxASK      byte = 0x15
	regRFCfg      byte = 0x26
	regTMode      byte = 0x2A
	regTPrescaler byte = 0x2B
	regTReloadH   byte = 0x2C
	regTReloadL   byte = 0x2D
	regVersion    byte = 0x37
)

// Commands and bits of the MFRC522.
const (
	cmdIdle       byte = 0x00
	cmdTransceive byte = 0x0C
	cmdSoftReset  byte = 0x0F

	powerDown  byte = 0x10 // of Command
	irqDone    byte = 0x30 // of ComIrq: received, or idle
	irqTimer   byte = 0x01 // of ComIrq: nothing answered in time
	errCollide byte = 0x08 // of Error
	errFrame   byte = 0x13 // of Error: buffer, parity, protocol
	startSend  byte = 0x80 // of BitFraming
	flush      byte = 0x80 // of FIFOLevel
)

// The commands to a card.
const (
	wakeUp  byte = 0x52 // to cards that were halted too
	halt    byte = 0x50
	cascade byte = 0x88 // in place of a byte of the identifier: it goes on
	more    byte = 0x04 // of the answer to a selection: the identifier goes on
)

// mfrc522 is the chip of that name.
type mfrc522 struct{ conn spi.Conn }

// NewMFRC522 makes a reader with an MFRC522 on SPI.
func NewMFRC522(port spi.Port, mono func() time.Duration) (*Reader, error) {
	c, err := port.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		return nil, fmt.Errorf("card reader MFRC522 on %s: %w", port, err)
	}
	return newReader("MFRC522 on "+port.String(), mfrc522{c}, mono), nil
}

// start resets the chip and switches its field on. A card that does not answer for
// 10 ms is not there.
func (m mfrc522) start(ctx context.Context) error {
	if err := m.write(regCommand, cmdSoftReset); err != nil {
		return err
	}
	for end := time.Now().Add(ackWait); ; pause(ctx, askEvery) {
		state, err := m.read(regCommand)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if state&powerDown == 0 {
			break
		}
		if time.Now().After(end) {
			return errors.New("the chip does not end its reset: check the wiring of SPI")
		}
	}
	version, err := m.read(regVersion)
	if err != nil {
		return err
	}
	if version == 0x00 || version == 0xFF {
		return fmt.Errorf("no chip answers (version %#02x): check the wiring of SPI and the reset pin", version)
	}
	for _, set := range [][2]byte{
		{regTMode, 0x80}, {regTPrescaler, 0xA9}, {regTReloadH, 0x01}, {regTReloadL, 0x90}, // 400 times 25 µs
		{regTxASK, 0x40}, {regMode, 0x3D}, {regRFCfg, 0x70}, {regTxControl, 0x83},
	} {
		if err := m.write(set[0], set[1]); err != nil {
			return err
		}
	}
	return nil
}

// stop switches the field off.
func (m mfrc522) stop() { _ = m.write(regTxControl, 0x80) }

// card wakes the card in the field, reads its identifier level by level and halts
// it, so that the next look wakes it again.
func (m mfrc522) card(ctx context.Context) ([]byte, error) {
	answer, err := m.transceive(ctx, 7, wakeUp)
	if err != nil || len(answer) != 2 {
		return nil, ignoreCard(err)
	}
	var uid []byte
	for _, level := range []byte{0x93, 0x95, 0x97} {
		part, err := m.transceive(ctx, 0, level, 0x20)
		if err != nil || len(part) != 5 || part[0]^part[1]^part[2]^part[3]^part[4] != 0 {
			return nil, ignoreCard(err)
		}
		sak, err := m.transceive(ctx, 0, seal(append([]byte{level, 0x70}, part...))...)
		if err != nil || len(sak) != 3 || !bytes.Equal(seal(sak[:1:1]), sak) {
			return nil, ignoreCard(err)
		}
		if sak[0]&more == 0 {
			uid = append(uid, part[:4]...)
			_, err := m.transceive(ctx, 0, seal([]byte{halt, 0x00})...)
			return uid, ignoreCard(err) // a card that halts does not answer
		}
		if part[0] != cascade {
			return nil, nil
		}
		uid = append(uid, part[1:4]...)
	}
	return nil, nil
}

// errCard is a card that answered badly or left, or several at once: not a failure
// of the reader.
var errCard = errors.New("no card, or not one")

func ignoreCard(err error) error {
	if errors.Is(err, errCard) {
		return nil
	}
	return err
}

// transceive sends bytes to the card and returns its answer; bits is how many bits
// of the last byte are sent, 0 for all. An errCard means no proper answer.
func (m mfrc522) transceive(ctx context.Context, bits byte, data ...byte) ([]byte, error) {
	for _, set := range [][2]byte{{regCommand, cmdIdle}, {regComIrq, 0x7F}, {regFIFOLevel, flush}} {
		if err := m.write(set[0], set[1]); err != nil {
			return nil, err
		}
	}
	if err := m.write(regFIFOData, data...); err != nil {
		return nil, err
	}
	for _, set := range [][2]byte{{regBitFraming, bits}, {regCommand, cmdTransceive}, {regBitFraming, bits | startSend}} {
		if err := m.write(set[0], set[1]); err != nil {
			return nil, err
		}
	}
	for end := time.Now().Add(ackWait); ; pause(ctx, time.Millisecond) {
		irq, err := m.read(regComIrq)
		switch {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case irq&irqDone != 0:
			return m.answer()
		case irq&irqTimer != 0:
			return nil, errCard
		case time.Now().After(end):
			return nil, errors.New("the chip ends no command")
		}
	}
}

// answer reads what the card has sent.
func (m mfrc522) answer() ([]byte, error) {
	failed, err := m.read(regError)
	if err != nil {
		return nil, err
	}
	if failed&(errCollide|errFrame) != 0 {
		return nil, errCard
	}
	n, err := m.read(regFIFOLevel)
	if err != nil {
		return nil, err
	}
	last, err := m.read(regControl)
	if err != nil {
		return nil, err
	}
	if last&7 != 0 || n > 64 {
		return nil, errCard // a part of a byte
	}
	// Each byte of the address asks for the byte that comes back behind it.
	out := make([]byte, n+1)
	if err := m.conn.Tx(append(bytes.Repeat([]byte{regFIFOData<<1 | 0x80}, int(n)), 0), out); err != nil {
		return nil, err
	}
	return out[1:], nil
}

func (m mfrc522) write(register byte, data ...byte) error {
	out := append([]byte{register << 1}, data...)
	return m.conn.Tx(out, make([]byte, len(out)))
}

func (m mfrc522) read(register byte) (byte, error) {
	in := make([]byte, 2)
	err := m.conn.Tx([]byte{register<<1 | 0x80, 0}, in)
	return in[1], err
}

// seal appends the CRC of ISO 14443-3 type A.
func seal(data []byte) []byte {
	sum := uint16(0x6363)
	for _, b := range data {
		sum ^= uint16(b)
		for range 8 {
			if sum&1 != 0 {
				sum = sum>>1 ^ 0x8408
			} else {
				sum >>= 1
			}
		}
	}
	return binary.LittleEndian.AppendUint16(data, sum)
}
