package modbus

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

// unhex is the bytes of a frame as a line monitor prints it.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The requests and the first answer are those of the makers' documents, so the CRC
// is not only compared with itself.
func TestFramesAreThoseOfTheDocuments(t *testing.T) {
	for want, got := range map[string][]byte{
		"01 04 00 00 00 02 71 CB": request(1, Input, 0x00, 2),
		"01 03 00 00 00 02 C4 0B": request(1, Holding, 0x00, 2),
		"F8 04 00 00 00 0A 64 64": request(0xF8, Input, 0x00, 10),
	} {
		if !slices.Equal(got, unhex(t, want)) {
			t.Errorf("got % X, want %s", got, want)
		}
	}
	words, err := registers(unhex(t, "01 04 04 43 66 33 34 1B 38"))
	if err != nil || !slices.Equal(words, []uint16{0x4366, 0x3334}) {
		t.Errorf("got %04x, %v; want the registers of 230.2 V", words, err)
	}
}

func TestAnAnswerIsCheckedBeforeItIsUsed(t *testing.T) {
	for name, tc := range map[string]struct{ frame, want string }{
		"another slave":    {"02 04 04 43 66 33 34 00 00", "slave 2 answered"},
		"another function": {"01 03 04 43 66 33 34 00 00", "is to function 3"},
		"another length":   {"01 04 02 43 66 00 00", "has 2 bytes, not 4"},
		"bad CRC":          {"01 04 04 43 66 33 35 1B 38", "CRC is 381b, not"},
		"an exception":     {"01 84 02 C2 C1", "exception 2 (illegal address)"},
	} {
		frame := unhex(t, tc.frame)
		size, err := answerSize(frame, 1, Input, 2)
		if err == nil {
			_, err = registers(frame[:size])
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v; want an error with %q", name, err, tc.want)
		}
		var refused ExceptionError
		if errors.As(err, &refused) != (name == "an exception") {
			t.Errorf("%s: %v: only an answer in order is an ExceptionError", name, err)
		}
	}
}
