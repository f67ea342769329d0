package kafkalink

import (
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/reason"
)

// Trouble is something that a program cannot do although Kafka answers.
type Trouble struct {
	Since  time.Time
	Reason reason.Reason
}

// Troubles returns what has not been written or read for longer than ten seconds,
// and which topics are missing, the oldest trouble first. While Kafka does not
// answer at all there are none: that is one outage, which WatcherState reports.
func Troubles(k WatcherState, written []Stats, read []ReaderState) []Trouble {
	if !k.Up {
		return nil
	}
	now := time.Now()
	late := func(since time.Time) bool { return now.Sub(later(since, k.Since)) >= blockedAfter }
	var all []Trouble
	for _, s := range written {
		for _, b := range s.Blocked() {
			all = append(all, Trouble{b.Since, b.Why()})
		}
	}
	for _, t := range k.Topics {
		if !t.Exists() && t.Error != "" && late(t.Since) {
			all = append(all, Trouble{t.Since, reason.Reason{Code: reason.TopicMissing, Topic: t.Name, Detail: t.Error}})
		}
	}
	silent := map[string]Trouble{}
	for _, r := range read {
		first, known := silent[r.Topic]
		if r.Reading || !late(r.Since) || known && first.Since.Before(r.Since) {
			continue
		}
		silent[r.Topic] = Trouble{r.Since, reason.Reason{Code: reason.CannotRead, Topic: r.Topic}.Because(r.Reason)}
	}
	for _, t := range silent {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Trouble) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return strings.Compare(a.Reason.String(), b.Reason.String())
	})
	return all
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
