package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

func TestBillOfThisBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(&out, self, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.Metadata.Component.Version != "1.2.3" || len(b.Components) == 0 || b.Components[0].Name != "std" {
		t.Errorf("got %s", out.Bytes())
	}
	if err := run(&out, "main.go", ""); err == nil {
		t.Error("got no error for a file that is no binary")
	}
}
