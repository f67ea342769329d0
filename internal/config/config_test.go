package config_test

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/config"
)

type place string

type broker struct {
	URL      string        `yaml:"url"`
	Port     uint16        `yaml:"port"`
	Password string        `yaml:"password" secret:"true"`
	Timeout  time.Duration `yaml:"timeout"`
}

type connector struct {
	ID    int8  `yaml:"id"`
	Power int64 `yaml:"power_w"`
}

type sample struct {
	Name       place            `yaml:"name"`
	Level      slog.Level       `yaml:"level"`
	Simulated  bool             `yaml:"simulated"`
	Factor     float64          `yaml:"factor"`
	MQTT       broker           `yaml:"mqtt"`
	Brokers    []string         `yaml:"brokers"`
	Waits      []time.Duration  `yaml:"waits"`
	Connectors []connector      `yaml:"connectors"`
	Prices     map[place]int64  `yaml:"prices"`
	Tables     map[string][]int `yaml:"tables"`
	Unlisted   string
}

func (s *sample) Validate(p *config.Problems) {
	if s.Name == "" {
		p.Addf("name", "want a name")
	}
	if s.MQTT.Port == 0 {
		p.In("mqtt").Addf("port", "want a port from 1 to 65535")
	}
	for i, c := range s.Connectors {
		if c.ID < 1 {
			p.Addf("connectors["+string(rune('0'+i))+"].id", "want a number from 1")
		}
	}
}

func defaults() sample {
	return sample{
		Name: "CP_001", MQTT: broker{URL: "tcp://127.0.0.1:1883", Port: 1883, Timeout: 5 * time.Second},
		Brokers: []string{"127.0.0.1:9092"}, Prices: map[place]int64{"night": 20},
	}
}

func write(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// load returns the sample and the lines of its faults, without the folder.
func load(tb testing.TB, content string, env ...string) (sample, []string) {
	tb.Helper()
	path := write(tb, content)
	c := defaults()
	err := config.Load(&c, config.Options{Path: path, EnvPrefix: "CARGA_", Environ: env})
	if err == nil {
		return c, nil
	}
	var faults *config.Error
	if !errors.As(err, &faults) || len(faults.Faults) == 0 {
		tb.Fatalf("got the error %T %v, want a *config.Error with faults", err, err)
	}
	return c, strings.Split(strings.ReplaceAll(err.Error(), path, "c.yaml"), "\n")
}

func TestLayersLieOverEachOther(t *testing.T) {
	c, faults := load(t, `
# a comment
name: 007
level: warn
simulated: true
factor: 0.5
mqtt:
  port: 8883
  password: "open sesame"
  timeout: 1m30s
brokers: [a:1, b:2]
waits: [250ms, 35d]
connectors:
  - id: 1
    power_w: 22000
  - {id: 2}
prices:
  day: 45
tables: {a: [1, 2]}
`, "CARGA_MQTT__URL=tcp://broker:1883", "CARGA_BROKERS=x:1, y:2", "OTHER=1", "CARGA=2")
	want := sample{
		Name: "007", Level: slog.LevelWarn, Simulated: true, Factor: 0.5,
		MQTT:    broker{URL: "tcp://broker:1883", Port: 8883, Password: "open sesame", Timeout: 90 * time.Second},
		Brokers: []string{"x:1", "y:2"}, Waits: []time.Duration{250 * time.Millisecond, 35 * 24 * time.Hour},
		Connectors: []connector{{ID: 1, Power: 22000}, {ID: 2}}, Prices: map[place]int64{"day": 45},
		Tables: map[string][]int{"a": {1, 2}},
	}
	if faults != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v\nfaults %v", c, want, faults)
	}
}

func TestDefaultsHoldWhereNothingIsSet(t *testing.T) {
	for name, content := range map[string]string{
		"comments only":    "# nothing\n# here\n",
		"document marker":  "---\n",
		"group of comment": "mqtt:\n  # port: 1\n",
		"byte order mark":  "\xef\xbb\xbfname: CP_001\n",
		"CRLF":             "name: CP_001\r\nmqtt:\r\n  port: 1883\r\n",
	} {
		if c, faults := load(t, content); faults != nil || !reflect.DeepEqual(c, defaults()) {
			t.Errorf("%s: got %+v and %v, want the defaults", name, c, faults)
		}
	}
	c := defaults()
	if err := config.Load(&c, config.Options{}); err != nil || !reflect.DeepEqual(c, defaults()) {
		t.Errorf("no file: got %+v and %v, want the defaults", c, err)
	}
}

