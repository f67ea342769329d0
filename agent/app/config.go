package app

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

// EnvPrefix begins the names of the environment variables that override the
// configuration file.
const EnvPrefix = "CARGA_AGENT_"

// Config is the configuration of an agent.
type Config struct {
	// CPID names the charging point; it is unique in the network.
	CPID  charge.CPID `yaml:"cp_id"`
	Name  string      `yaml:"name"`
	Place string      `yaml:"place"`
	// DataDir holds the journal. It is locked: one agent per folder.
	DataDir   string    `yaml:"data_dir"`
	MQTT      MQTT      `yaml:"mqtt"`
	Hardware  Hardware  `yaml:"hardware"`
	Policies  Policies  `yaml:"policies"`
	Limits    Limits    `yaml:"limits"`
	Cards     Cards     `yaml:"cards"`
	Intervals Intervals `yaml:"intervals"`
	// StopWithin is how long a stopping agent waits for Central to acknowledge
	// its last records.
	StopWithin time.Duration `yaml:"stop_within"`
	// Observe is where health and metrics are served; nowhere by default.
	Observe observe.Config `yaml:"observe"`
	Log     Log            `yaml:"log"`
}

// MQTT is how the broker is reached. The client id is the CPID.
type MQTT struct {
	URL          string        `yaml:"url"`
	Username     string        `yaml:"username"`
	PasswordFile string        `yaml:"password_file"`
	TopicPrefix  string        `yaml:"topic_prefix"`
	KeepAlive    time.Duration `yaml:"keep_alive"`
}

// The kinds of hardware.
const (
	HardwareSim   = "sim"   // simulated, in this process
	HardwareBoard = "board" // simulated, in a process of its own behind a socket
	HardwareRPi   = "rpi"   // the pins of a Raspberry Pi
)

// Hardware is what the agent controls. Only the part of its kind is used.
type Hardware struct {
	Kind  string `yaml:"kind"`
	Sim   Sim    `yaml:"sim"`
	Board Board  `yaml:"board"`
	RPi   RPi    `yaml:"rpi"`
}

// Sim is simulated hardware in this process.
type Sim struct {
	Connectors int           `yaml:"connectors"`
	Seed       uint64        `yaml:"seed"`
	Rated      charge.Watts  `yaml:"rated_w"`
	PWM        bool          `yaml:"pwm"`
	Keeper     time.Duration `yaml:"keeper"`
	Vehicles   Vehicles      `yaml:"vehicles"`
}

// Vehicles is the range from which vehicles are drawn, both ends included.
type Vehicles struct {
	Least Vehicle `yaml:"least"`
	Most  Vehicle `yaml:"most"`
}

// Vehicle is one end of that range.
type Vehicle struct {
	Capacity charge.WattHours `yaml:"capacity_wh"`
	Charge   charge.Permille  `yaml:"charge_permille"`
	MaxPower charge.Watts     `yaml:"max_power_w"`
}

// Board is simulated hardware in a process of its own.
type Board struct {
	Socket string `yaml:"socket"`
}

// RPi is a Raspberry Pi: the path of a board file, or what stands in one.
type RPi struct {
	// Board names the file with the wiring; configs/boards has samples. The other
	// keys are then not used.
	Board string `yaml:"board"`
	rpi.Config
}

// Policies are what the owner decides; see connector.Policy.
type Policies struct {
	Resume             bool `yaml:"resume"`
	ReservedPlugStarts bool `yaml:"reserved_plug_starts"`
	FreeVend           bool `yaml:"free_vend"`
	// StartDelay is the longest wait before power after a power cut; see startDelay.
	StartDelay time.Duration `yaml:"start_delay"`
}

// Limits are limits of the current that the installer sets, per connector and phase;
// see limits.Policy.
type Limits struct {
	Max  charge.MilliAmps `yaml:"max_ma"`
	Safe charge.MilliAmps `yaml:"safe_ma"`
}

