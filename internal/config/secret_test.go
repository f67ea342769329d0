package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/config"
)

func TestASecretIsOneLineOfAFileOfItsOwn(t *testing.T) {
	const word = "hunter2"
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string // part of the error; empty: the word is read
	}{
		"plain":           {word, 0o600, ""},
		"with its end":    {word + "\r\n", 0o640, ""},
		"world-readable":  {word, 0o644, "all users can read it (chmod o-r "},
		"empty":           {"", 0o600, "is empty, want one line"},
		"blank":           {"\n\n", 0o600, "is empty, want one line"},
		"two lines":       {word + "\n" + word, 0o600, "more than one line"},
		"NUL inside":      {word + "\x00x", 0o600, "is UTF-16 or binary"},
		"byte order mark": {"\xef\xbb\xbf" + word + "\r\n", 0o600, ""},
		"1 MB":            {strings.Repeat(word, 150_000), 0o600, "is larger than 4096 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := errors.Join(os.WriteFile(path, []byte(c.content), c.mode), os.Chmod(path, c.mode)); err != nil { // whatever the umask
			t.Fatal(err)
		}
		got, err := config.ReadSecret(path)
		if c.want == "" {
			if err != nil || got != word {
				t.Errorf("%s: got %q %v, want the word", name, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), word) {
			t.Errorf("%s: got %v, want an error with the file and %q and without the secret", name, err, c.want)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file", t.TempDir(): "is a directory", "": "",
	} {
		if got, err := config.ReadSecret(path); got != "" || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q %v, want %q", path, got, err, want)
		}
	}
}
