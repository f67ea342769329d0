package app

import (
	"context"
	"errors"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/internal/store"
)

// Backup copies the database of cfg to a new file, whether or not a Central
// runs on it. The copy is one commit of the database, and on disk when Backup
// returns. An existing file is not overwritten. Backup returns the size in
// bytes.
func Backup(ctx context.Context, cfg Config, to string) (size int64, err error) {
	return store.Backup(ctx, cfg.Database.Path, to)
}

// Report is the result of Verify.
type Report = audit.Report

var _ audit.Database = (*store.Store)(nil)

// Verify checks the database at path against the records in it, without
// changing it; a Central may run on it meanwhile. Findings are in the report.
// The error is not nil if the file cannot be read at all, or ctx ended.
func Verify(ctx context.Context, path string) (*Report, error) {
	s, err := store.OpenSnapshot(ctx, path)
	if err != nil {
		return nil, err
	}
	r, err := audit.Run(ctx, s)
	return r, errors.Join(err, s.Close())
}
