package board

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// version is that of the protocol. Both sides are built from one source, so any
// other version is refused.
const version = 3

// Sizes and times of the protocol.
const (
	maxRequest  = 64 << 10
	maxReply    = 64 << 20
	period      = 10 * time.Millisecond  // of the states
	silence     = 500 * time.Millisecond // after it the connection is closed
	callLimit   = 2 * time.Second        // of a call without a context of its own
	redialEvery = 100 * time.Millisecond
)

// The commands of a control connection. limit and light have a value.
const (
	opClose    byte = 'C'
	opOpen     byte = 'O'
	opOpenAll  byte = 'A'
	opKick     byte = 'K'
	opOffer    byte = 'P'
	opWithdraw byte = 'W'
	opLimit    byte = 'I'
	opLock     byte = 'L'
	opUnlock   byte = 'U'
	opLight    byte = 'D'
	opPet      byte = 'G'
	opDisarm   byte = 'H'
)

// commandSize is the length of a command.
const commandSize = 8

// What the board sends on a control connection begins with its kind and its time.
const (
	markState byte = 'S'
	markToken byte = 'T'
	markPress byte = 'B'
	headSize       = 1 + 8

	// heldBit of the number of a connector: its button is held.
	heldBit byte = 0x80
)

// A state has two bytes of the board and some per connector: contact, pilot, trip,
// lock, cable, and the temperature in the last four. unreadable is the value of an
// input that could not be read.
const (
	atStop    = headSize
	atReader  = headSize + 1
	stateHead = headSize + 2

	atContact = 0
	atPilot   = 1
	atTrip    = 2
	atLock    = 3
	atCable   = 4
	atHeat    = 5
	perOutlet = atHeat + 4

	unreadable     byte  = 255
	unreadableHeat int32 = math.MinInt32
)

// stateSize is the length of a state.
func stateSize(connectors int) int { return stateHead + perOutlet*connectors }

// request begins every connection.
type request struct {
	V         int                `json:"v"`
	Op        string             `json:"op"`
	Connector charge.ConnectorID `json:"connector,omitempty"`
	Fault     charge.Fault       `json:"fault,omitempty"`

	UID     string              `json:"uid,omitempty"`
	Defect  sim.Defect          `json:"defect,omitempty"`
	Ambient charge.MilliCelsius `json:"ambient_mc,omitempty"`
	Time    time.Time           `json:"time,omitzero"`
}

// reply is the answer to a request: an error with its kind, or what was asked.
type reply struct {
	Error    string        `json:"error,omitempty"`
	Kind     string        `json:"kind,omitempty"`
	Info     *info         `json:"info,omitempty"`
	Reading  *hal.Reading  `json:"reading,omitempty"`
	At       time.Duration `json:"at_ns,omitempty"` // of the reading, on the clock of the states
	Identity *hal.Identity `json:"identity,omitempty"`
	Snapshot *sim.Snapshot `json:"snapshot,omitempty"`
	Time     time.Time     `json:"time,omitzero"`
}

// info is the description of a board, which never changes.
type info struct {
	hal.Info
	EStop    bool
	Feedback bool
	Meter    bool
	Keeper   time.Duration // 0: not fitted
	Watchdog time.Duration // 0: not fitted
	Clock    bool
	Reader   bool
	Panel    bool

	Lock        bool
	Proximity   bool
	GroundFault bool
	Sensors     string // of temperature, separated by commas; empty: not fitted
}

// errorKinds are the errors that callers test with errors.Is, by their names in a
// reply.
func errorKinds() map[string]error {
	return map[string]error{
		"not_fitted": hal.ErrNotFitted,
		"unreadable": hal.ErrUnreadable,
		"closed":     hal.ErrClosed,
		"plugged":    sim.ErrPlugged,
		"unplugged":  sim.ErrUnplugged,
		"busy":       ErrBusy,
	}
}

// ErrBusy means that another agent controls the board.
var ErrBusy = errors.New("another agent controls the board")

// remoteError is an error of the board, with the sentinel it wraps there.
// It is made from a reply, and errors.Is works with it as in the board's process.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// failure is the reply for an error.
func failure(err error) reply {
	r := reply{Error: err.Error()}
	for kind, sentinel := range errorKinds() {
		if errors.Is(err, sentinel) {
			r.Kind = kind
		}
	}
	return r
}

// err is the error of a reply as one that errors.Is recognises; nil without one.
func (r *reply) err() error {
	if r.Error == "" {
		return nil
	}
	return &remoteError{text: r.Error, kind: errorKinds()[r.Kind]}
}

// writeJSON writes a value behind its length, in one write.
func writeJSON(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// readJSON reads what writeJSON wrote, of at most limit bytes.
func readJSON(r io.Reader, limit uint32, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	// The length comes from the other side: it is checked before memory is allocated.
	if size > limit {
		return fmt.Errorf("length %d is above %d", size, limit)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// Dialer opens a connection to a board.
type Dialer func(context.Context) (net.Conn, error)

// Unix dials the board at the path of its socket.
func Unix(path string) Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// call makes one connection for one request. It ends with ctx.
func call(ctx context.Context, dial Dialer, q request) (reply, error) {
	conn, err := dial(ctx)
	if err != nil {
		return reply{}, unreachable(ctx, "dial", err)
	}
	defer func() { _ = conn.Close() }() // the reply has been read: nothing to lose
	r, err := ask(ctx, conn, q)
	if err != nil {
		return reply{}, err
	}
	return r, r.err()
}

// ask sends the request that begins a connection and reads its reply.
func ask(ctx context.Context, conn net.Conn, q request) (reply, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	q.V = version
	if err := writeJSON(conn, q); err != nil {
		return reply{}, unreachable(ctx, q.Op, err)
	}
	var r reply
	if err := readJSON(conn, maxReply, &r); err != nil {
		return reply{}, unreachable(ctx, q.Op, err)
	}
	return r, nil
}

// unreachable is the error of a board that does not answer: that of the context
// if it has ended, otherwise hal.ErrUnreadable, so that the caller retries.
func unreachable(ctx context.Context, what string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("board: %s: %w", what, cause)
	}
	return fmt.Errorf("board: %s: %w: %w", what, hal.ErrUnreadable, err)
}