func TestAFileReplacesListsAndTablesAsAWhole(t *testing.T) {
	fallback := defaults()
	shared := maps.Clone(fallback.Prices)
	c, faults := load(t, "brokers: []\nprices: {day: 1}\n")
	if faults != nil || len(c.Brokers) != 0 || !maps.Equal(c.Prices, map[place]int64{"day": 1}) {
		t.Errorf("got %+v %v, want no broker and one price", c, faults)
	}
	if !maps.Equal(fallback.Prices, shared) {
		t.Errorf("got the defaults changed to %v", fallback.Prices)
	}
}

func TestFaultsNamePlaceKeyAndRemedy(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"typo", "naem: x", `c.yaml:1:1: naem: unknown key (did you mean "name"?)`},
		{"typo in a group", "mqtt:\n  prot: 1", `c.yaml:2:3: mqtt.prot: unknown key (did you mean "port"?)`},
		{"upper case", "MQTT: {}", `c.yaml:1:1: MQTT: unknown key (did you mean "mqtt"?)`},
		{"nothing near", "zebra: 1", `c.yaml:1:1: zebra: unknown key`},
		{"untagged field", "Unlisted: 1", `c.yaml:1:1: Unlisted: unknown key`},
		{"repeated", "name: a\nname: b", `c.yaml:2:1: name: repeated key (first in line 1)`},
		{"repeated in a table", "prices: {a: 1, a: 2}", `c.yaml:1:16: prices.a: repeated key (first in line 1)`},
		{"text for a number", "mqtt:\n  port: \"8883x\"", `c.yaml:2:9: mqtt.port: "8883x": want a whole number from 0 to 65535 (without quotes)`},
		{"quoted number", "mqtt: {port: \"8883\"}", `c.yaml:1:14: mqtt.port: "8883": want a whole number from 0 to 65535 (without quotes)`},
		{"too large", "mqtt: {port: 70000}", `c.yaml:1:14: mqtt.port: "70000": want a whole number from 0 to 65535`},
		{"negative port", "mqtt: {port: -1}", `c.yaml:1:14: mqtt.port: "-1": want a whole number from 0 to 65535`},
		{"octal", "mqtt: {port: 0123}", `c.yaml:1:14: mqtt.port: "0123": want a whole number from 0 to 65535`},
		{"hexadecimal", "mqtt: {port: 0x10}", `c.yaml:1:14: mqtt.port: "0x10": want a whole number from 0 to 65535`},
		{"fraction", "mqtt: {port: 1.5}", `c.yaml:1:14: mqtt.port: "1.5": want a whole number from 0 to 65535`},
		{"small signed", "connectors: [{id: 128}]", `c.yaml:1:19: connectors[0].id: "128": want a whole number from -128 to 127`},
		{"yes", "simulated: yes", `c.yaml:1:12: simulated: "yes": want true or false`},
		{"not a number", "factor: .nan", `c.yaml:1:9: factor: ".nan": want a number`},
		{"no number", "factor: NaN", `c.yaml:1:9: factor: "NaN": want a number`},
		{"level", "level: loud", `c.yaml:1:8: level: "loud": want a value of another form (slog: level string "loud": unknown name)`},
		{"list for a text", "name: [a]", `c.yaml:1:7: name: want a text (this is a list or a group)`},
		{"text for a list", "brokers: a", `c.yaml:1:10: brokers: "a": want a list (each entry on a line of its own after a dash, or [a, b])`},
		{"text for a group", "mqtt: tcp://u:p@h", `c.yaml:1:7: mqtt: "tcp://(secret)@h": want a group of settings`},
		{"no value", "name:", `c.yaml:1:6: name: want a text (there is no value; an empty text is "")`},
		{"no list", "brokers:", `c.yaml:1:9: brokers: want a list (each entry on a line of its own after a dash, or [a, b])`},
		{"alias bomb", "tables:\n  a: &a [1]\n  b: [*a, *a]", "c.yaml:2:6: tables.a: anchors and aliases are refused (write the value out)\n" +
			"c.yaml:3:7: tables.b[0]: anchors and aliases are refused (write the value out)\n" +
			"c.yaml:3:11: tables.b[1]: anchors and aliases are refused (write the value out)"},
		{"unknown alias", "mqtt: {password: *hunter2}", `c.yaml: aliases are refused (put a value that begins with * or & in quotes)`},
		{"tag", "name: !!binary aGVsbG8=", `c.yaml:1:7: name: tags are refused (write the plain value)`},
		{"list as key", "[a]: 1", `c.yaml:1:1: want a plain name as key`},
		{"list as file", "- a", `c.yaml:1:1: want a group of settings`},
		{"second document", "name: a\n---\nname: b", `c.yaml:2:1: second document; one file holds one`},
		{"tab", "mqtt:\n\tport: 1", `c.yaml:2: found character that cannot start any token (indent with spaces, not with tabs)`},
		{"open bracket", "brokers: [a", `c.yaml:1: did not find expected ',' or ']'`},
		{"not UTF-8", "name: ok\nmqtt: \xff", `c.yaml:2: is not UTF-8 here`},
		{"UTF-16", "\xff\xfen\x00a\x00", `c.yaml: is UTF-16 or binary, want UTF-8`},
		{"NUL", "name: \x00", `c.yaml: is UTF-16 or binary, want UTF-8`},
		{"empty", "", `c.yaml: is empty, perhaps half written; a file of comments alone means the defaults`},
		{"white space", " \n\n", `c.yaml: is empty, perhaps half written; a file of comments alone means the defaults`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := load(t, c.file); strings.Join(got, "\n") != c.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), c.want)
			}
		})
	}
}

