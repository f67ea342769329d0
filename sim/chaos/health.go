package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/health"
)

// healthTimeout limits one request to a program, which may be dead or frozen.
const healthTimeout = time.Second

// readyCheck returns one check of a program's /readyz at HOST:PORT.
func readyCheck(ctx context.Context, addr, check string) (health.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	if err != nil {
		return health.Status{}, err
	}
	req.Close = true // no reuse: the next request may go to another process
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return health.Status{}, err
	}
	var answer struct {
		Checks []health.Status `json:"checks"`
	}
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&answer), resp.Body.Close()); err != nil {
		return health.Status{}, err
	}
	i := slices.IndexFunc(answer.Checks, func(h health.Status) bool { return h.Name == check })
	if i < 0 {
		return health.Status{}, fmt.Errorf("%s has no check %s", addr, check)
	}
	return answer.Checks[i], nil
}
