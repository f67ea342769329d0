package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// Cards is what happens with cards; see cards.Policy.
type Cards struct {
	// Wait is how long Central's answer to an unknown card is awaited.
	Wait time.Duration `yaml:"wait"`
	// Cache is how long an answer of Central serves when it cannot be asked.
	Cache time.Duration `yaml:"cache"`
	// Unanswered is what becomes of an unknown card when Central does not answer
	// although there is a connection, Offline when there is none: accept or refuse.
	Unanswered string `yaml:"unanswered"`
	Offline    string `yaml:"offline"`
}

// The policies for an unknown card.
const (
	CardsAccept = "accept"
	CardsRefuse = "refuse"
)

// validate checks the ranges. A command lives for wire.AuthorizeLife, so a longer
// wait would be in vain.
func (c *Cards) validate(p *config.Problems) {
	if c.Wait < 100*time.Millisecond || c.Wait > wire.AuthorizeLife {
		p.Addf("cards.wait", "want a duration from 100ms to %s", wire.AuthorizeLife)
	}
	if c.Cache < 0 || c.Cache > 90*24*time.Hour {
		p.Addf("cards.cache", "want a duration from 0s (no cache) to 2160h")
	}
	for _, f := range []struct{ key, value string }{{"unanswered", c.Unanswered}, {"offline", c.Offline}} {
		if f.value != CardsAccept && f.value != CardsRefuse {
			p.Addf("cards."+f.key, "want %s or %s", CardsAccept, CardsRefuse)
		}
	}
}

// policy converts the settings.
func (c *Cards) policy() cards.Policy {
	return cards.Policy{Wait: c.Wait, CacheFor: c.Cache, AcceptUnanswered: c.Unanswered == CardsAccept, AcceptOffline: c.Offline == CardsAccept}
}

// readerLasts is how long a reader must have failed before that is reported: it starts
// its chip again by itself, after a disturbance within a second.
const readerLasts = 3 * time.Second

// cardReader is the card reader, and whether it answers.
type cardReader struct {
	device  hal.TokenReader // nil: none is fitted
	failing time.Duration   // since the boot, when it began to fail; 0: it answers; owned by readCards
	trouble atomic.Pointer[readerTrouble]
}

// readerTrouble is why a reader does not answer, and since when; nil: it answers.
type readerTrouble struct {
	since  time.Duration // since the boot
	reason string        // at most wire.MaxReaderTrouble bytes
}

// words is the reason; empty if the reader answers.
func (t *readerTrouble) words() string {
	if t == nil {
		return ""
	}
	return t.reason
}

// openReader gets the card reader. It is optional.
func (r *running) openReader() error {
	reader, err := r.board.Reader()
	switch {
	case errors.Is(err, hal.ErrNotFitted):
		return nil
	case err != nil:
		return fmt.Errorf("card reader: %w", err)
	}
	r.reader.device, r.operator.reader = reader, reader
	return nil
}

// readCards passes the cards that are presented to the core until ctx ends, and looks
// each second whether the reader answers. A UID goes no further than its hash.
func (r *running) readCards(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case t, open := <-r.reader.device.Tokens():
			if !open { // the board is closed
				return
			}
			r.inbox.put(point.CardPresented{Card: charge.IDToken(t.UID).Hash()})
		case <-look.C:
			r.checkReader(r.clock.at())
		}
	}
}

// checkReader notes whether the reader answers. Sessions of the app need no reader, so
// it is no fault: telemetry, health and the log report it.
func (r *running) checkReader(now time.Duration) {
	c := &r.reader
	was, err := c.trouble.Load(), c.device.Healthy()
	if err == nil {
		if was != nil {
			r.logger.Info("card reader answers again", slog.Duration("delay", now-was.since))
		}
		c.failing = 0
		c.trouble.Store(nil)
		return
	}
	if c.failing == 0 {
		c.failing = now
	}
	if now-c.failing < readerLasts {
		return
	}
	reason := wire.Cut(strings.ToValidUTF8(err.Error(), ""), wire.MaxReaderTrouble)
	if was == nil {
		r.logger.Warn("card reader does not answer", logs.Err(err))
	}
	c.trouble.Store(&readerTrouble{c.failing, reason})
}