func TestDurationsNeedAUnitAndARange(t *testing.T) {
	for _, text := range []string{"5", "0", "-5s", "5 s", "1y", "9999999h", "106752d", "213504d", "d", "-1d", "1.5d", "soon", "[]", "99999999999999999999s"} {
		_, got := load(t, "mqtt: {timeout: "+text+"}")
		if len(got) != 1 || !strings.Contains(got[0], "mqtt.timeout: ") || !strings.Contains(got[0], "with a unit") {
			t.Errorf("%s: got %v, want one fault that asks for a unit", text, got)
		}
	}
	for text, want := range map[string]time.Duration{
		"0s": 0, "5s": 5 * time.Second, `"5s"`: 5 * time.Second, "1h30m": 90 * time.Minute, "106751d": 106751 * 24 * time.Hour,
	} {
		if c, got := load(t, "mqtt: {timeout: "+text+"}"); got != nil || c.MQTT.Timeout != want {
			t.Errorf("%s: got %v %v, want %v", text, c.MQTT.Timeout, got, want)
		}
	}
}

func TestAllFaultsAreReportedAtOnceInOrder(t *testing.T) {
	_, got := load(t, "mqtt:\n  port: x\n  timeout: 5\nname: \"\"\nbogus: 1\nconnectors: [{id: 0}]\n",
		"CARGA_MQTT__TIMEUOT=1s", "CARGA_CONNECTORS=1", "CARGA_WAITS=1s,2", "CARGA_SIMULATED=1", "CARGA_MQTT__PORT__X=1", "CARGA_=1")
	want := []string{
		`c.yaml:2:9: mqtt.port: "x": want a whole number from 0 to 65535`,
		`c.yaml:3:12: mqtt.timeout: "5": want a duration with a unit, such as 250ms, 5s, 2m, 1h30m or 35d, not negative`,
		`c.yaml:4:7: name: want a name`,
		`c.yaml:5:1: bogus: unknown key`,
		`$CARGA_: unknown key`,
		`$CARGA_CONNECTORS: connectors: can be set in the file only`,
		`$CARGA_MQTT__PORT__X: mqtt.port.x: unknown key`,
		`$CARGA_MQTT__TIMEUOT: mqtt.timeuot: unknown key (did you mean "timeout"?)`,
		`$CARGA_SIMULATED: simulated: "1": want true or false`,
		`$CARGA_WAITS: waits: "1s,2": want a duration with a unit, such as 250ms, 5s, 2m, 1h30m or 35d, not negative between commas`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestProblemsNameThePlaceOfTheKey(t *testing.T) {
	_, got := load(t, "name: \"\"\nmqtt:\n  port: 0\nconnectors:\n  - id: 1\n  - power_w: 5\n", "CARGA_NAME=")
	want := []string{
		`c.yaml:3:9: mqtt.port: "0": want a port from 1 to 65535`,
		`c.yaml:6:5: connectors[1].id: want a number from 1`,
		`$CARGA_NAME: name: want a name`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c := sample{}
	err := config.Load(&c, config.Options{})
	if err == nil || err.Error() != "mqtt.port: want a port from 1 to 65535\nname: want a name" {
		t.Errorf("no file: got %v, want two rules without a place", err)
	}
}

// picky has a rule about a group as a whole.
type picky struct {
	Range struct {
		Low  int `yaml:"low"`
		High int `yaml:"high"`
	} `yaml:"range"`
}

func (c *picky) Validate(p *config.Problems) {
	if c.Range.Low >= c.Range.High {
		p.Addf("range", "want low below high")
	}
}

func TestARuleAboutAGroupWaitsUntilAllOfItIsRead(t *testing.T) {
	for content, want := range map[string]string{
		"range: {low: 2, high: 1}": ":1:8: range: want low below high",
		"range: {low: 2, high: x}": `:1:23: range.high: "x": want a whole number`,
	} {
		path := write(t, content)
		if err := config.Load(&picky{}, config.Options{Path: path}); err == nil || !strings.HasPrefix(err.Error(), path+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want only %s", content, err, want)
		}
	}
}

func TestSecretsAreNotEchoed(t *testing.T) {
	const word = "hunter2"
	for name, content := range map[string]string{
		"list":      "mqtt: {password: [" + word + "]}",
		"tag":       "mqtt: {password: !x " + word + "}",
		"alias":     "mqtt: {password: *" + word + "}",
		"with rule": "mqtt: {password: " + word + ", port: 0}",
		"in a URL":  "mqtt: tcp://user:" + word + "@host",
		"at a host": "mqtt: user:" + word + "@host:1",
	} {
		if _, got := load(t, content); len(got) == 0 || strings.Contains(strings.Join(got, " "), word) {
			t.Errorf("%s: got %v, want a fault without the secret", name, got)
		}
	}
	type vault struct {
		Inner struct {
			Port uint16 `yaml:"port"`
		} `yaml:"inner" secret:"true"`
	}
	err := config.Load(&vault{}, config.Options{
		Path: write(t, "inner: {port: "+word+"}"), EnvPrefix: "X_", Environ: []string{"X_INNER__PORT=" + word},
	})
	if err == nil || strings.Count(err.Error(), "(secret)") != 2 || strings.Contains(err.Error(), word) {
		t.Errorf("secret group: got %v, want two faults without the secret", err)
	}
	type secretLevel struct {
		Level slog.Level `yaml:"level" secret:"true"`
	}
	err = config.Load(&secretLevel{}, config.Options{Path: write(t, "level: "+word)})
	if err == nil || strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "(secret)") {
		t.Errorf("secret of a type of its own: got %v, want a fault without it", err)
	}
}

func TestSecretInAWorldReadableFileIsRefused(t *testing.T) {
	path := write(t, "mqtt: {password: hunter2}")
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c := defaults()
		err := config.Load(&c, config.Options{Path: path})
		if (err != nil) != refused || (refused && !strings.Contains(err.Error(), "1:18: mqtt.password: \"(secret)\": secret in a file that all users can read (chmod o-r ")) {
			t.Errorf("mode %o: got %v, want refused %v", mode, err, refused)
		}
	}
}

func TestPathsThatAreNoFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"): "no such file",
		dir:                          "is a directory, want a file",
		os.DevNull:                   "is empty, perhaps half written; a file of comments alone means the defaults",
		large:                        "is larger than 1 MiB",
		filepath.Join(large, "x"):    "stat " + filepath.Join(large, "x") + ": not a directory",
	} {
		c := defaults()
		err := config.Load(&c, config.Options{Path: path})
		if err == nil || err.Error() != path+": "+want {
			t.Errorf("got %v, want %s: %s", err, path, want)
		}
	}
}

