package app

import (
	"math"
	"syscall"
	"time"
)

// unsynced is STA_UNSYNC of adjtimex(2).
const unsynced = 0x40

// kernelSynced reports whether the kernel's clock is disciplined by NTP.
func kernelSynced() bool {
	var t syscall.Timex
	_, err := syscall.Adjtimex(&t)
	return err == nil && t.Status&unsynced == 0
}

// machineUptime is how long the computer has been running.
func machineUptime() time.Duration {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return math.MaxInt64
	}
	return time.Duration(info.Uptime) * time.Second
}
