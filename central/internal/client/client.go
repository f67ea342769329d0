// Package client is a client of Central's API, for the commands of the command line
// that ask a running Central.
//
// An error is one of three: *UnreachableError if no answer came from Central,
// *RefusedError if Central refused, or the end of the context. A request that
// changes something has an Idempotency-Key and is sent again with it while Central
// does not answer, so that it has one effect.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxBody bounds an answer, in bytes: the whole network of 10 000 charging points
// has about 10 MB.
const maxBody = 64 << 20

// tries is how often a request is sent, and retryAfter the pause before the second;
// each further one is twice as long.
const (
	tries      = 3
	retryAfter = 500 * time.Millisecond
)

// answerTimeout is how long one request may take, beyond what Central waits for it.
const answerTimeout = 20 * time.Second

// Client sends requests to one Central. Its methods may be called concurrently.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New returns a client of the Central at address, such as http://127.0.0.1:8080 or
// https://ops.example/carga. token is its bearer token; "" sends none.
func New(address, token string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no address of a Central: want http://HOST:PORT or https://HOST, with the path below which it is served", address)
	}
	// A redirect could carry the token to another host.
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: u.JoinPath("api/v1/"), token: token, http: &http.Client{CheckRedirect: noRedirect}}, nil
}

// UnreachableError is the error of a request to which no Central answered.
type UnreachableError struct {
	Address string
	Err     error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("Central at %s does not answer: %v", e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError is the error of a request that Central refused. Kind is a stable
// word, see docs/PROBLEMS.md.
type RefusedError struct {
	Status int
	Kind   string
	Detail string
}

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("%s (%s)", e.Detail, e.Kind) }

// Get reads a resource into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.again(ctx, func() error { return c.send(ctx, http.MethodGet, path, query, nil, "", out) })
}

// Post orders something. Sent again, it has the same key.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	key := rand.Text()
	return c.again(ctx, func() error { return c.send(ctx, http.MethodPost, path, nil, raw, key, out) })
}

// again sends a request until there is an answer, tries times at most.
func (c *Client) again(ctx context.Context, send func() error) error {
	for n := 0; ; n++ {
		err := send()
		if _, unreachable := errors.AsType[*UnreachableError](err); !unreachable || n+1 == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryAfter << n):
		}
	}
}

// send sends a request once.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body []byte, key string, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout+waitOf(query), errors.New("no answer in time"))
	defer cancel()
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return c.failed(ctx, err)
	}
	if err := c.refusal(resp, raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return &UnreachableError{c.base.Host, fmt.Errorf("its answer is no JSON of this API: %w", err)}
	}
	return nil
}

// waitOf returns how long Central waits before it answers a request.
func waitOf(query url.Values) time.Duration {
	d, _ := time.ParseDuration(query.Get("wait")) // absent: 0
	return d
}

// request returns a request with its token.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Request, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// failed returns the error of a request without an answer. The end of the caller's
// context stays what it is.
func (c *Client) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	} else if cause != nil {
		err = cause
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, which is named beside it
	}
	return &UnreachableError{c.base.Host, err}
}

// refusal returns the error in an answer; nil if it is none. What a proxy answers in
// Central's place is no answer of Central.
func (c *Client) refusal(resp *http.Response, body []byte) error {
	if resp.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	var p struct {
		Type   string `json:"type"`
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	kind := ""
	if json.Unmarshal(body, &p) == nil {
		_, kind, _ = strings.Cut(p.Type, "#")
	}
	if kind == "" {
		return &UnreachableError{c.base.Host, errors.New("something else answered " + resp.Status)}
	}
	for _, e := range p.Errors {
		p.Detail += "; " + e.Location + ": " + e.Message
	}
	return &RefusedError{resp.StatusCode, kind, p.Detail}
}

// page is a page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// pageSize is how many items are read at once.
const pageSize = 500

// List calls visit for the items of a list, newest first, at most limit; 0: all.
func List[T any](ctx context.Context, c *Client, path string, query url.Values, limit int, visit func(T) error) error {
	q := url.Values{}
	maps.Copy(q, query)
	for seen := 0; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-seen)
		}
		q.Set("limit", fmt.Sprint(size))
		var p page[T]
		if err := c.Get(ctx, path, q, &p); err != nil {
			return err
		}
		for _, item := range p.Items {
			if err := visit(item); err != nil {
				return err
			}
		}
		if seen += len(p.Items); p.Next == "" || limit > 0 && seen >= limit {
			return nil
		}
		q.Set("after", p.Next)
	}
}
