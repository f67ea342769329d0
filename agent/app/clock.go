package app

import (
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
)

// releaseYear is the year of this agent: an earlier date means that the clock was
// never set.
const releaseYear = 2026

// clock is the charging point's clock: the monotonic time since the boot, and
// the wall clock with its quality. Durations and deadlines use the monotonic
// time only. Its methods may be called concurrently.
type clock struct {
	started time.Time
	source  func() (time.Time, charge.ClockQuality)

	mu sync.Mutex
	// mu guards everything that follows.
	fromCentral bool          // the system's clock is not set; Central's time is used
	offset      time.Duration // Central's time less the system's, then
}

// newClock starts the monotonic time at 0, now. read is the wall clock; nil means
// that of the system.
func newClock(read func() (time.Time, charge.ClockQuality)) *clock {
	if read == nil {
		read = systemClock
	}
	return &clock{started: time.Now(), source: read}
}

// systemClock is the clock of the machine. It is synced if the kernel reports
// that NTP disciplines it.
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

// wall is the wall clock and its quality. With Central's time it counts as set,
// not as synced: how long the message took is not known.
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

// setFromCentral sets the wall clock by Central's, unless the machine has a time
// of its own.
func (c *clock) setFromCentral(central charge.Time) {
	now, quality := c.source()
	if quality != charge.ClockUnset {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fromCentral, c.offset = true, central.Std().Sub(now)
}
