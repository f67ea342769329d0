package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// Row is one connector in the stream.
type Row struct {
	Index     int         `json:"i"`
	CPID      charge.CPID `json:"cp_id"`
	Name      string      `json:"name,omitempty"`
	Admitted  bool        `json:"admitted"`
	Simulated bool        `json:"simulated"`
	Link      string      `json:"link"`
	Alarm     string      `json:"alarm,omitempty"`
	Reader    string      `json:"reader_trouble,omitempty"`
	view.Connector
}

// Change is one thing that changed: a connector's state, or a fact.
type Change struct {
	At   charge.Time `json:"at"`
	Row  *Row        `json:"state,omitempty"`
	Fact *view.Fact  `json:"fact,omitempty"`
}

// The limits of a stream. A Central that is there sends something each second.
const (
	silence   = 15 * time.Second
	reconnect = 2 * time.Second
)

// Watch calls visit for the state of each connector, and then for each change, until
// ctx ends, which is no error, or visit returns an error. While Central does not
// answer it calls lost with the reason, once, and tries again; it continues where it
// was.
func (c *Client) Watch(ctx context.Context, visit func(Change) error, lost func(error)) error {
	last, reported := "", false
	for ctx.Err() == nil {
		err := c.watchOnce(ctx, &last, func(ch Change) error {
			reported = false
			return visit(ch)
		})
		unreachable, ok := errors.AsType[*UnreachableError](err)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx ends the stream
		case !ok:
			return err
		case !reported:
			reported = true
			lost(unreachable)
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnect):
		}
	}
	return nil
}

// watchOnce reads the stream until it breaks. last is the id of the last event.
func (c *Client) watchOnce(ctx context.Context, last *string, visit func(Change) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing received for %s", silence)) })
	defer alive.Stop()
	req, err := c.request(ctx, http.MethodGet, "stream", nil, nil)
	if err != nil {
		return err
	}
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // what it has decides what it is
		return c.refusal(resp, raw)
	}
	lines, id, data := bufio.NewReader(resp.Body), "", ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return c.failed(ctx, err)
		}
		alive.Reset(silence)
		switch name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); name {
		case "id":
			id = value
		case "data":
			data = value
		case "": // the end of an event
			if err := frame(data, visit); err != nil {
				return err
			}
			if data != "" {
				*last = id
			}
			data = ""
		}
	}
}

// frame visits what is in the data of an event.
func frame(data string, visit func(Change) error) error {
	if !strings.HasPrefix(data, "{") {
		return nil // a comment, or the end of the stream
	}
	var f struct {
		At    charge.Time `json:"at"`
		Rows  []Row       `json:"rows"`
		Facts []view.Fact `json:"facts"`
	}
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		return fmt.Errorf("the stream cannot be read by this version: %w", err)
	}
	for i := range f.Rows {
		if err := visit(Change{At: f.At, Row: &f.Rows[i]}); err != nil {
			return err
		}
	}
	for i := range f.Facts {
		if err := visit(Change{At: f.Facts[i].At, Fact: &f.Facts[i]}); err != nil {
			return err
		}
	}
	return nil
}
