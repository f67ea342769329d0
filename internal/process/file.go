package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// pipeLimit is how long ReadFile waits for the end of a pipe.
const pipeLimit = 30 * time.Second

// ReadFile returns the text of a file that a user supplies, without the marks of
// editors and other systems: a byte order mark is dropped, and lines end with \n
// alone. The file may be a pipe or a terminal, which is read once, to its end,
// for at most half a minute. The error describes the fault without the name of
// the file.
func ReadFile(path string, limit int64) (text []byte, mode fs.FileMode, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, errors.New("no such file")
	case err != nil:
		return nil, 0, err
	case info.IsDir():
		return nil, 0, errors.New("is a directory, want a file")
	case info.Mode().IsRegular():
		text, err = read(path, limit)
	case info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0:
		text, err = readPipe(path, limit)
	default:
		err = errors.New("is neither a file nor a pipe")
	}
	if err != nil {
		return nil, 0, err
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) || bytes.IndexByte(text, 0) >= 0 {
		return nil, 0, errors.New("is UTF-16 or binary, want UTF-8")
	}
	return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), info.Mode(), nil
}

// read returns the content of a file of at most limit bytes.
func read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("is larger than %s", size(limit))
	}
	return text, nil
}

// readPipe is read with a time limit: opening or reading a pipe waits for its
// writer. The goroutine remains with a pipe that never ends.
func readPipe(path string, limit int64) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := read(path, limit)
		done <- answer{text, err}
	}()
	timer := time.NewTimer(pipeLimit)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.text, a.err
	case <-timer.C:
		return nil, fmt.Errorf("did not end within %s; its writer must close it", pipeLimit)
	}
}

// size formats a number of bytes.
func size(bytes int64) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}
