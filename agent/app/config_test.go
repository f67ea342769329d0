package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/config/configtest"
)

func TestSampleIsTheDefault(t *testing.T) {
	configtest.SampleIsDefault(t, "../../configs/agent.yaml", func() any {
		cfg := app.DefaultConfig()
		return &cfg
	})
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"mqtt: {url: localhost}":               "mqtt.url",
		"mqtt: {password_file: x}":             "mqtt.username",
		"hardware: {kind: pi}":                 "hardware.kind",
		"hardware: {kind: board}":              "hardware.board.socket",
		"hardware: {kind: rpi}":                "hardware.rpi",
		"hardware: {sim: {connectors: 0}}":     "connectors",
		"hardware: {drivers: {enabled: true}}": "hardware.drivers: unknown key",
		"intervals: {control: 60ms}":           "intervals.control",
		"intervals: {meter_read_wh: 0}":        "intervals.meter_read_wh",
		"stop_within: 2h":                      "stop_within",
		"policies: {start_delay: 11m}":         "policies.start_delay",
		"policies: {start_delay: -1s}":         "policies.start_delay",
		"limits: {max_ma: 5999}":               "limits.max_ma",
		"limits: {safe_ma: -1}":                "limits.safe_ma",
		"polices: {}":                          "did you mean",
		"log: {level: loud}":                   "log.level",
		"observe: {listen: ':9464'}":           "observe.listen",
		"hardware: {kind: rpi, rpi: {connectors: [{relay: GPIO17, plug: GPIO17, request: GPIO24}]}}": "GPIO17 is used",
	} {
		path := filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := app.DefaultConfig()
		err := config.Load(&cfg, config.Options{Path: path})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestABoardFileIsCheckedWithTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	board := filepath.Join(dir, "board.yaml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const connectors = "connectors: [{relay: GPIO17, plug: GPIO27, request: GPIO24}]"
	for name, row := range map[string]struct{ board, beside, want string }{
		"good":             {board: connectors},
		"wrong":            {board: "\nestop: GPIO17\n" + connectors, want: `agent.yaml:1:36: hardware.rpi.board: `},
		"place in it":      {board: "\nestop: GPIO17\n" + connectors, want: `board.yaml:3:22: connectors[0].relay: "GPIO17": GPIO17 is used by estop already`},
		"missing":          {want: "board.yaml"},
		"wiring beside it": {board: connectors, beside: ", " + connectors, want: "hardware.rpi.connectors: want no wiring here beside a board file"},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(board)
			if row.board != "" {
				write(board, row.board)
			}
			path := filepath.Join(dir, "agent.yaml")
			write(path, "hardware: {kind: rpi, rpi: {board: '"+board+"'"+row.beside+"}}")
			cfg := app.DefaultConfig()
			err := config.Load(&cfg, config.Options{Path: path})
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v; want %q", err, row.want)
			}
		})
	}
}