// Intervals are the periods of the agent.
type Intervals struct {
	Telemetry     time.Duration    `yaml:"telemetry"`      // while a session runs
	IdleTelemetry time.Duration    `yaml:"idle_telemetry"` // while none does
	Meter         time.Duration    `yaml:"meter"`          // between two readings
	MeterRead     time.Duration    `yaml:"meter_read"`     // between two samples written down
	MeterReadWh   charge.WattHours `yaml:"meter_read_wh"`  // or after so much energy
	Control       time.Duration    `yaml:"control"`        // between two ticks of the control loop
}

// Log is the level from which on messages are logged.
type Log struct {
	Level string `yaml:"level"`
}

// DefaultConfig is a simulated charging point with a broker on this machine.
// configs/agent.yaml is this configuration with comments.
func DefaultConfig() Config {
	e := sim.DefaultConfig()
	vehicle := func(v sim.Vehicle) Vehicle {
		return Vehicle{Capacity: v.Capacity, Charge: v.Charge, MaxPower: v.MaxPower}
	}
	return Config{
		CPID: "CP_001", DataDir: "data/agent",
		MQTT: MQTT{URL: "tcp://127.0.0.1:1883", TopicPrefix: wire.DefaultPrefix, KeepAlive: 30 * time.Second},
		Hardware: Hardware{
			Kind: HardwareSim,
			Sim: Sim{
				Connectors: e.Connectors, Seed: e.Seed, Rated: e.RatedPower, PWM: e.PWM, Keeper: e.Keeper,
				Vehicles: Vehicles{Least: vehicle(e.Vehicles.Least), Most: vehicle(e.Vehicles.Most)},
			},
			RPi: RPi{Config: rpi.DefaultConfig()},
		},
		Intervals: Intervals{
			Telemetry: time.Second, IdleTelemetry: time.Second, Meter: time.Second,
			MeterRead: 5 * time.Minute, MeterReadWh: 1000, Control: 10 * time.Millisecond,
		},
		Policies:   Policies{StartDelay: time.Minute},
		Cards:      Cards{Wait: cards.DefaultWait, Cache: 24 * time.Hour, Unanswered: CardsRefuse, Offline: CardsRefuse},
		StopWithin: 5 * time.Second,
		Log:        Log{Level: "info"},
	}
}

// Validate implements config.Validator.
func (c *Config) Validate(p *config.Problems) {
	if !c.CPID.Valid() {
		p.Addf("cp_id", "want 1 to %d of [A-Za-z0-9_-]", charge.MaxIDLength)
	}
	for _, f := range []struct{ key, text string }{{"name", c.Name}, {"place", c.Place}} {
		if len(f.text) > 128 {
			p.Addf(f.key, "want at most 128 bytes")
		}
	}
	if c.DataDir == "" {
		p.Addf("data_dir", "want a folder for the journal")
	}
	if c.StopWithin <= 0 || c.StopWithin > time.Minute {
		p.Addf("stop_within", "want a duration from 1ms to 1m")
	}
	if c.Policies.StartDelay < 0 || c.Policies.StartDelay > 10*time.Minute {
		p.Addf("policies.start_delay", "want a duration from 0s to 10m")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		p.Addf("log.level", "want debug, info, warn or error")
	}
	c.Limits.validate(p)
	c.Observe.Validate(p)
	c.MQTT.validate(p)
	c.Hardware.validate(p)
	c.Intervals.validate(p)
	c.Cards.validate(p)
}

// validate checks the way to the broker. A password in the URL is refused: the URL
// is printed and logged.
func (m *MQTT) validate(p *config.Problems) {
	u, err := url.Parse(m.URL)
	if err != nil || !slices.Contains([]string{"tcp", "mqtt", "ssl", "tls", "mqtts"}, u.Scheme) || u.Hostname() == "" || !validPort(u.Port()) {
		p.Addf("mqtt.url", "want tcp://HOST:PORT or ssl://HOST:PORT")
	} else if u.User != nil {
		p.Addf("mqtt.url", "want no password in it; mqtt.username and mqtt.password_file are for that")
	}
	if err := (wire.Topics{Prefix: m.TopicPrefix}).Validate(); err != nil {
		p.Addf("mqtt.topic_prefix", "want levels of [A-Za-z0-9_-] between slashes, at most 256 bytes")
	}
	if m.KeepAlive < time.Second || m.KeepAlive > 10*time.Minute {
		p.Addf("mqtt.keep_alive", "want a duration from 1s to 10m")
	}
	if m.PasswordFile != "" && m.Username == "" {
		p.Addf("mqtt.username", "want a name beside mqtt.password_file")
	}
}

