package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// maxSecret is the longest secret read from a file, in bytes.
const maxSecret = 4096

// ReadSecret returns the one line of a file that holds a secret, such as a
// password, without the end of the line. An empty path is no secret. Its error
// names the file and what to do, and never repeats what stands in it.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: no such file", path)
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: is not a regular file", path)
	case info.Mode()&0o004 != 0:
		return "", fmt.Errorf("%s: everybody can read it (chmod o-r %s)", path, path)
	case info.Size() > maxSecret:
		return "", fmt.Errorf("%s: has %d bytes; at most %d are allowed", path, info.Size(), maxSecret)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	raw = bytes.TrimRight(raw, "\r\n")
	switch {
	case len(raw) == 0:
		return "", fmt.Errorf("%s: is empty, want one line", path)
	case bytes.ContainsAny(raw, "\x00\r\n"):
		return "", fmt.Errorf("%s: holds more than one line, or a NUL; want one line", path)
	}
	return string(raw), nil
}
