package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
)

const replayUsage = `usage: agent replay [--from TIME] [--to TIME] [--all] [--json] DIR|FILE

Shows what happened at a charging point: the inputs that its flight recorder has
recorded, and what this version of the agent does with them. Of each trip it shows
what the control loop measured in the second before. Exit 1 if something differs from
what was recorded, or cannot be read.

DIR is the agent's data_dir, FILE one *.ring file of it; both may be copies from
another machine. Nothing is changed, and the agent may be running.

`

// runReplay executes "agent replay …" and returns the exit code.
func runReplay(args []string, stdout, stderr io.Writer) int {
	t := timeline{w: bufio.NewWriter(stdout)}
	flags := flag.NewFlagSet("agent replay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, replayUsage)
		flags.PrintDefaults()
	}
	flags.Func("from", "show nothing before this `TIME`, such as 2026-11-30T13:00:00Z", timeFlag(&t.from))
	flags.Func("to", "show nothing after this `TIME`", timeFlag(&t.to))
	flags.BoolVar(&t.all, "all", false, "show also steps that did nothing, timers and telemetry, and each tick of a trip")
	flags.BoolVar(&t.json, "json", false, "one JSON object per line")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return process.ExitOK
	} else if err != nil {
		return process.ExitUsage
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return process.ExitUsage
	}
	result, err := replay(flags.Arg(0), t.show)
	if err == nil && !t.json {
		_, _ = fmt.Fprintf(t.w, "\n%d steps, %d trips, %d differences, %d places that cannot be read\n",
			result.Steps, result.Trips, result.Differences, result.Damaged)
	}
	if err = errors.Join(err, t.w.Flush()); err != nil {
		_, _ = fmt.Fprintln(stderr, "agent:", err)
		return process.ExitFailed
	}
	if result.Differences > 0 || result.Damaged > 0 {
		return process.ExitFailed
	}
	return process.ExitOK
}

// timeFlag parses a time in RFC 3339.
func timeFlag(to *charge.Time) func(string) error {
	return func(s string) error {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return errors.New("want a time like 2026-11-30T13:00:00Z")
		}
		*to = charge.At(v)
		return nil
	}
}

// replay replays a file, the folder of a ring, or the data_dir in which it is.
func replay(path string, show func(recorder.Item) error) (recorder.Result, error) {
	if st, err := os.Stat(path); err != nil {
		return recorder.Result{}, err
	} else if !st.IsDir() {
		raw, err := os.ReadFile(path) //nolint:gosec // the path is the operator's
		if err != nil {
			return recorder.Result{}, err
		}
		return recorder.ReplayFile(filepath.Base(path), raw, show)
	}
	if st, err := os.Stat(filepath.Join(path, recorder.Folder)); err == nil && st.IsDir() {
		path = filepath.Join(path, recorder.Folder)
	}
	ring, err := journal.ReadOS(path)
	if err != nil {
		return recorder.Result{}, err
	}
	return recorder.Replay(ring, show)
}

// timeline prints the items of a replay.
type timeline struct {
	w         *bufio.Writer
	from, to  charge.Time // 0: no limit
	all, json bool
	file      string // of the last heading
}

// show prints an item.
func (t *timeline) show(i recorder.Item) error {
	timed := i.Event != nil || i.Trip != nil || i.Boot
	if timed && (i.Now.Wall < t.from || t.to != 0 && i.Now.Wall > t.to) && i.Difference == "" {
		return nil
	}
	effects := t.visible(i.Effects)
	if i.Event != nil && !t.all && len(effects) == 0 && quiet(i.Event) && i.Difference == "" {
		return nil
	}
	if t.json {
		return t.showJSON(&i, effects)
	}
	if i.File != t.file && (timed || i.Note != "") {
		t.file = i.File
		_, _ = fmt.Fprintf(t.w, "== %s: %s, boot %s, agent %s\n", i.File, i.CP, i.Journal, i.Agent)
	}
	switch {
	case i.Note != "":
		_, _ = fmt.Fprintf(t.w, "!! %s\n", i.Note)
	case i.Boot:
		_, _ = fmt.Fprintf(t.w, "%s %12s  boot\n", i.Now.Wall, uptime(&i))
	case i.Event != nil:
		_, _ = fmt.Fprintf(t.w, "%s %12s  %s\n", i.Now.Wall, uptime(&i), words(i.Event))
	case i.Trip != nil:
		t.showTrip(&i)
	}
	for _, f := range effects {
		_, _ = fmt.Fprintf(t.w, "%41s %s\n", "→", words(f))
	}
	if i.Difference != "" {
		_, _ = fmt.Fprintf(t.w, "!! DIFFERENCE: %s\n", i.Difference)
	}
	return nil
}

