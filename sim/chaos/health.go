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

// healthTimeout bounds one question to a program, which may be dead or frozen.
const healthTimeout = time.Second

// readyCheck asks a program's /readyz at HOST:PORT for one of its checks.
func readyCheck(ctx context.Context, addr, check string) (health.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	if err != nil {
		return health.Status{}, err
	}
	req.Close = true // the program may be another one next time
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
		return health.Status{}, fmt.Errorf("%s does not tell of %s", addr, check)
	}
	return answer.Checks[i], nil
}
