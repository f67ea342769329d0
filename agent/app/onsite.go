package app

import (
	"context"
	"log/slog"

	"github.com/carga-ev/carga/hal"
)

// OpenBoard opens the configured hardware without an agent, for the commands that a
// person runs on site. Every contactor is open afterwards. A board in another process
// is waited for until ctx ends. The caller closes the board.
func OpenBoard(ctx context.Context, cfg Config, log *slog.Logger) (hal.Board, error) {
	return New(cfg, Deps{Log: log}).openBoard(ctx)
}
