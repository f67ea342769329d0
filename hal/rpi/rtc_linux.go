package rpi

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carga-ev/carga/hal"
)

// rtc is a clock with a battery, as the kernel presents it. It holds UTC.
type rtc struct{ device string }

var _ hal.Clock = rtc{}

// Now implements hal.Clock. A driver that knows no voltage is believed.
func (c rtc) Now() (time.Time, error) {
	f, err := os.Open(c.device)
	if err != nil {
		return time.Time{}, fmt.Errorf("rpi: clock: %w: %w", hal.ErrUnreadable, err)
	}
	defer func() { _ = f.Close() }()
	fd := int(f.Fd())
	if low, err := unix.IoctlGetInt(fd, unix.RTC_VL_READ); err == nil && low != 0 {
		return time.Time{}, fmt.Errorf("rpi: clock %s: %w: it lost its time; check its battery", c.device, hal.ErrUnreadable)
	}
	t, err := unix.IoctlGetRTCTime(fd)
	if err != nil {
		return time.Time{}, fmt.Errorf("rpi: clock %s: %w: %w", c.device, hal.ErrUnreadable, err)
	}
	return fromRTC(t), nil
}

// Set implements hal.Clock.
func (c rtc) Set(to time.Time) error {
	f, err := os.OpenFile(c.device, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("rpi: clock: %w", err)
	}
	if err := errors.Join(unix.IoctlSetRTCTime(int(f.Fd()), toRTC(to)), f.Close()); err != nil {
		return fmt.Errorf("rpi: clock %s: set: %w", c.device, err)
	}
	return nil
}

// fromRTC and toRTC convert between the two forms of UTC: the kernel counts months
// from 0, years from 1900, days of the year from 0.
func fromRTC(t *unix.RTCTime) time.Time {
	return time.Date(int(t.Year)+1900, time.Month(t.Mon+1), int(t.Mday), int(t.Hour), int(t.Min), int(t.Sec), 0, time.UTC)
}

func toRTC(t time.Time) *unix.RTCTime {
	t = t.UTC()
	return &unix.RTCTime{
		Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()),
		Mday: int32(t.Day()), Mon: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900,
		Wday: int32(t.Weekday()), Yday: int32(t.YearDay()) - 1,
	}
}

// openWatchdog arms a watchdog of the kernel. A timeout that the device does not
// accept is an error, after the device was stopped again.
func openWatchdog(device string, timeout time.Duration) (Countdown, error) {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	err = unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, int(timeout/time.Second))
	seconds, readErr := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	if err == nil && readErr == nil && time.Duration(seconds)*time.Second == timeout {
		return f, nil
	}
	_, stopErr := f.Write([]byte{'V'})
	return nil, errors.Join(fmt.Errorf("%v is refused (it has %d s); set another watchdog.timeout", timeout, seconds), err, readErr, stopErr, f.Close())
}
