package archtest_test

const module = "github.com/carga-ev/carga"

// ban is one thing that must not be imported, and why. It covers the packages
// below it, but those in except.
type ban struct {
	pkg    string
	reason string
	except []string
}

// program is one main package: what must not be anywhere in its closure, and
// how many modules its own packages may use directly (0: not counted). Each
// module is something to trust, to update and to carry; a new one needs a
// reason why it is not 50 lines of ours.
type program struct {
	dir     string
	modules int
	bans    []ban
}

func programs() []program {
	engines := []ban{
		{pkg: module + "/internal/engines", reason: "embedded engines are for the demo and tests"},
		{pkg: "github.com/mochi-mqtt", reason: "embedded engines live in internal/engines, sim and tests"},
		{pkg: "github.com/twmb/franz-go", reason: "embedded engines live in internal/engines, sim and tests"},
		{pkg: "testing", reason: "test code does not belong into a program"},
	}
	with := func(bans ...ban) []ban { return append(bans, engines...) }
	return []program{
		{dir: "agent", modules: 6, bans: with(
			ban{pkg: "C", reason: "the agent is one static binary that cross-compiles without a C compiler"},
			ban{pkg: "runtime/cgo", reason: "the agent is one static binary that cross-compiles without a C compiler"},
			ban{pkg: "database/sql", reason: "the agent keeps a journal of append-only files"},
			ban{pkg: "github.com/mattn/go-sqlite3", reason: "cgo, and the agent keeps a journal of append-only files"},
			ban{pkg: "modernc.org/sqlite", reason: "4 MiB, and the agent keeps a journal of append-only files"},
			ban{pkg: "github.com/segmentio/kafka-go", reason: "Kafka is the business of bridge and central"},
			ban{pkg: "html/template", reason: "no templates in the agent; its panel is static files and JSON"},
			ban{pkg: "text/template", reason: "no templates in the agent; its panel is static files and JSON"},
			ban{pkg: "github.com/spf13", reason: "too big for the agent (cobra brings text/template); use flag"},
			ban{pkg: "github.com/prometheus", reason: "too big for the agent; its few metrics are written as text"},
			ban{pkg: "go.opentelemetry.io", reason: "too big for the agent"},
			ban{pkg: "periph.io/x/host/v3/ftdi", reason: "pulls cgo"},
			ban{pkg: "os/exec", reason: "as the first process of a container it reaps all children"},
			ban{pkg: module + "/bridge", reason: "parts meet only in internal/wire and internal/charge"},
			ban{pkg: module + "/central", reason: "parts meet only in internal/wire and internal/charge"},
			ban{pkg: module + "/internal/kafkalink", reason: "Kafka is the business of bridge and central"},
			ban{pkg: module + "/internal/money", reason: "the agent knows no prices; it names a version of the tariff"},
			ban{pkg: "golang.org/x/text", reason: "tables too big for the agent"},
			ban{pkg: module + "/sim", reason: "simulated hardware is hal/sim; networks and people are the simulator's"},
		)},
		{dir: "bridge", modules: 6, bans: with(
			ban{pkg: "runtime/cgo", reason: "the bridge is one static binary"},
			ban{pkg: "database/sql", reason: "the bridge keeps nothing on disk"},
			ban{pkg: "os/exec", reason: "as the first process of a container it reaps all children"},
			ban{pkg: module + "/agent", reason: "parts meet only in internal/wire and internal/charge"},
			ban{pkg: module + "/central", reason: "parts meet only in internal/wire and internal/charge"},
			ban{pkg: module + "/hal", reason: "the bridge knows no hardware"},
			ban{pkg: module + "/sim", reason: "only sim itself uses the simulator"},
		)},
		{dir: "central", modules: 14, bans: with(
			ban{pkg: "github.com/eclipse/paho.mqtt.golang", reason: "central speaks Kafka; MQTT ends at the bridge"},
			ban{pkg: module + "/agent", reason: "parts meet only in internal/wire and internal/charge"},
			ban{pkg: module + "/bridge", reason: "parts meet only in internal/wire and internal/charge"},
			ban{pkg: module + "/hal", reason: "central knows no hardware"},
			ban{pkg: "os/exec", reason: "as the first process of a container it reaps all children"},
			ban{pkg: module + "/sim", reason: "only sim itself uses the simulator"},
		)},
		{dir: "sim"},
	}
}

