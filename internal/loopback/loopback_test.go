package loopback_test

import (
	"testing"

	"github.com/carga-ev/carga/internal/loopback"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		addr     string
		insecure bool
		ok       bool
	}{
		{"127.0.0.1:8080", false, true},
		{"127.9.9.9:0", false, true},
		{"localhost:8080", false, true},
		{"[::1]:8080", false, true},
		{":8080", false, false},
		{"0.0.0.0:8080", false, false},
		{"[::]:8080", false, false},
		{"192.168.1.7:8080", false, false},
		{"localhost.evil.example:80", false, false},
		{"127.0.0.1.evil.example:80", false, false},
		{"0.0.0.0:8080", true, true},
		{"127.0.0.1", true, false},
	} {
		if err := loopback.Check(c.addr, c.insecure); (err == nil) != c.ok {
			t.Errorf("%q, insecure %v: got %v, want ok %v", c.addr, c.insecure, err, c.ok)
		}
	}
}

func TestAsked(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:1": true, "127.0.0.1:9464": true, "[::1]:9464": true, "[::1]": true, "::1": true,
		"": false, "evil.example": false, "evil.example:9464": false, "10.0.0.1": false,
	} {
		if got := loopback.Asked(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
