//go:build linux

// Command init is the first process of the emulated Raspberry Pi (sim/pi). It
// stands for the operating system of a real one: it loads drivers, mounts the
// card, brings up the network and supervises the agent, as systemd does with
// Restart=always and an ExecStopPost that opens the contactors.
//
// It belongs to the test and is never installed. The agent beside it is the
// binary that is flashed.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/carga-ev/carga/sim/pi"
)

// restartDelay is the pause before an agent that has ended is started again, as
// RestartSec of a unit.
const restartDelay = time.Second

// limit bounds each wait for a device of this machine.
const limit = 30 * time.Second

// main boots and then supervises the agent until the power button is pressed.
// What cannot be done is reported on the console, and the machine goes off.
func main() {
	if err := boot(); err != nil {
		report("boot: %v", err)
	} else if err := runCommands(os.Args[1:]); err != nil {
		report("commands: %v", err)
	} else if err := supervise(); err != nil {
		report("supervise: %v", err)
	}
	powerOff()
}

// report prints a line on the console, with the time since the kernel started.
func report(format string, args ...any) {
	up, _ := os.ReadFile("/proc/uptime") // empty before /proc is mounted
	seconds, _, _ := strings.Cut(string(up), " ")
	fmt.Printf("%s %s %s\n", pi.ConsolePrefix, seconds, fmt.Sprintf(format, args...))
}

// boot prepares the machine for the agent.
func boot() error {
	for _, m := range []struct{ kind, dir string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	report("started")
	// The header's serial port has this name on Raspberry Pi OS.
	if err := os.Symlink("ttyS1", "/dev/serial0"); err != nil {
		return err
	}
	if err := loadModules(pi.ModuleDir); err != nil {
		return err
	}
	if err := mountCard("/dev/mmcblk0", pi.DataDir); err != nil {
		return err
	}
	report("card mounted")
	if err := bringUp("lo", [4]byte{127, 0, 0, 1}, [4]byte{255, 0, 0, 0}); err != nil {
		return err
	}
	name, err := awaitInterface()
	if err != nil {
		return err
	}
	if err := bringUp(name, [4]byte{10, 0, 2, 15}, [4]byte{255, 255, 255, 0}); err != nil {
		return err
	}
	if err := routeBy([4]byte{10, 0, 2, 2}); err != nil {
		return err
	}
	report("network up: %s", name)
	return nil
}

// await calls look until it reports true.
func await(what string, look func() bool) error {
	for end := time.Now().Add(limit); !look(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v", what, limit)
		}
	}
	return nil
}

// loadModules loads the drivers in dir in the order of their names.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		none, err := syscall.BytePtrFromString("")
		if err != nil {
			return err
		}
		errno := finitModule(f, none)
		_ = f.Close() // it was only read
		if errno != 0 && errno != syscall.EEXIST {
			return fmt.Errorf("load %s: %w", path, errno)
		}
	}
	return nil
}

// mountCard waits for the card and mounts it.
func mountCard(device, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := await(device, func() bool { _, err := os.Stat(device); return err == nil })
	if err != nil {
		return err
	}
	if err := syscall.Mount(device, dir, "ext4", syscall.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

// runCommands runs commands of the agent that switch the hardware, and reports how
// each ended.
func runCommands(names []string) error {
	for _, name := range names {
		cmd := exec.Command(pi.AgentFile, name, "--config", pi.ConfigFile, "--switch") //nolint:noctx // the outside has a limit
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("yes\n"), os.Stdout, os.Stderr
		if err := cmd.Run(); cmd.ProcessState == nil {
			return err
		}
		report("%s ended: %v", name, cmd.ProcessState)
	}
	return nil
}

// supervise starts the agent again whenever it has ended, and opens the contactors
// in between, as ExecStopPost of a unit does. It returns when the power button was pressed and the agent has
// stopped.
func supervise() error {
	kill, err := requestButton(pi.KillButton)
	if err != nil {
		return err
	}
	power, err := requestButton(pi.PowerButton)
	if err != nil {
		return err
	}
	for {
		off, err := runAgent(kill, power)
		if err != nil {
			report("agent: %v", err)
		}
		open := exec.Command(pi.AgentFile, "safe-state", "--config", pi.ConfigFile) //nolint:noctx // the agent's own limit
		open.Stdout, open.Stderr = os.Stdout, os.Stderr
		if err := open.Run(); err != nil {
			return fmt.Errorf("safe-state: %w", err)
		}
		report("contactors open")
		if off {
			return nil
		}
		time.Sleep(restartDelay)
	}
}

// buttonInterval is the time between two looks at the buttons.
const buttonInterval = 5 * time.Millisecond

// memoryInterval is the time between two reports of the agent's memory.
const memoryInterval = 2 * time.Second

// runAgent runs the agent until it ends. The kill button ends it with SIGKILL,
// the power button with SIGTERM: then off is true.
func runAgent(kill, power *button) (off bool, err error) {
	agent := exec.Command(pi.AgentFile, "--config", pi.ConfigFile) //nolint:noctx // the buttons end it
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	if err := agent.Start(); err != nil {
		return false, err
	}
	report("agent started")
	ended := make(chan struct{})
	go func() {
		_ = agent.Wait() // the result is in ProcessState
		close(ended)
	}()
	buttons, memory := time.NewTicker(buttonInterval), time.NewTicker(memoryInterval)
	defer buttons.Stop()
	defer memory.Stop()
	peak := ""
	for {
		select {
		case <-ended:
			report("agent ended: %v", agent.ProcessState)
			return off, nil
		case <-memory.C:
			if now := peakMemory(agent.Process.Pid); now != peak {
				peak = now
				report("%s %s", pi.MemoryLine, peak)
			}
		case <-buttons.C:
			if pressed, err := kill.pressed(); err != nil {
				return true, err
			} else if pressed {
				report("kill -9 agent")
				_ = agent.Process.Kill() // an error means that it has ended
			}
			if pressed, err := power.pressed(); err != nil {
				return true, err
			} else if pressed {
				off = true
				for _, line := range controlMetrics() {
					report("%s", line)
				}
				report("stop agent")
				_ = agent.Process.Signal(syscall.SIGTERM) // likewise
			}
		}
	}
}

// peakMemory is the largest resident memory that a process has had, such as
// "14000 kB"; "unknown" of one that has ended.
func peakMemory(pid int) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "unknown"
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			return string(bytes.TrimSpace(value))
		}
	}
	return "unknown"
}

// controlMetrics are the lines of the agent's metrics about its control loop.
func controlMetrics() (lines []string) {
	client := http.Client{Timeout: limit}
	answer, err := client.Get("http://" + pi.ObserveAddress + "/metrics") //nolint:noctx // the client has a limit
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	all := bufio.NewScanner(answer.Body)
	for all.Scan() {
		if strings.HasPrefix(all.Text(), pi.ControlMetrics) {
			lines = append(lines, all.Text())
		}
	}
	if err := all.Err(); err != nil {
		lines = append(lines, err.Error())
	}
	return lines
}

// powerOff writes everything to the card and switches the machine off.
func powerOff() {
	syscall.Sync()
	if err := syscall.Unmount(pi.DataDir, 0); err != nil {
		report("unmount: %v", err)
	}
	report("power off")
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		report("power off: %v", err)
	}
	select {} // the end of the first process would be a panic of the kernel
}
