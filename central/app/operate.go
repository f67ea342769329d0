package app

import (
	"context"

	"github.com/carga-ev/carga/central/internal/store"
)

// Backup copies the database of cfg to a new file, whether or not a Central
// runs on it. The copy is one commit and on disk when Backup returns; an
// existing file is not overwritten. It answers the size in bytes.
func Backup(ctx context.Context, cfg Config, to string) (size int64, err error) {
	return store.Backup(ctx, cfg.Database.Path, to)
}
