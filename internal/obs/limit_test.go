package obs_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/obs"
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

// A flood of one warning leaves other lines alone, and nothing is left out
// without being counted.
func TestAFloodOfWarningsIsCountedAndNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := obs.NewLogger(&out, slog.LevelInfo)
		of := log.With(obs.CP("CP_001"))
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
				t.Errorf("told of omitted lines within the window: %+v", l)
			}
		}
		for what, want := range map[string]int{"WARN dead letter": 20, "ERROR dead letter": 1, "WARN something else": 1, "INFO a transition": 100} {
			if written[what] != want {
				t.Errorf("%s: %d lines, want %d", what, written[what], want)
			}
		}
		time.Sleep(time.Minute)
		log.Info("any line") // tells what was left out before
		all := lines(t, &out)
		if len(all) != 2 || all[0].Msg != "dead letter" || all[0].Omitted != 980 || all[0].CP != "" || all[1].Msg != "any line" {
			t.Errorf("got %+v, want the 980 lines counted, of nobody, and then the line", all)
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

// TestLinesThatAreNotWrittenAreCounted, whoever counts them: the logger or its
// writer, and whichever logger made from the first one wrote them.
func TestLinesThatAreNotWrittenAreCounted(t *testing.T) {
	log := obs.NewLogger(refusing{}, slog.LevelInfo)
	log.Info("one")
	log.With(slog.String("part", "x")).WithGroup("g").Warn("two")
	log.Debug("nobody asked for it")
	if n := obs.LostLines(log); n != 2 {
		t.Errorf("%d lines are lost, want 2", n)
	}
	out := process.NewOutput(refusing{})
	defer out.Close()
	log = obs.NewLogger(out, slog.LevelInfo)
	log.Info("one")
	if n := obs.LostLines(log.With(slog.Int("n", 1))); n != 1 {
		t.Errorf("%d lines are lost, want 1", n)
	}
	if n := obs.LostLines(slog.New(slog.DiscardHandler)); n != 0 {
		t.Errorf("%d lines are lost of a log that nobody wants", n)
	}
}
