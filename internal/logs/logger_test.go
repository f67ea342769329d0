package logs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/logs"
)

func TestLoggerWritesJSONWithTheFixedKeys(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := logs.New(&out, level)
	log.LogAttrs(t.Context(), slog.LevelInfo, "all keys",
		logs.CP("CP_001"), logs.Connector(2), logs.Session("s-1"), logs.Journal("j-1"), logs.Seq(7), logs.Command("c-1"),
		logs.Topic("cp-events"), logs.Partition(3), logs.Offset(99), logs.Err(errors.New("no")))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("got %q, want one JSON object: %v", out.String(), err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "all keys", "cp_id": "CP_001", "connector": 2.0, "session_id": "s-1", "journal": "j-1",
		"seq": 7.0, "command_id": "c-1", "topic": "cp-events", "partition": 3.0, "offset": 99.0, "err": "no",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	out.Reset()
	log.LogAttrs(t.Context(), slog.LevelDebug, "hidden")
	level.Set(slog.LevelDebug)
	log.LogAttrs(t.Context(), slog.LevelDebug, "shown", logs.Err(nil))
	if s := out.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "shown") || strings.Contains(s, "err") {
		t.Errorf("got %q, want only the line after the level was lowered, without err", s)
	}
}
