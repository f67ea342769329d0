package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/carga-ev/carga/internal/process"
)

// Lock locks a data folder for this process, and creates it if it is missing.
// The lock ends when the file is closed, or with the process, however that
// ends.
func Lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, process.ExplainFolder("data folder", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "sim.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, process.ExplainFolder("data folder", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("data folder %s: another process runs on it; stop that one, or use --data DIR for another folder (%w)", dir, err)
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