func TestWrongDestinations(t *testing.T) {
	n := 1
	type strange struct {
		C chan int       `yaml:"c"`
		M map[int]string `yaml:"m"`
	}
	for _, dst := range []any{nil, sample{}, &n, (*sample)(nil)} {
		if err := config.Load(dst, config.Options{}); err == nil {
			t.Errorf("%T: got no error", dst)
		}
	}
	err := config.Load(&strange{}, config.Options{Path: write(t, "c: 1\nm: {1: a}")})
	if err == nil || strings.Count(err.Error(), "unsupported type") != 2 {
		t.Errorf("got %v, want two unsupported types", err)
	}
}

// Shared is a part that several configurations have.
type Shared struct {
	Brokers []string `yaml:"brokers"`
	Copies  int      `yaml:"copies"`
}

func TestKeysOfAnEmbeddedStructStandBesideTheOthers(t *testing.T) {
	type client struct {
		Kafka struct {
			Shared
			Topic string `yaml:"topic"`
		} `yaml:"kafka"`
	}
	var c client
	path := write(t, "kafka: {topic: events, brokers: [a, b]}\n")
	if err := config.Load(&c, config.Options{Path: path, EnvPrefix: "CARGA_", Environ: []string{"CARGA_KAFKA__COPIES=3"}}); err != nil {
		t.Fatal(err)
	}
	want := "kafka:\n  brokers:\n    - \"a\"\n    - \"b\"\n  copies: 3\n  topic: \"events\"\n"
	if got := string(config.Dump(c)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := config.Load(&c, config.Options{Path: write(t, "kafka: {Shared: {copies: 1}}\n")}); err == nil {
		t.Error("the name of the embedded struct was taken for a key")
	}
}

func TestDumpMasksSecrets(t *testing.T) {
	c := defaults()
	c.MQTT.Password = "hunter2"
	c.Connectors = []connector{{ID: 1}}
	want := `name: "CP_001"
level: "INFO"
simulated: false
factor: 0
mqtt:
  url: "tcp://127.0.0.1:1883"
  port: 1883
  password: "(secret)"
  timeout: 5s
brokers:
  - "127.0.0.1:9092"
waits: []
connectors:
  -
    id: 1
    power_w: 0
prices:
  "night": 20
tables: {}
`
	if got := string(config.Dump(&c)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDumpIsReadBackTheSame(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		c := sample{
			Name:      place(rapid.StringN(1, 20, -1).Filter(nameable).Draw(t, "name")),
			Level:     slog.Level(rapid.IntRange(-8, 8).Draw(t, "level")),
			Simulated: rapid.Bool().Draw(t, "simulated"),
			Factor:    rapid.Float64().Draw(t, "factor"),
			MQTT: broker{
				URL:     rapid.String().Filter(nameable).Draw(t, "url"),
				Port:    rapid.Uint16Min(1).Draw(t, "port"),
				Timeout: time.Duration(rapid.Int64Min(0).Draw(t, "timeout")),
			},
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "n") {
			c.Brokers = append(c.Brokers, rapid.String().Filter(nameable).Draw(t, "broker"))
			c.Connectors = append(c.Connectors, connector{ID: int8(i + 1), Power: rapid.Int64().Draw(t, "power")})
			if c.Prices == nil {
				c.Prices, c.Tables = map[place]int64{}, map[string][]int{}
			}
			key := rapid.StringN(1, 9, -1).Filter(nameable).Draw(t, "key")
			c.Prices[place(key)] = int64(i)
			c.Tables[key] = []int{i, -i}
		}
		path := filepath.Join(dir, "dump.yaml")
		if err := os.WriteFile(path, config.Dump(c), 0o600); err != nil {
			t.Fatal(err)
		}
		var back sample
		if err := config.Load(&back, config.Options{Path: path}); err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("got  %+v\nwant %+v\n%v\n%s", back, c, err, config.Dump(c))
		}
	})
}

