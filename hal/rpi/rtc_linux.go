package rpi

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/carga-ev/carga/hal"
)

// rtc is a clock with a battery, as the kernel presents it. It holds UTC.
type rtc struct{ device string }

var _ hal.Clock = rtc{}

// rtcTime is struct rtc_time of linux/rtc.h: months from 0, years from 1900.
type rtcTime struct {
	sec, min, hour, day, month, year, weekday, yearday, dst int32
}

// The requests of linux/rtc.h and linux/watchdog.h.
const (
	rtcRead       = 0x80247009
	rtcSet        = 0x4024700a
	rtcVoltageLow = 0x80047013
	wdSetTimeout  = 0xc0045706
)

// ioctl calls ioctl(2).
func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// Now implements hal.Clock. A driver that knows no voltage is believed.
func (c rtc) Now() (time.Time, error) {
	f, err := os.Open(c.device)
	if err != nil {
		return time.Time{}, fmt.Errorf("rpi: clock: %w: %w", hal.ErrUnreadable, err)
	}
	defer func() { _ = f.Close() }()
	var low int32
	if ioctl(f, rtcVoltageLow, unsafe.Pointer(&low)) == nil && low != 0 {
		return time.Time{}, fmt.Errorf("rpi: clock %s: %w: it lost its time; check its battery", c.device, hal.ErrUnreadable)
	}
	var t rtcTime
	if err := ioctl(f, rtcRead, unsafe.Pointer(&t)); err != nil {
		return time.Time{}, fmt.Errorf("rpi: clock %s: %w: %w", c.device, hal.ErrUnreadable, err)
	}
	return time.Date(int(t.year)+1900, time.Month(t.month+1), int(t.day), int(t.hour), int(t.min), int(t.sec), 0, time.UTC), nil
}

// Set implements hal.Clock.
func (c rtc) Set(to time.Time) error {
	f, err := os.OpenFile(c.device, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("rpi: clock: %w", err)
	}
	u := to.UTC()
	t := rtcTime{
		sec: int32(u.Second()), min: int32(u.Minute()), hour: int32(u.Hour()),
		day: int32(u.Day()), month: int32(u.Month()) - 1, year: int32(u.Year()) - 1900,
		weekday: int32(u.Weekday()), yearday: int32(u.YearDay()) - 1,
	}
	if err := errors.Join(ioctl(f, rtcSet, unsafe.Pointer(&t)), f.Close()); err != nil {
		return fmt.Errorf("rpi: clock %s: set: %w", c.device, err)
	}
	return nil
}

// openWatchdog arms a watchdog of the kernel.
func openWatchdog(device string, timeout time.Duration) (Countdown, error) {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	seconds := int32(timeout / time.Second)
	if err := ioctl(f, wdSetTimeout, unsafe.Pointer(&seconds)); err != nil || time.Duration(seconds)*time.Second != timeout {
		_, _ = f.Write([]byte{'V'})
		return nil, errors.Join(fmt.Errorf("a timeout of %v is refused (it has %d s); use a shorter one: %w", timeout, seconds, err), f.Close())
	}
	return f, nil
}
