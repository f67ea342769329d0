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

// link is a TCP proxy, in this process, between a program and an engine. It
// carries data unchanged until a toxic is added, and again after restore. One
// toxic at a time is added.
type link struct {
	name, listen, upstream string
	proxy                  *toxiproxy.Proxy
}

// openLink starts a proxy at listen for the engine at upstream.
func openLink(name, listen, upstream string) (*link, error) {
	l := &link{name: name, listen: listen, upstream: upstream}
	return l, l.open()
}

func (l *link) open() error {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l.proxy = toxiproxy.NewProxy(server, l.name, l.listen, l.upstream)
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("proxy of %s: %w", l.name, err)
	}
	return nil
}

// close closes the listener and all connections.
func (l *link) close() { l.proxy.Stop() }

// toxic is an impairment, as toxiproxy's JSON describes it. Stream is
// "upstream" (from the program to the engine) or "downstream".
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

// addToxic impairs the link until restore.
func (l *link) addToxic(t toxic) error {
	t.Name = toxicName
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(raw))); err != nil {
		return fmt.Errorf("%s on the link %s: %w", t.Type, l.name, err)
	}
	return nil
}

const (
	toxicName      = "spoiled" // the name of the one toxic of a link
	restoreTimeout = 2 * time.Second
)

// restore removes the toxic. toxiproxy may wait for ever for a connection that
// the toxic blocks: then the proxy is replaced, which cuts all its connections.
func (l *link) restore(ctx context.Context) error {
	p, restored := l.proxy, make(chan error, 1)
	go func() { restored <- p.Toxics.RemoveToxic(context.WithoutCancel(ctx), toxicName) }()
	timer := time.NewTimer(restoreTimeout)
	defer timer.Stop()
	select {
	case err := <-restored:
		return err
	case <-timer.C:
		p.Stop()
		return l.open()
	}
}
