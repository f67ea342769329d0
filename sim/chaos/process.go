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

// Process is a program that can be started, killed, suspended and started
// again. The output of all its runs is appended to one log file. Its methods
// are safe for concurrent use.
type Process struct {
	Name string   // for messages
	Path string   // of the program
	Args []string // of each run
	Env  []string // added to the environment of this process
	Dir  string   // working folder; "" is this process's
	Log  string   // path of the log file
	// Crash is the file that arms a crash point (internal/crashpoint), in a
	// build that has them; "" for other programs.
	Crash string

	mu     sync.Mutex
	run    *run // mu guards it and starts; nil before the first start
	starts int
}

// run is one run of the program.
type run struct {
	process *os.Process
	ended   chan struct{} // closed when the process was reaped
	err     error         // of Wait; set before ended is closed
}

// ErrNotRunning is returned by methods that need a running process.
var ErrNotRunning = errors.New("not running")

// Start starts the program and waits for its end in the background. The end of
// ctx does not end the program. It is an error if the program runs.
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
	defer func() { _ = out.Close() }() // the program has its own descriptor
	p.starts++
	// A line between the runs, to find the start that belongs to a fault in the
	// log.
	_, _ = fmt.Fprintf(out, "--- start %d of %s at %s\n", p.starts, p.Name, time.Now().Format(time.RFC3339Nano))
	// The context does not end the process: faults and Stop do.
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

// current returns the present run, or ErrNotRunning.
func (p *Process) current() (*run, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.run.alive() {
		return nil, fmt.Errorf("%s: %w", p.Name, ErrNotRunning)
	}
	return p.run, nil
}

// Alive reports whether the program runs, suspended or not.
func (p *Process) Alive() bool {
	_, err := p.current()
	return err == nil
}

// Starts is the number of starts.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Kill ends the program with SIGKILL, as a power cut would, and waits for its
// end. It returns a time at which the program had surely ended.
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

// freezeTimeout limits the wait until all threads are stopped, which takes
// milliseconds.
const freezeTimeout = 5 * time.Second

// Arm makes the program kill itself the next time that it passes the crash
// point.
func (p *Process) Arm(point string) error {
	if err := os.WriteFile(p.Crash, []byte(point), 0o600); err != nil {
		return fmt.Errorf("arm %s: %w", p.Name, err)
	}
	return nil
}

// Freeze suspends the program (SIGSTOP) and returns a time at which all its
// threads were surely stopped: on a loaded machine they run on for a while
// after the signal.
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

// Thaw resumes a suspended program (SIGCONT).
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

// Stop ends the program with SIGTERM, after limit with SIGKILL, which is an
// error. A suspended program is resumed. It does nothing if the program does
// not run.
func (p *Process) Stop(limit time.Duration) error {
	l, err := p.current()
	if err != nil {
		return nil // it has ended already
	}
	// SIGTERM first: a suspended process handles it as soon as SIGCONT resumes
	// it.
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
	_ = l.process.Kill() // an error means that it has ended
	<-l.ended
	return fmt.Errorf("%s did not end within %v of SIGTERM; killed", p.Name, limit)
}

// tailBytes is how much of a log Tail returns.
const tailBytes = 4 << 10

// Tail returns the end of the log, or why it cannot be read.
func (p *Process) Tail() string {
	f, err := os.Open(p.Log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd) // on an error it is read from the start
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(raw))
}
