package logs

import (
	"bytes"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// escaper writes lines of JSON, in which it escapes what does not print: control
// and format characters, such as those that change the direction of a text. Names
// and reasons in a line come from others, and must not make it look like another
// line in a terminal.
type escaper struct{ out io.Writer }

// Write implements io.Writer. Characters that do not print stand only within
// texts of JSON, except the line break at the end.
func (e escaper) Write(line []byte) (int, error) {
	written := len(line)
	if i := bytes.IndexFunc(line, hidden); i >= 0 {
		line = escaped(line, i)
	}
	n, err := e.out.Write(line)
	if err != nil {
		return min(n, written), err
	}
	return written, nil
}

func hidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// escaped returns a line whose characters that do not print are escaped. There are
// none before from.
func escaped(line []byte, from int) []byte {
	const hex = "0123456789abcdef"
	all := append(make([]byte, 0, len(line)+64), line[:from]...)
	for line = line[from:]; len(line) > 0; {
		r, size := utf8.DecodeRune(line)
		if !hidden(r) {
			all = append(all, line[:size]...)
		} else {
			for _, u := range utf16.Encode([]rune{r}) {
				all = append(all, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
			}
		}
		line = line[size:]
	}
	return all
}
