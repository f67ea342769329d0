package pwm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// period is that of 1 kHz, in the nanoseconds of the kernel.
const period = 1_000_000

// OutputConfig is one channel of the kernel's PWM.
type OutputConfig struct {
	// Device is the chip by the end of its device link, such as "fe20c000.pwm", or
	// "1f00098000.pwm" on a Pi 5: the number of a pwmchip differs between kernels.
	// An empty one means the only chip there is.
	Device string
	// Channel is 0 for GPIO12 and GPIO18, 1 for GPIO13 and GPIO19.
	Channel int
	// Inverted: the amplifier makes -12 V of a high pin.
	Inverted bool
}

// classDir is where the kernel shows its PWM chips.
const classDir = "/sys/class/pwm"

// Output is one channel of the kernel's PWM.
type Output struct {
	dir      string // of the channel
	inverted bool

	mu     sync.Mutex // one write after another
	closed bool
}

// OpenOutput takes the channel and makes it steadily high, which offers nothing.
func OpenOutput(cfg OutputConfig) (*Output, error) { return openOutput(classDir, cfg) }

func openOutput(class string, cfg OutputConfig) (*Output, error) {
	chip, err := findChip(class, cfg.Device)
	if err != nil {
		return nil, fmt.Errorf("pwm: %w", err)
	}
	o := &Output{dir: filepath.Join(chip, "pwm"+strconv.Itoa(cfg.Channel)), inverted: cfg.Inverted}
	err = o.write(filepath.Join(chip, "export"), strconv.Itoa(cfg.Channel))
	if err != nil && !errors.Is(err, syscall.EBUSY) { // exported already: by the process before
		return nil, fmt.Errorf("pwm: channel %d: %w", cfg.Channel, err)
	}
	// A duty above the new period would be refused, so it is 0 for a moment.
	for _, set := range [][2]string{{"duty_cycle", "0"}, {"period", strconv.Itoa(period)}} {
		if err := o.write(filepath.Join(o.dir, set[0]), set[1]); err != nil {
			return nil, fmt.Errorf("pwm: %w", err)
		}
	}
	if err := o.Set(1000); err != nil {
		return nil, err
	}
	if err := o.write(filepath.Join(o.dir, "enable"), "1"); err != nil {
		return nil, fmt.Errorf("pwm: %w", err)
	}
	return o, nil
}

// findChip returns the folder of the chip with that device.
func findChip(class, device string) (string, error) {
	chips, err := filepath.Glob(filepath.Join(class, "pwmchip*"))
	if err != nil {
		return "", err
	}
	var match, seen []string
	for _, chip := range chips {
		target, err := os.Readlink(filepath.Join(chip, "device"))
		if err != nil {
			return "", err
		}
		seen = append(seen, filepath.Base(target))
		if device == "" || filepath.Base(target) == device {
			match = append(match, chip)
		}
	}
	switch {
	case len(chips) == 0:
		return "", fmt.Errorf("no PWM chip in %s: add dtoverlay=pwm or pwm-2chan to config.txt", class)
	case len(match) != 1:
		return "", fmt.Errorf("%d PWM chips are %q; name one of %s", len(match), device, strings.Join(seen, ", "))
	}
	return match[0], nil
}

// Set makes the pilot high for duty of each period: 1000 is +12 V without pauses.
func (o *Output) Set(duty charge.Permille) error {
	if duty < 0 || duty > 1000 {
		return fmt.Errorf("pwm: a duty of %d permille; use 0 to 1000", duty)
	}
	if o.inverted {
		duty = 1000 - duty
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fmt.Errorf("pwm: %s: %w", o.dir, fs.ErrClosed)
	}
	if err := o.write(filepath.Join(o.dir, "duty_cycle"), strconv.FormatInt(int64(duty)*period/1000, 10)); err != nil {
		return fmt.Errorf("pwm: %w", err)
	}
	return nil
}

// Close withdraws the offer. The channel stays exported and steadily high: a
// channel that is given back stops at a level that the kernel chooses.
func (o *Output) Close() error {
	err := o.Set(1000)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	return err
}

// grantWait is how long the files of a new channel may belong to root: a rule of
// the system gives them to the group a moment after the export.
const grantWait = time.Second

// write writes one value to a file of the kernel.
func (o *Output) write(name, value string) error {
	for end := time.Now().Add(grantWait); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
		if (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) && time.Now().Before(end) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.WriteString(value)
		return errors.Join(err, f.Close())
	}
}
