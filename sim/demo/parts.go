package demo

import (
	"context"
	"fmt"
	"sync"
)

// part is a part of the network that can be stopped, and started again. Its
// methods are safe for concurrent use.
type part struct {
	name string
	run  func(ctx context.Context) error
	// failed is called when run returns although the part was not stopped, or
	// returns an error.
	failed func(error)

	mu   sync.Mutex
	stop context.CancelFunc // mu guards it and done; nil while stopped
	done chan struct{}
}

// start starts the part. It does nothing if the part runs.
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
		// Only the end of ctx is a stop. Any other return is a failure, also
		// one without an error.
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

// halt stops the part and waits for its end. It does nothing if the part does
// not run.
func (p *part) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		return
	}
	// mu is held until the part has ended, so that start cannot overlap with
	// the old run.
	p.stop()
	<-p.done
	p.stop, p.done = nil, nil
}

// up reports whether the part was started and not stopped.
func (p *part) up() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stop != nil
}

// switchable is a part that the breaker can cut and restore.
type switchable struct {
	up      func() bool
	cut     func()
	restore func() error
}

// breaker stops parts of the demo and starts them again, for the keys and for
// the buttons of Central's page. It is safe for concurrent use.
type breaker struct {
	mu    sync.Mutex            // held during a cut or a restoration
	parts map[string]switchable // by name; not changed after newBreaker
	// changed is called, under mu, after a part was cut or restored. It must not
	// call the breaker.
	changed func(part string, up bool)
}

// Cut stops a part; it does nothing if the part is stopped.
func (b *breaker) Cut(name string) error { return b.set(name, false) }

// Restore starts a part; it does nothing if the part runs.
func (b *breaker) Restore(name string) error { return b.set(name, true) }

// toggle cuts a running part and restores a stopped one.
func (b *breaker) toggle(name string) error {
	b.mu.Lock()
	p, ok := b.parts[name]
	// An unknown part counts as down: set reports it.
	up := ok && p.up()
	b.mu.Unlock()
	return b.set(name, !up)
}

// restoreAll restores every part that is cut, brokers first.
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

// set cuts or restores a part, unless it is in that state already.
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
