package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/danielgtaylor/huma/v2"
)

// keyHeader lets whoever orders repeat an order whose answer he did not get.
const (
	idempotencyHeader = "Idempotency-Key"
	maxKey            = 64
)

// Idempotency is the Idempotency-Key of an order and a fingerprint of the whole
// request. The zero value is that of an order without the header.
type Idempotency struct {
	Key     string
	Request [sha256.Size]byte // of method, path and body, byte for byte
}

type idempotencyContextKey struct{}

// IdempotencyOf is the Once of the request whose context reached a Desk.
func IdempotencyOf(ctx context.Context) Idempotency {
	once, _ := ctx.Value(idempotencyContextKey{}).(Idempotency)
	return once
}

// withIdempotency reads the header of what orders something, and refuses a key that could
// be misread. What the request asks is for next to judge, its body too.
func withIdempotency(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(idempotencyHeader)
		if r.Method != http.MethodPost || len(keys) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if len(keys) > 1 || !validKey(keys[0]) {
			writeProblem(w, "bad_idempotency_key",
				idempotencyHeader+": send it once, with 1 to 64 printable ASCII characters, such as a random UUID; or leave it out")
			return
		}
		sum := sha256.New()
		_, _ = io.WriteString(sum, r.Method+" "+r.URL.RequestURI()+"\n") // a hash takes everything
		body, _ := io.ReadAll(r.Body)                                    // which whole has read already
		_, _ = sum.Write(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		o := Idempotency{Key: keys[0]}
		sum.Sum(o.Request[:0])
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idempotencyContextKey{}, o)))
	})
}

// readBody reads the body of a request before anything is done about it. One that
// is too large, too slow or breaks off is refused in plain words, and orders
// nothing.
func readBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		_, large := errors.AsType[*http.MaxBytesError](err)
		switch {
		case large:
			writeProblem(w, "body_too_large", "")
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			writeProblem(w, "slow_request", "")
			return
		case err != nil:
			writeProblem(w, "bad_request", "the body broke off, or its length is not what was announced")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func validKey(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxKey
}

// order describes an operation that orders something.
func order(id, path, summary string, status int) huma.Operation {
	o := op(id, http.MethodPost, path, summary, status, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests)
	o.Parameters = []*huma.Param{{
		Name: idempotencyHeader, In: "header",
		Description: "Chosen by you for this one order: for 24 h the same request with the same key has no second effect and the same answer.",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey), Pattern: "^[ -~]+$"},
	}}
	return o
}
