package cards_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/cards"
)

// reader522 is an MFRC522 with its registers and a card in its field. It fails the
// test where the driver does what the chip's manual does not allow.
type reader522 struct {
	t *testing.T

	mu       sync.Mutex // guards what follows
	version  byte
	register [64]byte
	fifo     []byte
	uids     [][]byte // the cards in the field
	level    int      // of the card's selection: 0 idle or halted, 1 awake, 2, 3, 4 selected
	broken   error
}

func (c *reader522) String() string               { return "SPI0.0" }
func (c *reader522) Duplex() conn.Duplex          { return conn.Full }
func (c *reader522) put(uids ...[]byte)           { c.mu.Lock(); defer c.mu.Unlock(); c.uids, c.level = uids, 0 }
func (c *reader522) fail(err error)               { c.mu.Lock(); defer c.mu.Unlock(); c.broken = err }
func (c *reader522) TxPackets([]spi.Packet) error { return errors.New("not used") }

func (c *reader522) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	if f > 10*physic.MegaHertz || mode != spi.Mode0 || bits != 8 {
		c.t.Errorf("connected with %v, mode %v, %d bits", f, mode, bits)
	}
	return c, nil
}

// Tx reads or writes one register, the FIFO byte by byte.
func (c *reader522) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	if len(w) != len(r) || len(w) < 2 {
		c.t.Errorf("a transfer of %d and %d bytes", len(w), len(r))
	}
	reg := w[0] >> 1 & 0x3F
	if w[0]&0x80 == 0 {
		for _, v := range w[1:] {
			c.write(reg, v)
		}
		return nil
	}
	for i := range w[1:] {
		r[i+1] = c.read(reg)
	}
	return nil
}

func (c *reader522) read(reg byte) byte {
	switch reg {
	case 0x09:
		if len(c.fifo) == 0 {
			c.t.Error("the empty FIFO is read")
			return 0
		}
		b := c.fifo[0]
		c.fifo = c.fifo[1:]
		return b
	case 0x0A:
		return byte(len(c.fifo))
	case 0x37:
		return c.version
	}
	return c.register[reg]
}

func (c *reader522) write(reg, v byte) {
	switch reg {
	case 0x04:
		c.register[reg] &^= v
		return
	case 0x09:
		c.fifo = append(c.fifo, v)
		return
	case 0x0A:
		c.fifo = nil
		return
	}
	c.register[reg] = v
	if reg == 0x01 && v == 0x0F {
		c.register = [64]byte{}
	}
	if reg == 0x0D && v&0x80 != 0 && c.register[0x01] == 0x0C {
		c.send(v & 7)
	}
}

// send is what happens in the field: the card's answer, or none.
func (c *reader522) send(bits byte) {
	sent := c.fifo
	c.fifo, c.register[0x06] = nil, 0
	if c.register[0x14]&3 != 3 || c.register[0x15]&0x40 == 0 {
		c.t.Error("a card is asked while the field is off, or not fully modulated")
	}
	answer := c.answer(sent, bits)
	switch {
	case answer == nil:
		c.register[0x04] |= 0x01
	case len(c.uids) > 1 && len(sent) == 2:
		c.register[0x06], c.register[0x04] = 0x08, 0x20
	default:
		c.fifo, c.register[0x04] = answer, 0x20
	}
}

