package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// errNoMosquitto is returned where the program is not installed.
var errNoMosquitto = errors.New("there is no mosquitto; apt-get install mosquitto")

// mosquitto is a Mosquitto process on a free port of loopback.
type mosquitto struct {
	url string
	cmd *exec.Cmd
}

// startMosquitto starts a broker with its configuration in dir, and waits until
// it listens. Its queues are large enough not to drop messages.
func startMosquitto(ctx context.Context, program, dir string) (*mosquitto, error) {
	program, err := findMosquitto(program)
	if err != nil {
		return nil, err
	}
	addr, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	// Without persistence, as the embedded broker: disks are not what is
	// measured. Its queues hold all that publishers may have in flight.
	lines := []string{
		"listener " + port + " " + host, "allow_anonymous true", "persistence false", "max_inflight_messages 1000",
		"max_queued_messages 1000000", "max_queued_bytes 500000000", "max_packet_size 69632", "log_dest none", "",
	}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		return nil, err
	}
	// The context does not end the broker: stop does, after its clients have
	// gone.
	m := &mosquitto{url: "tcp://" + addr, cmd: exec.Command(program, "-c", conf)} //nolint:noctx // stop ends it and waits for it
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start mosquitto: %w", err)
	}
	if err := awaitListening(ctx, addr); err != nil {
		return nil, errors.Join(fmt.Errorf("mosquitto: %w", err), m.stop())
	}
	return m, nil
}

// findMosquitto searches for the program, unless a path is given.
func findMosquitto(program string) (string, error) {
	candidates := []string{program}
	if program == "" { // Debian installs daemons outside the PATH of ordinary users
		candidates = []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"}
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return path, nil
		}
	}
	return "", errNoMosquitto
}

func (m *mosquitto) stop() error { return terminate(m.cmd) }

// terminate ends a child process with SIGTERM, after dialTimeout with SIGKILL,
// and waits for it.
func terminate(cmd *exec.Cmd) error {
	// A process that ignores SIGTERM must not outlive the measurement.
	kill := time.AfterFunc(dialTimeout, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", cmd.Process.Pid, err)
	}
	// A process that was ended by a signal has an exit error, which is no failure.
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// freePort returns an address of loopback with no listener.
func freePort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitListening waits until a connection to addr succeeds.
func awaitListening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no listener at %s: %w", addr, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
