package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that can be started, killed, frozen and started again.
// What it writes goes to one log file over all its lives. Its methods are safe
// for concurrent use.
type Process struct {
	Name string   // for people and for the log's name
	Path string   // of the program
	Args []string // of each life
	Env  []string // over this process's own environment
	Dir  string   // working folder; "" is this process's
	Log  string   // path of the log file
	// Crash is the file that arms a crash point (internal/crashpoint) in a build
	// that has them; "" for programs of others.
	Crash string

	mu     sync.Mutex
	run    *run // mu guards it; nil before the first start and after an end that was waited for
	starts int
}

// run is one run of the program.
type run struct {
	process *os.Process
	ended   chan struct{} // closed when it is gone and reaped
	err     error         // of the end; set before ended is closed
}

// ErrNotRunning says that there is nothing to signal.
var ErrNotRunning = errors.New("not running")

// Start starts the program, whose end is awaited in the background; ctx does not
// end it. A program that runs already is an error.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && p.run.alive() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o750); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = out.Close() }() // the program has its own copy
	p.starts++
	_, _ = fmt.Fprintf(out, "--- start %d of %s at %s\n", p.starts, p.Name, time.Now().Format(time.RFC3339Nano))
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.Path, p.Args...)
	cmd.Env = append(os.Environ(), p.Env...)
	if p.Crash != "" {
		cmd.Env = append(cmd.Env, "CARGA_CRASH_FILE="+p.Crash)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, out, out
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	l := &run{process: cmd.Process, ended: make(chan struct{})}
	p.run = l
	go func() {
		l.err = cmd.Wait()
		close(l.ended)
	}()
	return nil
}

func (l *run) alive() bool {
	select {
	case <-l.ended:
		return false
	default:
		return true
	}
}

// current is the life that can be signalled.
func (p *Process) current() (*run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.run.alive() {
		return nil, fmt.Errorf("%s: %w", p.Name, ErrNotRunning)
	}
	return p.run, nil
}

// Alive reports whether the program runs, frozen or not.
func (p *Process) Alive() bool {
	_, err := p.current()
	return err == nil
}

// Starts is how often it was started.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Kill ends the program as a power cut would (SIGKILL) and waits until it is
// gone. It returns the moment when it surely was.
func (p *Process) Kill() (time.Time, error) {
	l, err := p.current()
	if err != nil {
		return time.Time{}, err
	}
	if err := l.process.Kill(); err != nil {
		return time.Time{}, fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-l.ended
	return time.Now(), nil
}

// freezeTimeout is far more than a program needs to stand still.
const freezeTimeout = 5 * time.Second

// Arm lets the program kill itself at a crash point, the next time that it gets
// there.
func (p *Process) Arm(point string) error {
	if err := os.WriteFile(p.Crash, []byte(point), 0o600); err != nil {
		return fmt.Errorf("arm %s: %w", p.Name, err)
	}
	return nil
}

// Freeze stops the program in the middle of whatever it does (SIGSTOP), and
// returns the moment when it surely stood still: on a busy machine its threads
// go on for a while after the signal.
func (p *Process) Freeze() (time.Time, error) {
	l, err := p.current()
	if err != nil {
		return time.Time{}, err
	}
	if err := l.process.Signal(syscall.SIGSTOP); err != nil {
		return time.Time{}, fmt.Errorf("freeze %s: %w", p.Name, err)
	}
	for end := time.Now().Add(freezeTimeout); !allStopped(l.process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return time.Time{}, errors.Join(fmt.Errorf("%s does not stand still", p.Name), p.Thaw())
		}
	}
	return time.Now(), nil
}

// Thaw lets a frozen program go on (SIGCONT).
func (p *Process) Thaw() error {
	l, err := p.current()
	if err != nil {
		return err
	}
	if err := l.process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("thaw %s: %w", p.Name, err)
	}
	return nil
}

// Stop asks the program to end (SIGTERM) and waits; after limit it is killed,
// which is an error. What was frozen goes on first. Stopping what does not run
// does nothing.
func (p *Process) Stop(limit time.Duration) error {
	l, err := p.current()
	if err != nil {
		return nil // it has ended already, which is what was wanted
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT} {
		if err := l.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", p.Name, err)
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.ended:
		return nil
	case <-timer.C:
	}
	_ = l.process.Kill() // gone meanwhile, or gone now
	<-l.ended
	return fmt.Errorf("%s did not end within %v of SIGTERM; killed", p.Name, limit)
}

// tailBytes is how much of a log is shown when something went wrong.
const tailBytes = 4 << 10

// Tail is the end of the log.
func (p *Process) Tail() string {
	f, err := os.Open(p.Log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd) // from the start otherwise
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(raw))
}