// validate checks the ranges. A safe current below 6 A is a pause.
func (l *Limits) validate(p *config.Problems) {
	if l.Max != 0 && (l.Max < safety.MinOffer || l.Max > wire.MaxLimit) {
		p.Addf("limits.max_ma", "want a current from %d to %d mA, or 0 for what the hardware carries", safety.MinOffer, wire.MaxLimit)
	}
	if l.Safe < 0 || l.Safe > wire.MaxLimit {
		p.Addf("limits.safe_ma", "want a current from 1 to %d mA, or 0 for none", wire.MaxLimit)
	}
}

// validPort reports whether s is a port from 1 to 65535.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// validate checks the settings of the configured kind only, so that a file may keep
// those of another one.
func (h *Hardware) validate(p *config.Problems) {
	switch h.Kind {
	case HardwareSim:
		addProblems(p, "hardware.sim", h.Sim.config("").Validate())
	case HardwareBoard:
		if h.Board.Socket == "" {
			p.Addf("hardware.board.socket", "want the path of the board's socket")
		}
	case HardwareRPi:
		h.RPi.validate(p.In("hardware.rpi"))
	default:
		p.Addf("hardware.kind", "want %s, %s or %s", HardwareSim, HardwareBoard, HardwareRPi)
	}
}

// addProblems adds the errors of a part that another package validates, one
// problem per line.
func addProblems(p *config.Problems, key string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		p.Addf(key, "%s", strings.TrimSpace(line))
	}
}

// validate checks the ranges. The control loop must read each input at least twice
// within hal.MaxSafetyAge.
func (i *Intervals) validate(p *config.Problems) {
	for _, f := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"telemetry", i.Telemetry, 100 * time.Millisecond, time.Minute},
		{"idle_telemetry", i.IdleTelemetry, 100 * time.Millisecond, 10 * time.Minute},
		{"meter", i.Meter, 100 * time.Millisecond, 10 * time.Second},
		{"meter_read", i.MeterRead, time.Second, time.Hour},
		{"control", i.Control, time.Millisecond, hal.MaxSafetyAge / 2},
	} {
		if f.value < f.least || f.value > f.most {
			p.Addf("intervals."+f.key, "want a duration from %s to %s", f.least, f.most)
		}
	}
	if i.MeterReadWh < 1 {
		p.Addf("intervals.meter_read_wh", "want 1 or more")
	}
}

// config converts the settings; what they leave out has its default.
func (s *Sim) config(cp charge.CPID) sim.Config {
	c := sim.DefaultConfig()
	c.Serial = "sim-" + string(cp)
	c.Connectors, c.Seed, c.RatedPower, c.PWM, c.Keeper = s.Connectors, s.Seed, s.Rated, s.PWM, s.Keeper
	c.Vehicles = sim.Vehicles{Least: sim.Vehicle(s.Vehicles.Least), Most: sim.Vehicle(s.Vehicles.Most)}
	return c
}

// validate checks the wiring where it stands. A board file is read for that: its
// problems have their place in it.
func (r *RPi) validate(p *config.Problems) {
	if r.Board == "" {
		r.Validate(p)
		return
	}
	if len(r.Connectors) > 0 {
		p.Addf("connectors", "want no wiring here beside a board file; remove it, or remove board")
	}
	_, err := r.wiring()
	addProblems(p, "board", err)
}

// wiring is the wiring of the board file, or that of the agent's own file.
func (r *RPi) wiring() (rpi.Config, error) {
	if r.Board == "" {
		return r.Config, nil
	}
	wiring := rpi.DefaultConfig()
	err := config.Load(&wiring, config.Options{Path: r.Board})
	return wiring, err
}
