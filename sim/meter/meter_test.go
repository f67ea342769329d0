package meter_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/sim/meter"
)

// unhex is the bytes of a frame as a line monitor prints it.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The frames are those of the makers' documents.
func TestAnswersAreThoseOfTheDocuments(t *testing.T) {
	b := meter.NewBank()
	b.Set(1, 4, 0, 0x4366, 0x3334)
	b.Set(2, 4, 0, 0)
	for request, want := range map[string]string{
		"01 04 00 00 00 02 71 CB": "01 04 04 43 66 33 34 1B 38",
		"02 03 FC 00 00 02 F4 68": "02 83 02 30 F1", // it has no such register
		"03 04 00 00 00 02 70 29": "",               // there is no such slave
		"01 06 00 00 00 02 08 0B": "01 86 01 83 A0", // it writes nothing
	} {
		if got := meter.Answer(unhex(t, request), b); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: got % X, want %s", request, got, want)
		}
	}
}

func TestServeFindsRequestsAmongNoise(t *testing.T) {
	near, far := net.Pipe()
	b := meter.NewBank()
	b.Set(1, 4, 0, 0x4366, 0x3334)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- meter.Serve(ctx, far, b) }()
	request, want := unhex(t, "01 04 00 00 00 02 71 CB"), unhex(t, "01 04 04 43 66 33 34 1B 38")
	for _, noise := range [][]byte{nil, {0x00}, {0x01, 0x04, 0x00}, bytes.Repeat([]byte{0x55}, 300)} {
		if _, err := near.Write(slices.Concat(noise, request)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after % X: got % X, %v; want % X", noise, got, err, want)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("at the end: got %v, want %v", err, context.Canceled)
	}
}
