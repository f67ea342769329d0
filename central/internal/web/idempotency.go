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

// With the header a client can repeat an order whose answer it did not receive,
// without a second effect. A key has at most maxKey bytes.
const (
	idempotencyHeader = "Idempotency-Key"
	maxKey            = 64
)

// Idempotency is the Idempotency-Key of an order and a fingerprint of its request.
// The zero value means that the order has no key.
type Idempotency struct {
	Key     string
	Request [sha256.Size]byte // SHA-256 of the account, method, path, If-Match and body; 0 without a key
}

type idempotencyContextKey struct{}

// IdempotencyOf returns the Idempotency of a request from the context that a
// method of Orders receives.
func IdempotencyOf(ctx context.Context) Idempotency {
	i, _ := ctx.Value(idempotencyContextKey{}).(Idempotency)
	return i
}

// withIdempotency puts the Idempotency of a POST into its context, and refuses a
// header that is repeated or not printable ASCII. It does not validate the request
// otherwise.
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
		// Method and path belong to the fingerprint: the same body means another order
		sum := sha256.New()
		// elsewhere. So does the account: an answer is not for another one.
		_, _ = io.WriteString(sum, callerOf(r.Context()).principal.Name+"\n"+r.Method+" "+r.URL.RequestURI()+"\n") // writing to a hash cannot fail
		if version := r.Header.Get("If-Match"); version != "" {
			_, _ = io.WriteString(sum, version+"\n")
		}
		body, _ := io.ReadAll(r.Body) // from memory, see readBody
		_, _ = sum.Write(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		o := Idempotency{Key: keys[0]}
		sum.Sum(o.Request[:0])
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idempotencyContextKey{}, o)))
	})
}

// readBody reads the whole body into memory before a request is executed. A body
// that is too large, too slow or breaks off is refused with its own kind of
// problem, and has no effect.
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

// validKey reports whether a key is 1 to maxKey printable ASCII characters.
func validKey(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxKey
}

// order describes an operation of Orders: a POST that may carry an
// Idempotency-Key.
func order(id, path, summary string, status int) huma.Operation {
	o := op(id, http.MethodPost, path, summary, status, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests)
	o.Parameters = []*huma.Param{{
		Name: idempotencyHeader, In: "header",
		Description: "Chosen by the client for one order: for 24 h the same request with the same key has no second effect and the same answer.",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey), Pattern: "^[ -~]+$"},
	}}
	return o
}
