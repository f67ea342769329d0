//go:build !linux

package rpi

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/hal"
)

// rtc exists on Linux only.
type rtc struct{ device string }

var _ hal.Clock = rtc{}

// Now implements hal.Clock.
func (rtc) Now() (time.Time, error) { return time.Time{}, errors.ErrUnsupported }

// Set implements hal.Clock.
func (rtc) Set(time.Time) error { return errors.ErrUnsupported }
