// Package ids mints and reads UUIDs of version 7 (RFC 9562): 48 bits of Unix
// milliseconds, then random bits, in lower-case text. Two of them compare as
// strings in the order of their milliseconds.
//
// It is written by hand for two reasons. Central's incarnation must compare
// greater than every earlier one even if the clock went back, which no library
// offers; and the agent, which mints journals and sessions, has a budget of
// direct modules.
//
// Time and randomness come in as arguments, so that simulations replay from a
// seed; programs pass time.Now() and crypto/rand.Reader. All functions may be
// called concurrently if the reader may.
package ids

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxMillis is the largest time a UUIDv7 can carry, in the year 10889.
const maxMillis = 1<<48 - 1

// textLength is the length of a UUID in text.
const textLength = 36

// ErrNotUUIDv7 says that a text is not a UUIDv7 in lower case.
var ErrNotUUIDv7 = errors.New("not a UUIDv7 in lower case")

// ErrExhausted says that no UUIDv7 is greater: the one given carries the last
// millisecond there is, so it was not minted by an honest clock.
var ErrExhausted = errors.New("no later UUIDv7 exists")

// New returns a UUIDv7 of the time now. Times outside 1970 … 10889 are moved
// to the nearest end: a charging point may start without a clock. It panics
// if rnd fails, which crypto/rand.Reader never does.
func New(now time.Time, rnd io.Reader) string {
	return mint(min(max(now.UnixMilli(), 0), maxMillis), rnd)
}

// After returns a new UUIDv7 that compares greater than prev, whatever the
// clock says: of the time now if that is enough, else of the millisecond after
// prev. An empty prev means there is none. It answers ErrNotUUIDv7 or
// ErrExhausted, with no id, if prev cannot be followed.
func After(prev string, now time.Time, rnd io.Reader) (string, error) {
	id := New(now, rnd)
	if prev == "" {
		return id, nil
	}
	at, err := Time(prev)
	if err != nil {
		return "", err
	}
	if id > prev {
		return id, nil
	}
	if at.UnixMilli() >= maxMillis {
		return "", fmt.Errorf("id %s: %w", prev, ErrExhausted)
	}
	return mint(at.UnixMilli()+1, rnd), nil
}

// Time returns the time a UUIDv7 carries, in UTC with milliseconds. It answers
// ErrNotUUIDv7 for any other text, upper case included: only the lower-case
// form compares as a string.
func Time(id string) (time.Time, error) {
	b, ok := parse(id)
	if !ok {
		return time.Time{}, fmt.Errorf("id %.40q: %w", id, ErrNotUUIDv7)
	}
	ms := int64(b[0])<<40 | int64(b[1])<<32 | int64(b[2])<<24 | int64(b[3])<<16 | int64(b[4])<<8 | int64(b[5])
	return time.UnixMilli(ms).UTC(), nil
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

// parse reads the 16 bytes of a UUIDv7. Formatting them again must give the
// same text, which settles hyphens and case.
func parse(id string) (b [16]byte, ok bool) {
	if len(id) != textLength {
		return b, false
	}
	digits := id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:]
	if _, err := hex.Decode(b[:], []byte(digits)); err != nil {
		return b, false
	}
	return b, b[6]>>4 == 7 && b[8]>>6 == 2 && format(b) == id
}