// answer is the card: awake by its command, selected level by level, halted.
func (c *reader522) answer(sent []byte, bits byte) []byte {
	if len(c.uids) == 0 {
		return nil
	}
	uid := c.uids[0]
	var levels [][]byte // of four bytes each
	for rest := uid; len(rest) > 0; {
		if len(rest) > 4 {
			levels, rest = append(levels, append([]byte{0x88}, rest[:3]...)), rest[3:]
			continue
		}
		levels, rest = append(levels, rest), nil
	}
	if len(sent) == 1 && sent[0] == 0x52 && bits == 7 {
		if c.level > len(levels) {
			c.t.Error("a card is woken that was selected and not halted: it does not answer")
		}
		c.level = 1
		return []byte{0x04, 0x00}
	}
	if bits != 0 || c.level == 0 {
		return nil
	}
	if len(sent) == 4 && sent[0] == 0x50 && string(crcA(sent[:2])) == string(sent) {
		c.level = 0
		return nil
	}
	if c.level > len(levels) || sent[0] != []byte{0x93, 0x95, 0x97}[c.level-1] {
		c.level = 0
		return nil
	}
	part := levels[c.level-1]
	part = append(part[:4:4], part[0]^part[1]^part[2]^part[3])
	switch {
	case len(sent) == 2 && sent[1] == 0x20:
		return part
	case len(sent) == 9 && string(sent[2:7]) == string(part) && string(crcA(sent[:7])) == string(sent):
		c.level++
		if c.level > len(levels) {
			return crcA([]byte{0x08})
		}
		return crcA([]byte{0x04})
	}
	return nil
}

// crcA is data with the CRC of ISO 14443-3 type A, from the bits of its polynomial.
func crcA(data []byte) []byte {
	crc := uint16(0x6363)
	for _, b := range data {
		b ^= byte(crc)
		b ^= b << 4
		crc = crc>>8 ^ uint16(b)<<8 ^ uint16(b)<<3 ^ uint16(b)>>4
	}
	return append(data[:len(data):len(data)], byte(crc), byte(crc>>8))
}

func TestMFRC522ReadsEveryLengthOfIdentifier(t *testing.T) {
	// The known answer of the standard's annex: the CRC of 00 00 is A0 1E.
	if got := crcA([]byte{0, 0}); got[2] != 0xA0 || got[3] != 0x1E {
		t.Fatalf("the test's CRC is wrong: % x", got)
	}
	for want, uid := range map[string][]byte{
		"DEADBEEF":             {0xDE, 0xAD, 0xBE, 0xEF},
		"04A1B2C3D4E5F6":       {0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6},
		"0102030405060708090A": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &reader522{t: t, version: 0x92}
			r, err := cards.NewMFRC522(c, mono())
			if err != nil {
				t.Fatal(err)
			}
			defer run(t, r)()
			wantToken(t, r, time.Second, "")
			c.put(uid)
			wantToken(t, r, time.Second, want)
			wantToken(t, r, time.Minute, "")
			c.put()
			wantToken(t, r, time.Second, "")
			c.put(uid)
			wantToken(t, r, time.Second, want)
			if err := r.Healthy(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMFRC522WithTwoCardsReportsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &reader522{t: t, version: 0x92}
		r, _ := cards.NewMFRC522(c, mono())
		defer run(t, r)()
		c.put([]byte{1, 2, 3, 4}, []byte{5, 6, 7, 8})
		wantToken(t, r, 10*time.Second, "")
		if err := r.Healthy(); err != nil {
			t.Errorf("two cards are no failure of the reader: %v", err)
		}
		c.put([]byte{5, 6, 7, 8})
		wantToken(t, r, time.Second, "05060708")
	})
}

func TestMFRC522ThatIsNotThereIsAnError(t *testing.T) {
	for _, version := range []byte{0x00, 0xFF} {
		synctest.Test(t, func(t *testing.T) {
			c := &reader522{t: t, version: version}
			r, _ := cards.NewMFRC522(c, mono())
			defer run(t, r)()
			time.Sleep(5 * time.Second)
			if err := r.Healthy(); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), "check the wiring") {
				t.Errorf("got %v; want what to check", err)
			}
		})
	}
}

func TestMFRC522IsStartedAgainAfterAnErrorOfItsBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &reader522{t: t, version: 0x91}
		r, _ := cards.NewMFRC522(c, mono())
		defer run(t, r)()
		time.Sleep(time.Second)
		broken := errors.New("input/output error")
		c.fail(broken)
		time.Sleep(5 * time.Second)
		if err := r.Healthy(); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		c.fail(nil)
		c.put([]byte{1, 2, 3, 4})
		wantToken(t, r, 5*time.Second, "01020304")
	})
}
