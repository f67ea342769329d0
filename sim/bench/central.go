package bench

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	centralbench "github.com/carga-ev/carga/central/bench"
)

// The load of Central: the partitions of the sample configuration, and the
// batches that a reader with a backlog makes. centralWanted is the least rate,
// as a ratio to the yardstick.
const (
	centralPartitions = 12
	centralBatch      = 200 // records in a transaction
	centralSessions   = 10  // of each charging point, 8 records each
	centralWanted     = 0.6
	// minRounds is run even if the budget is used up: a median of fewer means
	// nothing.
	minRounds = 3
)

// measureCentral measures Central's writer: it decodes, applies and commits the
// records of many charging points. The yardstick is the commits of the same
// rows alone.
func measureCentral(ctx context.Context, r *run, budget time.Duration) ([]Row, error) {
	row := Row{
		Name: "central", What: "Central: records decoded, applied, committed", Unit: "events/s",
		BesideWhat: "bare commits of the same rows", Wanted: centralWanted,
	}
	all, err := journals(r.cfg.Points, centralSessions)
	if err != nil {
		return nil, err
	}
	// The same records are used in each round, each time with a new database.
	partitions := interleaved(all, centralPartitions)
	var through, bare []float64
	begin := time.Now()
	for n := 0; n < minRounds || time.Since(begin) < budget*3/4; n++ {
		// Each round has a database of its own: one that grows would slow the
		// later rounds.
		res, err := centralbench.Run(ctx, centralbench.Config{
			Dir: filepath.Join(r.dir, strconv.Itoa(n)), Partitions: partitions, Batch: centralBatch, Tariff: tariff,
		})
		if err != nil {
			return nil, err
		}
		// Both rates count records, so that their ratio is that of the times.
		through = append(through, perSecond(int(res.Events), res.Through))
		bare = append(bare, perSecond(int(res.Events), res.Bare))
		if time.Since(begin) > budget {
			break
		}
	}
	return []Row{compared(row, through, bare)}, nil
}

// interleaved distributes the journals over partitions. In a partition the
// records of its charging points alternate, as they do when they arrive.
func interleaved(all []*journalWriter, partitions int) [][]centralbench.Message {
	out := make([][]centralbench.Message, partitions)
	for seq, more := 0, true; more; seq++ {
		more = false
		// One record of each charging point in turn, as long as it has any.
		for i, s := range all {
			if seq < len(s.records) {
				more = true
				p := i % partitions
				out[p] = append(out[p], centralbench.Message{Key: s.cp, Value: s.records[seq]})
			}
		}
	}
	return out
}
