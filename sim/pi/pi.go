// Package pi boots the agent that is flashed on a Raspberry Pi in an emulated
// one, and observes from outside what a person with a meter and a cable would:
// the pin of the relay, the contacts, the meter on the serial port, and what
// Central has.
//
// The machine is QEMU's raspi3b with Debian's kernel: the GPIO controller, the
// serial ports and the card of a Raspberry Pi 3. Broker, bridge and Central run
// on the host as processes; the guest reaches them through the emulated network.
// The card is a file, which outlives a power cut.
//
// This package holds what the two sides share. sim/pi/init is the first process
// inside; the tests are the outside. They run with
//
//	make pi-test
//
// # What it proves, and what it does not
//
// A forgotten fsync loses data in a power cut here, as the page cache of the
// guest is gone; the cache of a card that reports false syncs is not emulated. A
// pin that no program holds keeps its level, as on Raspberry Pi OS, so a relay
// that is low was driven low. Edges, pulls, PWM and analogue inputs are not
// emulated: inputs are polled, and the contacts profile stands for the pilot.
//
// The machine's clock counts its instructions, 8 ns each for all cores together,
// which is slower than any Raspberry Pi that the agent is built for. It stands
// still while the host runs something else, so its times hold on a busy host.
package pi

// The pins of the board by their GPIO number, as configs/boards/bench-contacts.yaml
// wires it. A closed contact connects its pin to ground.
const (
	EStop    = 5 // normally closed
	Relay    = 17
	Feedback = 22 // closed while the contactor is
	Plug     = 23
	Request  = 24
)

// The pins of two buttons for init, which raise them: one kills the agent, the
// other stops it and switches the machine off.
const (
	KillButton  = 26
	PowerButton = 27
)

// Paths in the machine.
const (
	AgentFile  = "/agent"
	ConfigFile = "/agent.yaml"
	BoardFile  = "/board.yaml"
	ModuleDir  = "/modules" // drivers, loaded in the order of their names
	DataDir    = "/data"    // the card
	JournalDir = DataDir + "/agent"
)

// ObserveAddress is where the agent serves its metrics in the machine. Init prints
// those that begin with ControlMetrics before it stops the agent.
const (
	ObserveAddress = "127.0.0.1:9464"
	ControlMetrics = "carga_agent_control_"
)

// What init prints on the console begins with ConsolePrefix and the seconds
// since the kernel started.
const (
	ConsolePrefix = "init:"
	MemoryLine    = "peak memory of the agent:" // a number and kB follow
)
