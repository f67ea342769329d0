package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// SafeState opens every contactor of the configured hardware and releases it. A
// service manager runs it after the agent, in whatever way that ended: a process that
// was killed may leave its outputs as they were. The agent must not be running.
func SafeState(ctx context.Context, cfg Config, log *slog.Logger) error {
	if cfg.Hardware.Kind == HardwareSim {
		return nil // it ended with the process of its agent
	}
	board, err := New(cfg, Deps{Log: log}).openBoard(ctx)
	if err != nil {
		return fmt.Errorf("open the hardware: %w", err)
	}
	return errors.Join(board.SafeState(), board.Close())
}
