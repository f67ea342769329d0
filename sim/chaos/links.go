package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is a TCP proxy between a part and an engine, in this process. It can be
// spoiled, one way at a time, and mended.
type link struct {
	name, listen, upstream string
	proxy                  *toxiproxy.Proxy
}

// openLink begins to carry connections from one address to another.
func openLink(name, listen, upstream string) (*link, error) {
	w := &link{name: name, listen: listen, upstream: upstream}
	return w, w.open()
}

func (w *link) open() error {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w.proxy = toxiproxy.NewProxy(server, w.name, w.listen, w.upstream)
	if err := w.proxy.Start(); err != nil {
		return fmt.Errorf("proxy of %s: %w", w.name, err)
	}
	return nil
}

// close cuts every connection.
func (w *link) close() { w.proxy.Stop() }

// toxic is what spoils a way. Stream is "upstream" (from the part to the
// engine) or "downstream".
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

// addToxic makes the way bad until mend.
func (w *link) addToxic(t toxic) error {
	t.Name = toxicName
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(string(raw))); err != nil {
		return fmt.Errorf("%s on the way of %s: %w", t.Type, w.name, err)
	}
	return nil
}

const (
	toxicName      = "spoiled" // one at a time
	restoreTimeout = 2 * time.Second
)

// restore makes the way good again. Where the proxy does not let go of what hangs
// in it, its connections are cut.
func (w *link) restore(ctx context.Context) error {
	p, restored := w.proxy, make(chan error, 1)
	go func() { restored <- p.Toxics.RemoveToxic(context.WithoutCancel(ctx), toxicName) }()
	timer := time.NewTimer(restoreTimeout)
	defer timer.Stop()
	select {
	case err := <-restored:
		return err
	case <-timer.C:
		p.Stop()
		return w.open()
	}
}
