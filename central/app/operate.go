package app

import (
	"context"
	"errors"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/internal/store"
)

// Backup copies the database of cfg to a new file, whether or not a Central
// runs on it. The copy is one commit and on disk when Backup returns; an
// existing file is not overwritten. It answers the size in bytes.
func Backup(ctx context.Context, cfg Config, to string) (size int64, err error) {
	return store.Backup(ctx, cfg.Database.Path, to)
}

// Report is what Verify found.
type Report = audit.Report

var _ audit.Database = (*store.Store)(nil)

// Verify checks the database at path against the records in it, without
// changing it; a Central may run on it meanwhile. What is wrong is in the
// report; the error says that the file cannot be read at all, or that ctx
// ended.
func Verify(ctx context.Context, path string) (*Report, error) {
	s, err := store.OpenSnapshot(ctx, path)
	if err != nil {
		return nil, err
	}
	r, err := audit.Run(ctx, s)
	return r, errors.Join(err, s.Close())
}
