package demo

import (
	"context"
	"fmt"
	"sync"
)

// part is a piece of the network that runs until it is stopped, and can be
// started again.
type part struct {
	name string
	run  func(ctx context.Context) error
	// failed is told when run ends by itself.
	failed func(error)

	mu   sync.Mutex
	stop context.CancelFunc // mu guards it and done; nil while stopped
	done chan struct{}
}

// start runs the part. Starting one that runs does nothing.
func (p *part) start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return
	}
	ctx, p.stop = context.WithCancel(ctx)
	done := make(chan struct{})
	p.done = done
	go func() {
		defer close(done)
		err := p.run(ctx)
		if ctx.Err() == nil {
			p.failed(fmt.Errorf("%s ended by itself: %w", p.name, err))
			return
		}
		if err != nil {
			p.failed(fmt.Errorf("%s: %w", p.name, err))
		}
	}()
}

// halt stops the part and waits until all of it has ended.
func (p *part) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		return
	}
	p.stop()
	<-p.done
	p.stop, p.done = nil, nil
}

func (p *part) up() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stop != nil
}

// switchable is what the breaker can cut and restore.
type switchable struct {
	up      func() bool
	cut     func()
	restore func() error
}

// breaker cuts parts of the demo and brings them back, for the keys and for
// Central's page. It is safe for concurrent use.
type breaker struct {
	mu      sync.Mutex // held while a part is cut or restored
	parts   map[string]switchable
	changed func(part string, up bool)
}

// Cut stops a part.
func (b *breaker) Cut(name string) error { return b.set(name, false) }

// Restore brings a part back.
func (b *breaker) Restore(name string) error { return b.set(name, true) }

// toggle cuts a part that is up and restores one that is not.
func (b *breaker) toggle(name string) error {
	b.mu.Lock()
	p, ok := b.parts[name]
	up := ok && p.up()
	b.mu.Unlock()
	return b.set(name, !up)
}

// restoreAll brings back whatever is cut.
func (b *breaker) restoreAll() error {
	for _, name := range []string{"mqtt", "kafka", "bridge"} {
		if p, ok := b.parts[name]; ok && !p.up() {
			if err := b.Restore(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *breaker) set(name string, up bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.parts[name]
	if !ok {
		return fmt.Errorf("%s is not a part of this demo that can be cut", name)
	}
	if p.up() == up {
		return nil
	}
	if !up {
		p.cut()
	} else if err := p.restore(); err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	b.changed(name, up)
	return nil
}
