package bench

import (
	"os"
	"strings"
	"syscall"
	"time"
)

// cpuTime is the CPU time of this process so far; 0 if the system does not
// provide it. On a shared machine it means more than the wall clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loadAverage is the machine's load average of the last minute; "" if the
// system does not provide it.
func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	load, _, _ := strings.Cut(string(raw), " ")
	return load
}
