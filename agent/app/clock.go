package app

import (
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
)

// releaseYear is the year before which no clock of this agent can be right.
const releaseYear = 2026

// clock is the charging point's: monotonic since the boot, and the wall clock
// with how far it can be trusted. Its methods may be called concurrently.
type clock struct {
	started time.Time
	source  func() (time.Time, charge.ClockQuality)

	mu sync.Mutex
	// mu guards everything that follows.
	fromCentral bool          // Central gave the time, as nobody else had
	offset      time.Duration // to be added then
}

func newClock(read func() (time.Time, charge.ClockQuality)) *clock {
	if read == nil {
		read = systemClock
	}
	return &clock{started: time.Now(), source: read}
}

// systemClock trusts the kernel where it says that NTP keeps the clock.
func systemClock() (time.Time, charge.ClockQuality) {
	now := time.Now()
	switch {
	case now.Year() < releaseYear:
		return now, charge.ClockUnset
	case kernelSynced():
		return now, charge.ClockSynced
	}
	return now, charge.ClockSet
}

// at is the time since the boot.
func (c *clock) at() time.Duration { return time.Since(c.started) }

// wall is the wall clock.
func (c *clock) wall() (charge.Time, charge.ClockQuality) {
	now, quality := c.source()
	c.mu.Lock()
	defer c.mu.Unlock()
	if quality == charge.ClockUnset && c.fromCentral {
		now, quality = now.Add(c.offset), charge.ClockSet
	}
	return max(charge.At(now), 0), quality
}

// now is the time of an event.
func (c *clock) now() connector.Now {
	wall, quality := c.wall()
	return connector.Now{At: c.at(), Wall: wall, Clock: quality}
}

// setFromCentral takes Central's time, which is better than none.
func (c *clock) setFromCentral(central charge.Time) {
	now, quality := c.source()
	if quality != charge.ClockUnset {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fromCentral, c.offset = true, central.Std().Sub(now)
}
