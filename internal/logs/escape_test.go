package logs_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode"

	"github.com/carga-ev/carga/internal/logs"
)

// A line has no character that does not print, whatever a text holds, and a program
// that reads it gets the text as it was.
func TestLinesHaveNoHiddenCharacters(t *testing.T) {
	for _, text := range []string{
		"ann", "Zoë 东京 😀 /\\\"", "ann\u202egnp", "a\nb\r\x1b[2J\x00", "a\u2066b\u2069", "a\u200fb\u061cc", "\u0085\u009b", "\u2028\u2029\ufeff",
		"\u00a0", "a\x7f", "\U000e0041\U000e007f", "\U0001f468\u200d\U0001f469",
	} {
		var out bytes.Buffer
		log := logs.New(&out, slog.LevelInfo)
		log.With(slog.String("text", text)).Info("fact", slog.Any("err", text))
		line := strings.TrimSuffix(out.String(), "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%q: the line has %q", text, line[i:])
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(line), &got); err != nil || got["text"] != text || got["msg"] != "fact" || got["err"] != text {
			t.Errorf("%q: got %q (%v) from %s", text, got, err, line)
		}
		if text == "Zoë 东京 😀 /\\\"" && !strings.Contains(line, "Zoë 东京 😀") {
			t.Errorf("escaped what prints: %s", line)
		}
	}
}
