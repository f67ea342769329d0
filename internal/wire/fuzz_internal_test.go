package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzRecord: the short way decodes no record differently from the general one.
// What is decoded is encoded in the form of the short way, and is the same
// record then; its data, too.
func FuzzRecord(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "record_*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden records: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(bytes.TrimSpace(raw))
	}
	f.Add([]byte(`{"v":1,"cp_id":"CP_1","journal":"j","seq":1,"prev":"","type":"later","connector":1,"at":"2026-11-22T10:00:00Z","uptime_ms":5,"data":{"a":"<é\\"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		sameAsGeneral(t, raw)
		r, err := DecodeRecord(raw)
		if err != nil || len(raw) > MaxMessage/6 { // escapes may make it longer
			return
		}
		written, err := r.Encode()
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", raw, err)
		}
		back, err := DecodeRecord(written)
		if err != nil {
			t.Fatalf("%s cannot be read back: %v", written, err)
		}
		again, err := back.Encode()
		back.Data, r.Data = nil, nil // but for spaces and escapes; the bytes are compared below
		if err != nil || !bytes.Equal(again, written) || !reflect.DeepEqual(back, r) {
			t.Fatalf("%q\nis written as %s\nand then as   %s (%v)", raw, written, again, err)
		}
		payloadAgain(t, written)
	})
}

// payloadAgain writes the data of a record, if it can be used, and reads it back.
func payloadAgain(t *testing.T, raw []byte) {
	t.Helper()
	r, err := DecodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Payload()
	if p == nil || err != nil {
		return
	}
	made, err := NewRecord(p)
	if err != nil {
		t.Fatalf("%s was read and cannot be written: %v", r.Data, err)
	}
	back, err := made.Payload()
	if err != nil {
		t.Fatalf("%s cannot be read back: %v", made.Data, err)
	}
	last, err := NewRecord(back)
	if err != nil || !bytes.Equal(last.Data, made.Data) {
		t.Fatalf("%s\nis written as %s\nand then as   %s (%v)", r.Data, made.Data, last.Data, err)
	}
}