// leaf is a package, or a tree of packages if it ends in "/...", that imports
// directly only what stands here: of ours what own names, of others nothing,
// of the standard library all but std.
type leaf struct {
	dir string
	own []string
	std []ban
}

func leaves() []leaf {
	pure := []ban{
		{pkg: "context", reason: "pure packages return effects; the shell owns cancellation"},
		{pkg: "crypto/rand", reason: "random values come in with the event"},
		{pkg: "math/rand", reason: "random values come in with the event"},
		{pkg: "database/sql", reason: "no I/O in pure packages"},
		{pkg: "io/fs", reason: "no I/O in pure packages"},
		{pkg: "log", reason: "pure packages return effects; the shell logs"},
		{pkg: "net", reason: "no I/O in pure packages"},
		{pkg: "os", reason: "no I/O in pure packages"},
		{pkg: "sync", reason: "a pure package has one caller"},
	}
	// A token keeps itself out of logs by implementing slog.LogValuer.
	vocabulary := make([]ban, len(pure))
	copy(vocabulary, pure)
	for i := range vocabulary {
		if vocabulary[i].pkg == "log" {
			vocabulary[i].except = []string{"log/slog"}
		}
	}
	words := []string{"internal/charge", "internal/reason", "internal/wire"}
	priced := append([]string{"internal/money"}, words...)
	contracts := []ban{
		{pkg: "database/sql", reason: "wire is encoding only"},
		{pkg: "log", reason: "wire is encoding only"},
		{pkg: "net", reason: "wire is encoding only"},
		{pkg: "os", reason: "wire is encoding only"},
	}
	return []leaf{
		{dir: "internal/charge", std: vocabulary},
		{dir: "internal/reason", std: pure},
		{dir: "internal/wire", own: []string{"internal/charge", "internal/reason"}, std: contracts},
		{dir: "agent/cards", own: words, std: pure},
		{dir: "agent/limits", own: words, std: pure},
		{dir: "agent/connector", own: append([]string{"agent/cards", "agent/limits"}, words...), std: pure},
		{dir: "agent/safety", own: words, std: pure},
		{dir: "agent/delivery", own: words, std: pure},
		{dir: "agent/class", own: words, std: pure},
		{dir: "agent/point", own: append([]string{"agent/cards", "agent/class", "agent/connector", "agent/delivery", "agent/limits"}, words...), std: pure},
		{dir: "bridge/route", own: words, std: pure},
		{dir: "bridge/forward", own: append([]string{"bridge/route"}, words...), std: pure},
		{dir: "bridge/lease", own: words, std: pure},
		{dir: "central/ledger", own: priced, std: pure},
		{dir: "central/cards", own: words, std: pure},
		{dir: "central/supply", own: words, std: pure},
		{dir: "central/orders", own: append([]string{"central/cards", "central/ledger", "central/supply"}, priced...), std: pure},
		{dir: "central/view", own: append([]string{"central/cards", "central/ledger", "central/orders", "central/supply"}, priced...), std: pure},
		{dir: "hal", own: []string{"internal/charge"}},
		{dir: "hal/check", own: []string{"internal/charge", "hal"}},
		{dir: "hal/haltest", own: []string{"internal/charge", "hal", "hal/check"}},
		{dir: "hal/sim/...", own: []string{"internal/charge", "hal", "hal/sim/..."}},
	}
}

// edge is a technology and the only places that may touch it.
type edge struct {
	pkg    string
	dirs   []string
	reason string
}

