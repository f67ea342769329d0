package app

import (
	"bufio"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// KeysHelp explains the keys of a simulated charging point.
const KeysHelp = "keys, then Enter: p plug, u unplug, f fault, r repair, s stop; a number before it names the connector (2p); " +
	"t and a card's digits hold the card to the reader (t 04A1B2C3)"

// readKeys executes the keys typed at a simulated charging point, until in ends
// or the layer does. A blocked read of a terminal cannot be cancelled, so no part
// of the agent waits for this goroutine.
func (r *running) readKeys(l *layer, in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() && l.ctx.Err() == nil {
		word := strings.TrimSpace(lines.Text())
		if word == "" {
			continue
		}
		if uid, is := strings.CutPrefix(word, "t "); is {
			// The card's identifier is a secret: it is not logged.
			if err := r.operator.simulator.Present(strings.TrimSpace(uid)); err != nil {
				r.logger.Info("no card was read", logs.Err(err))
			}
			continue
		}
		n, key := connectorOf(word)
		if err := r.handleKey(n, key); err != nil {
			r.logger.Info(KeysHelp, logs.Err(err))
		}
	}
}

// connectorOf splits "2p" into the connector and the key; without a number it is
// connector 1.
func connectorOf(word string) (charge.ConnectorID, string) {
	digits := strings.TrimRight(word, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.Atoi(digits)
	if err != nil {
		n = 1
	}
	return charge.ConnectorID(n), strings.TrimPrefix(word, digits)
}

// handleKey executes one key at a connector.
func (r *running) handleKey(n charge.ConnectorID, key string) error {
	if n < 1 || int(n) > len(r.outlets) {
		return errUnknownKey
	}
	action, known := map[string]wire.SimulateAction{
		"p": wire.SimulatePlug, "u": wire.SimulateUnplug, "f": wire.SimulateFault, "r": wire.SimulateRepair,
	}[key]
	switch {
	case key == "s":
		r.inbox.put(point.LocalStop{Connector: n})
		return nil
	case !known:
		return errUnknownKey
	}
	r.logger.Info("key", logs.Connector(n), slog.String("action", string(action)))
	return r.operator.operate(n, wire.Simulate{Action: action, Fault: charge.FaultOther})
}
