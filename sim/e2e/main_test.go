// Package e2e_test runs the whole network in production wiring, against
// embedded brokers and in fake time (testing/synctest): paho and kafka-go over
// connections in memory, SQLite and the agents' journals on disk.
//
// A world is one network. Its boards outlive their agents, as hardware does,
// and define the true energy. After each test Central's books are compared with
// the boards, and with a second ledger that is made from the agents' journals
// alone.
package e2e_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soak reports whether long tests are to run. No other place reads the
// variable.
func soak() bool { return os.Getenv("CARGA_SOAK") == "1" }

// folder returns a new folder for all data of a world. It is in memory where
// possible: a test of an outage syncs a hundred thousand times, and no test
// here cuts the power.
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
