// Package e2e_test runs the whole network, part by part and in production
// wiring, against embedded brokers in fake time: paho and kafka-go over
// connections in memory, SQLite and the agents' journals on disk.
//
// A world is one network. Its boards outlive their agents, as hardware does,
// and are the truth about energy: after each test the books of Central are
// compared with them, and with a second Central that is made from nothing but
// the agents' journals.
package e2e_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soak reports whether the tests that take long are wanted. It is the only
// place that asks.
func soak() bool { return os.Getenv("CARGA_SOAK") == "1" }

// folder is a new folder for everything that a world keeps. It is in memory
// where the machine has such a place: a test of an outage syncs a hundred
// thousand times, and none here ends by cutting the power.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "carga-e2e-") //nolint:usetesting // in memory
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