func edges() []edge {
	return []edge{
		{"periph.io", []string{"hal/rpi/..."}, "only hal/rpi touches periph.io"},
		{"github.com/eclipse/paho.mqtt.golang", []string{"internal/mqttlink", "agent/internal/uplink", "bridge/internal/mqttside", "sim/..."}, "MQTT belongs to mqttlink, uplink and mqttside"},
		{"github.com/segmentio/kafka-go", []string{"internal/kafkalink", "bridge/internal/kafkaside", "central/internal/ingest", "central/internal/outbox", "sim/..."}, "Kafka belongs to kafkalink, kafkaside, ingest and outbox"},
		{"database/sql", []string{"central/internal/store/...", "sim/..."}, "SQL belongs to central/internal/store"},
		{"github.com/mattn/go-sqlite3", []string{"central/internal/store/...", "sim/..."}, "SQL belongs to central/internal/store"},
		{"github.com/mochi-mqtt", []string{"internal/engines", "sim/..."}, "embedded engines live in internal/engines, sim and tests"},
		{"github.com/twmb/franz-go", []string{"internal/engines", "sim/..."}, "embedded engines live in internal/engines, sim and tests"},
		{"charm.land", []string{"sim/screen"}, "the terminal screen is in sim/screen"},
		{"github.com/charmbracelet", []string{"sim/screen", "sim/environment"}, "the terminal screen is in sim/screen"},
		{"golang.org/x/text/currency", []string{"internal/money"}, "how many decimals a currency has is known in one place"},
		{"golang.org/x/text/secure", []string{"central/names"}, "what may name a driver is decided in one place"},
		{"go.yaml.in/yaml", []string{"internal/config"}, "every configuration goes through the one strict loader"},
		{module + "/internal/need", nil, "only tests declare what they need from the machine"},
	}
}

// borders lists which trees of ours must not import which.
func borders() map[string][]ban {
	parts := "parts meet only in internal/wire and internal/charge"
	return map[string][]ban{
		"internal/...": {
			{pkg: module + "/agent", reason: "shared packages know no part"},
			{pkg: module + "/bridge", reason: "shared packages know no part"},
			{pkg: module + "/central", reason: "shared packages know no part"},
			{pkg: module + "/hal", reason: "shared packages know no hardware"},
			{pkg: module + "/sim", reason: "shared packages know no simulator"},
		},
		"agent/...": {
			{pkg: module + "/bridge", reason: parts},
			{pkg: module + "/central", reason: parts},
			{pkg: module + "/sim", reason: "simulated hardware is hal/sim; networks and people are the simulator's"},
		},
		"bridge/...": {
			{pkg: module + "/agent", reason: parts},
			{pkg: module + "/central", reason: parts},
			{pkg: module + "/hal", reason: "the bridge knows no hardware"},
			{pkg: module + "/sim", reason: "only sim itself uses the simulator"},
		},
		"central/...": {
			{pkg: module + "/agent", reason: parts},
			{pkg: module + "/bridge", reason: parts},
			{pkg: module + "/hal", reason: "central knows no hardware"},
			{pkg: module + "/sim", reason: "only sim itself uses the simulator"},
			{pkg: module + "/internal/mqttlink", reason: "central speaks Kafka; MQTT ends at the bridge"},
		},
		"hal/...": {
			{pkg: module + "/agent", reason: "hardware knows no part"},
			{pkg: module + "/bridge", reason: "hardware knows no part"},
			{pkg: module + "/central", reason: "hardware knows no part"},
			{pkg: module + "/sim", reason: "hardware knows no network and no people"},
			{pkg: module + "/internal/wire", reason: "hardware knows no messages"},
		},
		"hal/rpi/...": {
			{pkg: module + "/hal/sim", reason: "the real board knows no simulated one"},
		},
		"sim/world/...": {
			{pkg: "crypto/rand", reason: "sim/world draws from its seeded source"},
			{pkg: "net", reason: "sim/world steps pure cores; real links are tested in sim/e2e"},
			{pkg: "os", reason: "sim/world steps pure cores; real files are tested in sim/e2e"},
		},
	}
}
