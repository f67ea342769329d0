package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// keyHeader lets whoever orders repeat an order whose answer he did not get.
const (
	keyHeader = "Idempotency-Key"
	maxKey    = 64
)

// Once is the Idempotency-Key of an order and a fingerprint of the whole
// request. The zero value is that of an order without the header.
type Once struct {
	Key     string
	Request [sha256.Size]byte // of method, path and body, byte for byte
}

type onceKey struct{}

// OnceOf is the Once of the request whose context reached a Desk.
func OnceOf(ctx context.Context) Once {
	once, _ := ctx.Value(onceKey{}).(Once)
	return once
}

// once reads the header of what orders something, and refuses a key that could
// be misread. What the request asks is for next to judge, its body too.
func once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(keyHeader)
		if r.Method != http.MethodPost || len(keys) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if len(keys) > 1 || !validKey(keys[0]) {
			writeProblem(w, http.StatusBadRequest, "bad_idempotency_key",
				keyHeader+": send it once, with 1 to 64 printable ASCII characters, such as a random UUID; or leave it out")
			return
		}
		sum := sha256.New()
		_, _ = io.WriteString(sum, r.Method+" "+r.URL.RequestURI()+"\n") // a hash takes everything
		r.Body = heard(r.Body, sum)
		o := Once{Key: keys[0]}
		sum.Sum(o.Request[:0])
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), onceKey{}, o)))
	})
}

// heard reads a body into sum and returns it to be read again. An error comes
// again too, where the body broke off.
func heard(body io.ReadCloser, sum hash.Hash) io.ReadCloser {
	var read bytes.Buffer
	_, _ = io.Copy(io.MultiWriter(&read, sum), body) // whoever reads it again meets the error
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&read, body), body}
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
	o := op(id, http.MethodPost, path, summary, status)
	o.Errors = append(o.Errors, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusTooManyRequests)
	o.Parameters = []*huma.Param{{
		Name: keyHeader, In: "header",
		Description: "Chosen by you for this one order: for 24 h the same request with the same key has no second effect and the same answer.",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey), Pattern: "^[ -~]+$"},
	}}
	return o
}
