package config

import (
	"bytes"
	"fmt"

	"github.com/carga-ev/carga/internal/process"
)

// maxSecret is the longest secret in a file, in bytes.
const maxSecret = 4096

// ReadSecret returns the one line of a file with a secret, such as a password,
// without the end of the line. An empty path means no secret. Its error names
// the file and the remedy, and never contains the content.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, mode, err := process.ReadFile(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	raw = bytes.TrimRight(raw, "\r\n")
	switch {
	case mode&0o004 != 0:
		return "", fmt.Errorf("%s: all users can read it (chmod o-r %s)", path, path)
	case len(raw) == 0:
		return "", fmt.Errorf("%s: is empty, want one line", path)
	case bytes.ContainsAny(raw, "\r\n"):
		return "", fmt.Errorf("%s: holds more than one line; want one line", path)
	}
	return string(raw), nil
}
