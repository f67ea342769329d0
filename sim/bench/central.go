package bench

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	centralbench "github.com/carga-ev/carga/central/bench"
)

// The load of Central: as many partitions as a sample configuration has, and
// batches as readers make them from a backlog.
const (
	centralPartitions = 12
	centralBatch      = 200
	centralSessions   = 10
	centralWanted     = 0.6
	minRounds         = 3
)

// measureCentral takes journals through Central's writer beside the commits of
// the same rows alone.
func measureCentral(ctx context.Context, r *run, budget time.Duration) ([]Row, error) {
	row := Row{
		Name: "central", What: "Central: records decoded, folded, committed", Unit: "events/s",
		BesideWhat: "bare commits of the same rows", Wanted: centralWanted,
	}
	all, err := journals(r.cfg.Points, centralSessions)
	if err != nil {
		return nil, err
	}
	partitions := interleaved(all, centralPartitions)
	var through, bare []float64
	begin := time.Now()
	for n := 0; n < minRounds || time.Since(begin) < budget*3/4; n++ {
		res, err := centralbench.Run(ctx, centralbench.Config{
			Dir: filepath.Join(r.dir, strconv.Itoa(n)), Partitions: partitions, Batch: centralBatch, Tariff: tariff,
		})
		if err != nil {
			return nil, err
		}
		through = append(through, perSecond(int(res.Events), res.Through))
		bare = append(bare, perSecond(int(res.Events), res.Bare))
		if time.Since(begin) > budget {
			break
		}
	}
	return []Row{compared(row, through, bare)}, nil
}

// interleaved lays the journals out as they come: the points of a partition
// take turns.
func interleaved(all []*journalWriter, partitions int) [][]centralbench.Message {
	out := make([][]centralbench.Message, partitions)
	for seq, more := 0, true; more; seq++ {
		more = false
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
