package environment_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"golang.org/x/sys/unix"
)

// person is a person at a terminal: the emulation answers the program's questions as
// terminals do.
type person struct {
	front, tty *os.File

	mu  sync.Mutex
	emu *vt.Emulator // mu guards it and what follows
	raw bytes.Buffer // all that the program wrote
}

// newPerson opens a terminal of a size.
func newPerson(t *testing.T, width, height int) *person {
	t.Helper()
	p := &person{emu: vt.NewEmulator(width, height)}
	p.front, p.tty = terminals(t)
	p.resize(t, width, height)
	var running sync.WaitGroup
	running.Go(func() { _, _ = io.Copy(p, p.front) })     // ends with the last program
	running.Go(func() { _, _ = io.Copy(p.front, p.emu) }) // ends with the emulation
	t.Cleanup(func() {
		_ = p.tty.Close()
		_ = p.front.Close()
		_ = p.emu.Close()
		running.Wait()
	})
	return p
}

// Write implements io.Writer: what the program writes.
func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw.Write(b)
	return p.emu.Write(b)
}

func (p *person) resize(t *testing.T, width, height int) {
	t.Helper()
	control(t, p.front, func(fd uintptr) error {
		return unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)})
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.emu.Resize(width, height)
}

// press presses keys.
func (p *person) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.front.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// sees is a look function for await: a line of the screen matches.
func (p *person) sees(line string) func(context.Context) error {
	wanted := regexp.MustCompile(line)
	return func(context.Context) error {
		p.mu.Lock()
		text := p.emu.String()
		p.mu.Unlock()
		for l := range strings.SplitSeq(text, "\n") {
			if wanted.MatchString(l) {
				return nil
			}
		}
		return fmt.Errorf("no line matches %s:\n%s", line, text)
	}
}

// await waits until a line of the screen matches, also after the program's end.
func (p *person) await(t *testing.T, line string) {
	t.Helper()
	look := p.sees(line)
	end := time.Now().Add(limit)
	for err := look(t.Context()); err != nil; err = look(t.Context()) {
		if time.Now().After(end) {
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// colour is a sequence that sets one of the eight colours.
var colour = regexp.MustCompile(`\x1b\[(\d+;)*3[0-7]m`)

// TestTheScreenOfAFleet: a person at a terminal plugs in a vehicle and sees it
// charge, also without colours and on a narrow terminal.
func TestTheScreenOfAFleet(t *testing.T) {
	for _, env := range []string{"TERM=xterm-256color", "NO_COLOR=1"} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			s := newFleet(t)
			s.args = append(s.args, "--cps", "12", "--free-vend")
			s.set("TERM=xterm-256color", env)
			user := newPerson(t, 90, 12)
			before, err := unix.IoctlGetTermios(int(user.tty.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			p := s.start(t, func(c *exec.Cmd) {
				c.Stdin, c.Stdout = user.tty, user.tty
				c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			})
			steps := []struct{ keys, line string }{
				{"", `^CP_0001 available +0\.0 +\d+ down`},
				{"jp", `^CP_0002 charging +[1-9]\d*\.\d +\d\.\d{3}`},
				{"f\r", `^CP_0002 faulted`},
				{"k", `^CP_0001: no vehicle`},
				{"/02\r", `1/1 with 02$`},
				{"ru", `^CP_0002 available`},
				{"t04A1B2C3\r", `^CP_0002: tap 04A1B2C3: done`},
				{"?", `^pgdown|hold a card`},
				{"x", `^CP_0002: no vehicle`},
			}
			for _, c := range steps {
				user.press(t, c.keys)
				p.await(t, "the screen after "+c.keys, user.sees(c.line))
			}
			user.resize(t, 40, 6)
			p.await(t, "a narrow screen", user.sees(`^ID +State +kW +kWh *$`))
			user.press(t, "q")
			p.awaitExit(t, 0)
			user.await(t, `stopped; 0/12 connected`)
			after, err := unix.IoctlGetTermios(int(user.tty.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal was left as %+v (%v), want %+v", after, err, before)
			}
			user.mu.Lock()
			defer user.mu.Unlock()
			if got, want := colour.Match(user.raw.Bytes()), !strings.HasPrefix(env, "NO_COLOR"); got != want {
				t.Errorf("colours: %t, want %t", got, want)
			}
		})
	}
}

// TestAFleetWithoutAScreen: with --plain a terminal gets lines, and typed lines
// operate a charging point.
func TestAFleetWithoutAScreen(t *testing.T) {
	s := newFleet(t)
	s.args = append(s.args, "--plain", "--free-vend")
	s.set("TERM=xterm-256color")
	user := newPerson(t, 120, 12)
	p := s.start(t, func(c *exec.Cmd) {
		c.Stdin, c.Stdout = user.tty, user.tty
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	p.await(t, "the totals", user.sees(`0/1 connected, 0 charging`))
	user.press(t, "CP_0001 plug\n")
	p.await(t, "the operation", user.sees(`done: CP_0001 plug`))
	p.await(t, "it charges", user.sees(`0/1 connected, 1 charging`))
	user.press(t, "\x03")
	p.awaitExit(t, 0)
}

// TestTheTerminalOfAScreenGoesAway: that is SIGHUP, so the fleet stops cleanly.
func TestTheTerminalOfAScreenGoesAway(t *testing.T) {
	s := newFleet(t)
	s.set("TERM=xterm-256color")
	user := newPerson(t, 90, 12)
	p := s.start(t, func(c *exec.Cmd) {
		c.Stdin, c.Stdout = user.tty, user.tty
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	p.await(t, "the screen", user.sees(`^CP_0001 available`))
	for _, side := range []*os.File{user.tty, user.front} {
		if err := side.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.awaitExit(t, 0)
}