// nameable excludes what is no text: Dump writes bytes that are not UTF-8 as
// escapes, which YAML reads as other characters.
func nameable(s string) bool { return strings.ToValidUTF8(s, "") == s }

// FuzzLoad: for any bytes, Load returns a configuration or faults, and what it
// accepts is the same when its dump is loaded.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "name: a", "mqtt: {port: 1}", "a: &a [*a]", "brokers:\n- x\n", "\xef\xbb\xbf", "? [a]\n: b", "<<: {}", "---\n---\n",
		"prices: {~: 1}", "waits: [1s, 2]", "name: |\n  x\n", "mqtt: {password: *x}", "level: info", "factor: 1e400",
	} {
		f.Add([]byte(seed), "x")
	}
	f.Fuzz(func(t *testing.T, data []byte, env string) {
		path := write(t, string(data))
		c := defaults()
		err := config.Load(&c, config.Options{Path: path, EnvPrefix: "CARGA_", Environ: []string{"CARGA_MQTT__URL=" + env}})
		if err != nil {
			var faults *config.Error
			if !errors.As(err, &faults) || len(faults.Faults) == 0 {
				t.Fatalf("got %v, want faults", err)
			}
			return
		}
		c.MQTT.Password = ""
		if !nameable(env) {
			return
		}
		var back sample
		if err := config.Load(&back, config.Options{Path: write(t, string(config.Dump(c)))}); err != nil {
			t.Fatalf("dump cannot be read back: %v\n%s", err, config.Dump(c))
		}
		if got, want := string(config.Dump(back)), string(config.Dump(c)); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}
