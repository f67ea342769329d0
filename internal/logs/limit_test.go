package logs_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

type logged struct {
	Level, Msg string
	N, Omitted int
	CP         string `json:"cp_id"`
}

func lines(t *testing.T, out *bytes.Buffer) (all []logged) {
	t.Helper()
	for s := bufio.NewScanner(out); s.Scan(); {
		var l logged
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	out.Reset()
	return all
}

// A flood of one warning does not suppress other lines, and each omitted line
// is counted.
func TestAFloodOfWarningsIsCountedAndNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logs.New(&out, slog.LevelInfo)
		of := log.With(logs.CP("CP_001"))
		for n := range 1000 {
			of.Warn("dead letter", slog.Int("n", n))
			time.Sleep(10 * time.Millisecond)
		}
		log.Error("dead letter") // of another level
		log.Warn("something else")
		for range 100 {
			log.Info("a transition")
		}
		written := map[string]int{}
		for _, l := range lines(t, &out) {
			written[l.Level+" "+l.Msg]++
			if l.Omitted != 0 {
				t.Errorf("omitted lines are reported within the window: %+v", l)
			}
		}
		for what, want := range map[string]int{"WARN dead letter": 20, "ERROR dead letter": 1, "WARN something else": 1, "INFO a transition": 100} {
			if written[what] != want {
				t.Errorf("%s: %d lines, want %d", what, written[what], want)
			}
		}
		time.Sleep(time.Minute)
		log.Info("any line") // preceded by the number of omitted lines
		all := lines(t, &out)
		if len(all) != 2 || all[0].Msg != "dead letter" || all[0].Omitted != 980 || all[0].CP != "" || all[1].Msg != "any line" {
			t.Errorf("got %+v, want a line that counts 980, without a charging point, and then the line", all)
		}
		for range 21 {
			of.Warn("dead letter")
		}
		time.Sleep(2 * time.Minute)
		of.Warn("dead letter")
		total, omitted := 0, 0
		for _, l := range lines(t, &out) {
			if l.Omitted > 0 {
				omitted += l.Omitted
			} else {
				total++
			}
		}
		if total != 21 || omitted != 1 {
			t.Errorf("after the window: %d lines and %d counted, want 21 and 1", total, omitted)
		}
	})
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Lost lines are counted whether the handler or the writer notices, and by
// whichever derived logger they were written.
func TestLinesThatAreNotWrittenAreCounted(t *testing.T) {
	log := logs.New(refusing{}, slog.LevelInfo)
	log.Info("one")
	log.With(slog.String("part", "x")).WithGroup("g").Warn("two")
	log.Debug("below the level")
	if n := logs.LostLines(log); n != 2 {
		t.Errorf("%d lines are lost, want 2", n)
	}
	out := process.NewOutput(refusing{})
	defer out.Close()
	log = logs.New(out, slog.LevelInfo)
	log.Info("one")
	if n := logs.LostLines(log.With(slog.Int("n", 1))); n != 1 {
		t.Errorf("%d lines are lost, want 1", n)
	}
	if n := logs.LostLines(slog.New(slog.DiscardHandler)); n != 0 {
		t.Errorf("%d lines are lost of a log that is discarded", n)
	}
}
