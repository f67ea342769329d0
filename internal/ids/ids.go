// Package ids makes UUIDs of version 7 (RFC 9562): 48 bits of Unix milliseconds,
// then random bits, as lower-case text. As strings they sort by their milliseconds.
//
// Carga has its own implementation because the agent, which makes IDs of journals
// and sessions, has a budget of direct modules.
//
// Time and randomness are arguments, so that simulations can be replayed from a
// seed. Programs pass time.Now() and crypto/rand.Reader. The functions may be
// called concurrently if the reader may.
package ids

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// maxMillis is the latest time of a UUIDv7, in the year 10889.
const maxMillis = 1<<48 - 1

// textLength is the length of a UUID in text.
const textLength = 36

// New returns a UUIDv7 with the time now. Times outside 1970 … 10889 are moved
// to the nearest limit: a charging point may start without a clock. It panics if
// rnd fails, which crypto/rand.Reader never does.
func New(now time.Time, rnd io.Reader) string {
	return mint(min(max(now.UnixMilli(), 0), maxMillis), rnd)
}

func mint(ms int64, rnd io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(rnd, b[6:]); err != nil {
		panic(fmt.Sprintf("ids: random source: %v", err))
	}
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70 // version 7
	b[8] = b[8]&0x3f | 0x80 // variant of RFC 9562
	return format(b)
}

func format(b [16]byte) string {
	t := make([]byte, 0, textLength)
	for i, v := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			t = append(t, '-')
		}
		t = hex.AppendEncode(t, []byte{v})
	}
	return string(t)
}