// showJSON prints an item as a JSON object.
func (t *timeline) showJSON(i *recorder.Item, effects []point.Effect) error {
	if i.State && i.Difference == "" {
		return nil
	}
	type named struct {
		Name string `json:"name"`
		Data any    `json:"data"`
	}
	v := struct {
		File       string           `json:"file"`
		CP         charge.CPID      `json:"cp_id,omitempty"`
		Journal    charge.JournalID `json:"journal,omitempty"`
		Agent      string           `json:"agent,omitempty"`
		At         charge.Time      `json:"at,omitzero"`
		UptimeMS   int64            `json:"uptime_ms,omitempty"`
		Note       string           `json:"note,omitempty"`
		Boot       bool             `json:"boot,omitempty"`
		Event      *named           `json:"event,omitempty"`
		Effects    []named          `json:"effects,omitempty"`
		Trip       *safety.Trip     `json:"trip,omitempty"`
		Difference string           `json:"difference,omitempty"`
	}{
		File: i.File, CP: i.CP, Journal: i.Journal, Agent: i.Agent, At: i.Now.Wall, UptimeMS: i.Now.At.Milliseconds(),
		Note: i.Note, Boot: i.Boot, Trip: i.Trip, Difference: i.Difference,
	}
	if i.Event != nil {
		v.Event = &named{name(i.Event), i.Event}
	}
	for _, f := range effects {
		v.Effects = append(v.Effects, named{name(f), f})
	}
	return json.NewEncoder(t.w).Encode(v)
}

// visible are the effects that a person looks for.
func (t *timeline) visible(all []point.Effect) (some []point.Effect) {
	for _, f := range all {
		switch f.(type) {
		case point.SetTimer, point.PublishTelemetry, point.Recorded, point.ReadMeter, point.SetClock:
			if !t.all {
				continue
			}
		default:
		}
		some = append(some, f)
	}
	return some
}

// quiet reports whether an event is worth a line only if something follows from it.
func quiet(e point.Event) bool {
	switch e.(type) {
	case point.MeterRead, point.TimerFired, point.DiskChecked, point.PositionSaved, point.Confirmed, point.Appended:
		return true
	default:
		return false
	}
}

// words is an event or an effect as text.
func words(v any) string {
	switch v := v.(type) {
	case point.CommandReceived:
		return fmt.Sprintf("CommandReceived %s", v.Raw)
	case point.Appended:
		return "Appended"
	case point.PositionSaved:
		return "PositionSaved"
	case point.DiskChecked:
		return fmt.Sprintf("DiskChecked %d.%d %% used", v.Permille/10, v.Permille%10)
	case point.Append:
		var types []string
		for _, r := range v.Batch.Records {
			types = append(types, string(r.Payload.RecordType()))
		}
		return "Append " + strings.Join(types, ", ")
	case point.CommandDecided:
		return fmt.Sprintf("CommandDecided %s %s %s", v.Verdict.Command.Type, v.Verdict.Kind, v.Verdict.Reason)
	case point.AckReceived, point.PublishPresence, point.PublishTelemetry, point.Recorded:
		raw, err := json.Marshal(v)
		if err != nil {
			raw = []byte(err.Error())
		}
		return fmt.Sprintf("%s %s", name(v), raw)
	}
	if text := fmt.Sprintf("%+v", v); text != "{}" {
		return name(v) + " " + text
	}
	return name(v)
}

func name(v any) string { return reflect.TypeOf(v).Name() }

func uptime(i *recorder.Item) string { return fmt.Sprintf("+%.3fs", i.Now.At.Seconds()) }
