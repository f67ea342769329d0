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

// errNoMosquitto says that the program is not there.
var errNoMosquitto = errors.New("there is no mosquitto; apt-get install mosquitto")

// mosquitto is a broker in a process of its own, on a port of loopback.
type mosquitto struct {
	url string
	cmd *exec.Cmd
}

// startMosquitto starts one and waits until it listens. Its files are in dir.
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
	lines := []string{
		"listener " + port + " " + host, "allow_anonymous true", "persistence false", "max_inflight_messages 1000",
		"max_queued_messages 1000000", "max_queued_bytes 500000000", "max_packet_size 69632", "log_dest none", "",
	}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		return nil, err
	}
	m := &mosquitto{url: "tcp://" + addr, cmd: exec.Command(program, "-c", conf)} //nolint:noctx // it is ended by stop, which waits for it
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start mosquitto: %w", err)
	}
	if err := awaitListening(ctx, addr); err != nil {
		return nil, errors.Join(fmt.Errorf("mosquitto: %w", err), m.stop())
	}
	return m, nil
}

func findMosquitto(program string) (string, error) {
	candidates := []string{program}
	if program == "" { // Debian keeps daemons where the PATH of ordinary users does not look
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

// terminate ends a process of ours by its id and waits for it.
func terminate(cmd *exec.Cmd) error {
	kill := time.AfterFunc(dialTimeout, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", cmd.Process.Pid, err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// freePort finds an address of loopback that nobody listens on.
func freePort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

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
			return fmt.Errorf("nobody listens at %s: %w", addr, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
