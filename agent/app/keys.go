package app

import (
	"bufio"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// KeysHelp says what the keys of a simulated charging point do.
const KeysHelp = "keys, then Enter: p plug, u unplug, f fault, r repair, s stop; a number before it names the connector (2p)"

// readKeys obeys what somebody types at a simulated charging point, until in
// ends. A read that waits cannot be ended, so nobody waits for this goroutine.
func (d *commandHandler) readKeys(l *layer, in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() && l.ctx.Err() == nil {
		word := strings.TrimSpace(lines.Text())
		if word == "" {
			continue
		}
		n, key := connectorOf(word)
		if err := d.handleKey(n, key); err != nil {
			d.log.Info(KeysHelp, logs.Err(err))
		}
	}
}

func connectorOf(word string) (charge.ConnectorID, string) {
	digits := strings.TrimRight(word, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.Atoi(digits)
	if err != nil {
		n = 1
	}
	return charge.ConnectorID(n), strings.TrimPrefix(word, digits)
}

// handleKey does what a key says.
func (d *commandHandler) handleKey(n charge.ConnectorID, key string) error {
	if n < 1 || int(n) > len(d.machines) {
		return errUnknownKey
	}
	action, known := map[string]wire.SimulateAction{
		"p": wire.SimulatePlug, "u": wire.SimulateUnplug, "f": wire.SimulateFault, "r": wire.SimulateRepair,
	}[key]
	switch {
	case key == "s":
		d.machines[n-1].post(localStop)
		return nil
	case !known:
		return errUnknownKey
	}
	d.log.Info("key", logs.Connector(n), slog.String("action", string(action)))
	return d.operate(n, wire.Simulate{Action: action})
}
