package rpi_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/hal/haltest"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/config"
)

// load loads a board file with that text.
func load(t *testing.T, text string) (rpi.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "board.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := rpi.DefaultConfig()
	err := config.Load(&cfg, config.Options{Path: path})
	return cfg, err
}

// outlet is the text of a board file with one connector of two contacts and the
// given parts.
func outlet(parts ...string) string {
	return "connectors:\n- {relay: GPIO17, plug: GPIO22, request: GPIO23}\n- relay: GPIO27\n" +
		"  plug: GPIO10\n  request: GPIO9\n  " + strings.Join(parts, "\n  ") + "\n"
}

func TestBoardFilesAreRefusedByLine(t *testing.T) {
	const lock = "lock: {kind: motor, pin: GPIO16, unlock: GPIO20}"
	for name, row := range map[string]struct{ text, want string }{
		"no connector":      {"connectors: []", "board.yaml:1:13: connectors: 0 of them; use 1 to"},
		"unknown key":       {outlet("lok: {}"), `board.yaml:6:3: connectors[1].lok: unknown key (did you mean "lock"?)`},
		"no power":          {"rated_w: 0\n" + outlet(), `board.yaml:1:10: rated_w: "0": 0 W; use 1 to 10000000`},
		"no current":        {"max_current_ma: 0\n" + outlet(), `max_current_ma: "0": 0; use 1 or more`},
		"no voltage":        {"voltage_mv: -1\n" + outlet(), `voltage_mv: "-1": -1; use 1 or more`},
		"two phases":        {"phases: 2\n" + outlet(), `phases: "2": 2; use 1 or 3`},
		"slow debounce":     {"samples: 9\n" + outlet(), `samples: "9": 9; use 1 to 8, or 0 for 3`},
		"no such pin":       {"estop: GPIO28\n" + outlet(), `board.yaml:1:8: estop: "GPIO28": "GPIO28" is no pin of the header; use "GPIO0" to "GPIO27"`},
		"a bare number":     {"estop: '17'\n" + outlet(), `"17" is no pin`},
		"a leading zero":    {"estop: GPIO07\n" + outlet(), `"GPIO07" is no pin`},
		"no relay":          {"connectors: [{plug: GPIO22, request: GPIO23}]", `connectors[0].relay: is missing; name a pin, such as "GPIO17"`},
		"no plug":           {"connectors: [{relay: GPIO17, request: GPIO23}]", "connectors[0].plug: is missing"},
		"pulled-up relay":   {"connectors: [{relay: GPIO8, plug: GPIO22, request: GPIO23}]", "GPIO8 is pulled up at reset and would switch on; use GPIO9 to GPIO13 or"},
		"relay on console":  {"connectors: [{relay: GPIO14, plug: GPIO22, request: GPIO23}]", "GPIO14 is driven by the serial console during boot; use"},
		"active low":        {"connectors: [{relay: GPIO17, relay_active_low: true, plug: GPIO22, request: GPIO23}]", "GPIO17 is not pulled up at reset"},
		"a pin twice":       {outlet("feedback: GPIO22"), `board.yaml:6:13: connectors[1].feedback: "GPIO22": GPIO22 is used by connectors[0].plug already; use another pin`},
		"mirror of nothing": {outlet("feedback_mirror: true"), "feedback has no pin; name the pin of the mirror contact"},

		"keeper on a pulled-up pin": {"keeper: {pin: GPIO4}\n" + outlet(), "keeper.pin: \"GPIO4\": GPIO4 is pulled up at reset"},
		"slow keeper":               {"keeper: {pin: GPIO26, timeout: 2s}\n" + outlet(), `keeper.timeout: "2s": 2s; use 200ms to 1s`},
		"relative watchdog":         {"watchdog: {device: watchdog}\n" + outlet(), `watchdog.device: "watchdog": "watchdog"; use the path of a device`},
		"half a second":             {"watchdog: {device: /dev/watchdog, timeout: 1500ms}\n" + outlet(), "watchdog.timeout: \"1500ms\": 1.5s; use whole seconds"},
		"relative clock":            {"rtc: rtc0\n" + outlet(), `rtc: "rtc0": "rtc0"; use the path of a device`},

		"unknown reader":           {"reader: {kind: rc522, bus: spi0.0}\n" + outlet(), `reader.kind: "rc522": "rc522" is unknown; use pn532, mfrc522`},
		"reader without a kind":    {"reader: {bus: i2c-1}\n" + outlet(), "reader.kind: is missing; use pn532 or mfrc522"},
		"SPI reader on I2C":        {"reader: {kind: mfrc522, bus: i2c-1}\n" + outlet(), `"i2c-1" is no SPI chip select, which an MFRC522 needs; use spi0.0`},
		"PN532 on SPI":             {"reader: {kind: pn532, bus: spi0.0}\n" + outlet(), `"spi0.0" is no I²C bus of the header, which a PN532 without a serial port needs; use i2c-1`},
		"bus on a used pin":        {"estop: GPIO2\nreader: {kind: pn532, bus: i2c-1}\n" + outlet(), `reader.bus: "i2c-1": GPIO2 is a pin of i2c-1 and is used by estop already; use another pin there`},
		"chip select on a used":    {"estop: GPIO8\nreader: {kind: mfrc522, bus: spi0.0}\n" + strings.NewReplacer("GPIO9", "GPIO12", "GPIO10", "GPIO13").Replace(outlet()), "GPIO8 is a pin of spi0.0 and is used by estop already"},
		"reader and meter on port": {"reader: {kind: pn532, bus: /dev/serial0}\n" + outlet("meter: {kind: sdm120, port: /dev/serial0, address: 1}"), "/dev/serial0 has another setting here than in reader.bus; a port has one"},

		"unknown pilot":               {outlet("pilot: {kind: ccs}"), `connectors[1].pilot.kind: "ccs": "ccs" is unknown; use contacts, pwm`},
		"PWM and contacts":            {outlet("pilot: {kind: pwm, pin: GPIO18, adc: spi1.2}"), "plug and request are set; remove them"},
		"contacts with an ADC":        {outlet("pilot: {adc: spi0.0}"), "a pin or an ADC is set; use kind: pwm for them"},
		"no PWM pin":                  {"connectors: [{relay: GPIO17, pilot: {kind: pwm, pin: GPIO22, adc: spi0.0}}]", "GPIO22 has no PWM; use GPIO12, GPIO13, GPIO18 or GPIO19"},
		"no ADC":                      {"connectors: [{relay: GPIO17, pilot: {kind: pwm, pin: GPIO18}}]", `connectors[0].pilot.adc: "" is no SPI chip select, which an ADC needs`},
		"no such channel":             {"connectors: [{relay: GPIO17, pilot: {kind: pwm, pin: GPIO18, adc: spi0.0, channel: 8}}]", "connectors[0].pilot.channel: \"8\": 8; use 0 to 7"},
		"a divider that is too small": {"connectors: [{relay: GPIO17, pilot: {kind: pwm, pin: GPIO18, adc: spi0.0, at_full_mv: 9000}}]", "connectors[0].pilot.at_zero_mv: -15000 and 9000 mV do not cover the pilot"},
		"a small pull-up":             {"connectors: [{relay: GPIO17, plug: GPIO22, request: GPIO23, proximity: {adc: spi0.0, pull_up_ohm: 10}}]", "connectors[0].proximity.pull_up_ohm: \"10\": 10 ohms; use 100 to 10000"},
		"one PWM channel for two": {
			"connectors: [{relay: GPIO17, pilot: {kind: pwm, pin: GPIO12, adc: spi0.0}}, {relay: GPIO27, pilot: {kind: pwm, pin: GPIO18, adc: spi0.0, channel: 1}}]",
			"PWM channel 0 is used by connectors[0].pilot.pin already",
		},
		"one ADC channel for two": {
			"connectors: [{relay: GPIO17, proximity: {adc: spi0.0}, pilot: {kind: pwm, pin: GPIO12, adc: spi0.0}}]",
			"channel 0 of spi0.0 is used by connectors[0].pilot.channel already",
		},
		"ADC and reader on one chip select": {
			"reader: {kind: mfrc522, bus: spi0.0}\nconnectors: [{relay: GPIO17, pilot: {kind: pwm, pin: GPIO18, adc: spi0.0}}]",
			"spi0.0 is used by reader.bus already; give each part a chip select of its own",
		},

		"unknown meter":        {outlet("meter: {kind: sdm72}"), `connectors[1].meter.kind: "sdm72": "sdm72" is unknown; use sdm120, sdm630, pzem004t, custom, s0`},
		"meter without a kind": {outlet("meter: {port: /dev/serial0}"), "connectors[1].meter.kind: is missing; use sdm120"},
		"no port":              {outlet("meter: {kind: sdm120, address: 1}"), `connectors[1].meter.port: "" is no serial port; use its path`},
		"no address":           {outlet("meter: {kind: sdm120, port: /dev/serial0}"), "connectors[1].meter.address: 0; use 1 to 247, as set on the meter"},
		"odd speed":            {outlet("meter: {kind: sdm120, port: /dev/serial0, address: 1, baud: 1000}"), `connectors[1].meter.baud: "1000": 1000 is no speed of a serial line`},
		"odd parity":           {outlet("meter: {kind: sdm120, port: /dev/serial0, address: 1, parity: mark}"), `connectors[1].meter.parity: "mark": "mark"; use none, even or odd`},
		"long gap":             {outlet("meter: {kind: sdm120, port: /dev/serial0, address: 1, gap: 2s}"), `connectors[1].meter.gap: "2s": 2s; use 1 ms to 1s, or 0 for 10ms`},
		"one address for two meters": {
			"connectors:\n- {relay: GPIO17, plug: GPIO22, request: GPIO23, meter: {kind: sdm630, port: /dev/ttyUSB0, address: 7}}\n" +
				"- {relay: GPIO27, plug: GPIO10, request: GPIO9, meter: {kind: sdm630, port: /dev/ttyUSB0, address: 7}}",
			"board.yaml:3:100: connectors[1].meter.address: \"7\": address 7 on /dev/ttyUSB0 is used by connectors[0].meter.address already",
		},
		"two speeds on one port": {
			"connectors:\n- {relay: GPIO17, plug: GPIO22, request: GPIO23, meter: {kind: sdm630, port: /dev/ttyUSB0, address: 7}}\n" +
				"- {relay: GPIO27, plug: GPIO10, request: GPIO9, meter: {kind: sdm120, port: /dev/ttyUSB0, address: 8}}",
			"/dev/ttyUSB0 has another setting here than in connectors[0].meter.port; a port has one",
		},
		"address of all":            {outlet("meter: {kind: sdm120, port: /dev/serial0, address: 248}"), "248; use 1 to 247"},
		"custom without registers":  {outlet("meter: {kind: custom, port: /dev/serial0, address: 1, map: {function: 3}}"), "connectors[1].meter.map.import: is missing: a meter without an energy register cannot bill"},
		"custom of another type":    {outlet("meter: {kind: custom, port: /dev/serial0, address: 1, map: {function: 3, import: {at: [0x5000], type: float64}}}"), `connectors[1].meter.map.import.type: "float64": "float64"; use int16`},
		"a map of a known meter":    {outlet("meter: {kind: sdm120, port: /dev/serial0, address: 1, map: {function: 3}}"), "sdm120 has a map of its own; remove this one, or use kind: custom"},
		"no register":               {outlet("meter: {kind: custom, port: /dev/serial0, address: 1, map: {function: 3, import: {at: [70000], type: uint32}}}"), "use a whole number, such as 72 or 0x48"},
		"serial port on a used pin": {"estop: GPIO15\n" + outlet("meter: {kind: sdm120, port: /dev/serial0, address: 1}"), "GPIO15 is a pin of /dev/serial0 and is used by estop already"},
		"S0 without a pin":          {outlet("meter: {kind: s0, pulses_per_kwh: 1000, register: r}"), "connectors[1].meter.pin: is missing"},
		"S0 without a constant":     {outlet("meter: {kind: s0, pin: GPIO6, register: r}"), "pulses_per_kwh: 0; use 1 to 100000"},
		"S0 without a file":         {outlet("meter: {kind: s0, pin: GPIO6, pulses_per_kwh: 1000}"), "connectors[1].meter.register: is missing; name a file"},
		"S0 that is never written":  {outlet("meter: {kind: s0, pin: GPIO6, pulses_per_kwh: 1000, register: r, save_wh: 20000}"), "20000; use 1 to 10000"},

		"unknown lock":         {outlet("lock: {kind: magnet}"), `connectors[1].lock.kind: "magnet": "magnet" is unknown; use motor, solenoid`},
		"lock without a kind":  {outlet("lock: {pin: GPIO16}"), "connectors[1].lock.kind: is missing; use motor or solenoid"},
		"motor with one pin":   {outlet("lock: {kind: motor, pin: GPIO16}"), "connectors[1].lock.unlock: is missing"},
		"solenoid with two":    {outlet("lock: {kind: solenoid, pin: GPIO16, unlock: GPIO20}"), "a solenoid unlocks without power; remove the pin"},
		"lock that is slow":    {outlet("lock: {kind: solenoid, pin: GPIO16, move: 1m}"), "1m0s; use 10ms to 5s"},
		"lock on a pulled-up":  {outlet("lock: {kind: solenoid, pin: GPIO6}"), "GPIO6 is pulled up at reset"},
		"feedback of the lock": {outlet(lock, "feedback: GPIO16"), "connectors[1].lock.pin: \"GPIO16\": GPIO16 is used by connectors[1].feedback already"},

		"test without a contact": {outlet("ground_fault: {test: GPIO16}"), "a test needs the contact that shows the trip; set protection.ground_fault"},
		"reset without a test":   {outlet("protection: {ground_fault: GPIO6}", "ground_fault: {reset: GPIO16}"), "must be tested from here; set ground_fault.test"},
		"trip contact used":      {outlet("protection: {overcurrent: GPIO22}"), "GPIO22 is used by connectors[0].plug already"},

		"sensor without a name": {outlet("temperature: [{kind: tmp102, bus: i2c-1}]"), "connectors[1].temperature[0].name: is missing"},
		"two of one name":       {outlet("temperature: [{name: a, kind: tmp102, bus: i2c-1}, {name: a, kind: mcp9808, bus: i2c-1}]"), `"a" is the name of another sensor`},
		"unknown sensor":        {outlet("temperature: [{name: a, kind: ntc}]"), `"ntc" is unknown; use ds18b20, tmp102, mcp9808`},
		"no such sensor":        {outlet("temperature: [{name: a, kind: ds18b20, id: 10-0000071c6d2f}]"), `"10-0000071c6d2f"; use the name below /sys/bus/w1/devices`},
		"1-wire on a used pin":  {"estop: GPIO4\n" + outlet("temperature: [{name: a, kind: ds18b20, id: 28-0000071c6d2f}]"), "GPIO4 is a pin of the 1-wire bus and is used by estop already"},
		"I2C sensor on SPI":     {outlet("temperature: [{name: a, kind: tmp102, bus: spi0.0}]"), `"spi0.0" is no I²C bus of the header, which a TMP102 needs`},
		"no I2C address":        {outlet("temperature: [{name: a, kind: tmp102, bus: i2c-1, address: 0x80}]"), "use 0x08 to 0x77"},
		"one address for two":   {outlet("temperature: [{name: a, kind: tmp102, bus: i2c-1}, {name: b, kind: mcp9808, bus: i2c-1, address: 72}]"), "i2c-1 address 0x48 is used by connectors[1].temperature[0].bus already"},
		"no limit":              {"temp_limit_mc: 0\n" + outlet("temperature: [{name: a, kind: tmp102, bus: i2c-1}]"), "temp_limit_mc: \"0\": 0; use 30000 to 110000"},
		"light on a used pin":   {outlet("lights: {red: GPIO22}"), "GPIO22 is used by connectors[0].plug already"},
		"button on a used pin":  {outlet("button: GPIO22"), "GPIO22 is used by connectors[0].plug already"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, row.text)
			faults, ok := errors.AsType[*config.Error](err)
			if !ok || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v; want an error with %q", err, row.want)
			}
			if len(faults.Faults) != 1 {
				t.Errorf("got %d faults; want one:\n%v", len(faults.Faults), err)
			}
		})
	}
}

func TestBoardFilesOfTheSamplesAreRight(t *testing.T) {
	files, err := filepath.Glob("../../configs/boards/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("got %v, %v; want the samples", files, err)
	}
	for _, file := range files {
		cfg := rpi.DefaultConfig()
		if err := config.Load(&cfg, config.Options{Path: file}); err != nil {
			t.Error(err)
		}
	}
}

func TestNewRefusesAWrongConfigAndRequestsNothing(t *testing.T) {
	cfg := wiring()
	cfg.Connectors[1].Plug = "GPIO22"
	chip := haltest.NewChip(t)
	if _, err := rpi.New(cfg, computer(chip)); err == nil || !strings.Contains(err.Error(), "rpi: connectors[1].plug: GPIO22 is used") {
		t.Errorf("got %v; want the pin that is used twice", err)
	}
}
