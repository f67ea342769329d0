package crashpoint_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/internal/crashpoint"
)

// TestAProgramOfTheFieldDoesNotDie: without the build tag nothing happens, with
// or without a file. The test itself would not survive otherwise.
func TestAProgramOfTheFieldDoesNotDie(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crash")
	t.Setenv("CARGA_CRASH_FILE", file)
	seen := map[crashpoint.Point]bool{}
	for _, p := range crashpoint.All() {
		if seen[p] {
			t.Errorf("%s is there twice", p)
		}
		seen[p] = true
		if err := os.WriteFile(file, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
		crashpoint.At(p)
		crashpoint.During(p)
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s took the file: %v", p, err)
		}
	}
	if len(seen) != 28 {
		t.Errorf("%d places, want 28", len(seen))
	}
}
