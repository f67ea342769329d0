package chaos_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// numbered is event seq of a charging point, always with the same bytes.
func numbered(cp charge.CPID, seq int) []byte {
	rec, err := wire.NewRecord(&wire.MeterRead{Register: 1000})
	if err != nil {
		panic(err)
	}
	rec.CPID, rec.Journal, rec.Seq, rec.At = cp, "boot", charge.Seq(seq), 1_000_000
	raw, err := rec.Encode()
	if err != nil {
		panic(err)
	}
	return raw
}

// arrivals compares what is in Kafka with the numbered events that were
// published.
type arrivals struct {
	seen    map[charge.CPID]map[int]bool
	highest map[charge.CPID]int

	records, repeats int
	// backward are first arrivals behind a later event of the same charging point.
	backward []string
	// wrong are records with another key than their charging point, with other
	// bytes than were published, or that were not published.
	wrong []string
}

// add adds the next record, in the order of the log.
func (a *arrivals) add(key, value []byte) {
	if a.seen == nil {
		a.seen, a.highest = map[charge.CPID]map[int]bool{}, map[charge.CPID]int{}
	}
	a.records++
	rec, err := wire.DecodeRecord(value)
	if err != nil {
		a.wrong = append(a.wrong, fmt.Sprintf("%.80q: %v", value, err))
		return
	}
	cp, seq := rec.CPID, int(rec.Seq)
	if string(key) != string(cp) {
		a.wrong = append(a.wrong, fmt.Sprintf("event %d of %s has the key %q", seq, cp, key))
	}
	if !bytes.Equal(value, numbered(cp, seq)) {
		a.wrong = append(a.wrong, fmt.Sprintf("event %d of %s has other bytes", seq, cp))
	}
	if a.seen[cp] == nil {
		a.seen[cp] = map[int]bool{}
	}
	if a.seen[cp][seq] {
		a.repeats++
		return
	}
	a.seen[cp][seq] = true
	if seq < a.highest[cp] {
		a.backward = append(a.backward, fmt.Sprintf("event %d of %s came first behind event %d", seq, cp, a.highest[cp]))
	}
	a.highest[cp] = max(a.highest[cp], seq)
}

// missing returns the events from first to last of a charging point that did not
// arrive.
func (a *arrivals) missing(cp charge.CPID, first, last int) (lost []string) {
	for seq := first; seq <= last; seq++ {
		if !a.seen[cp][seq] {
			lost = append(lost, fmt.Sprintf("event %d of %s is not in Kafka", seq, cp))
		}
	}
	return lost
}

// faults returns what is wrong, of the events up to last of each charging point.
func (a *arrivals) faults(last map[charge.CPID]int) []string {
	all := slices.Concat(a.wrong, a.backward)
	for cp, n := range last {
		all = append(all, a.missing(cp, 1, n)...)
	}
	return all
}

// TestArrivalsFindPlantedFaults: the comparison on which TestBridgeFaults relies
// accepts repeats, and nothing else that differs.
func TestArrivalsFindPlantedFaults(t *testing.T) {
	t.Parallel()
	type record struct {
		key   charge.CPID
		value []byte
	}
	is := func(cp charge.CPID, seq int) record { return record{cp, numbered(cp, seq)} }
	a1, a2, a3, b1 := is("A", 1), is("A", 2), is("A", 3), is("B", 1)
	changed := record{"A", bytes.Replace(a2.value, []byte("1000"), []byte("1001"), 1)}
	for name, row := range map[string]struct {
		log  []record
		want string // of the one fault; "" for none
	}{
		"as published":               {[]record{a1, b1, a2, a3}, ""},
		"redelivered":                {[]record{a1, a2, a1, a2, b1, a3, a3}, ""},
		"a swapped pair":             {[]record{a1, b1, a3, a2}, "event 2 of A came first behind event 3"},
		"a pair swapped and again":   {[]record{a1, b1, a3, a2, a3}, "event 2 of A came first behind event 3"},
		"a lost event":               {[]record{a1, b1, a3}, "event 2 of A is not in Kafka"},
		"the last event lost":        {[]record{a1, b1, a2}, "event 3 of A is not in Kafka"},
		"all of a charging point":    {[]record{a1, a2, a3}, "event 1 of B is not in Kafka"},
		"other bytes":                {[]record{a1, b1, changed, a3}, "event 2 of A has other bytes"},
		"the key of another":         {[]record{a1, b1, {"B", a2.value}, a3}, `event 2 of A has the key "B"`},
		"what was not published":     {[]record{a1, b1, a2, a3, {"A", []byte("{}")}}, `"{}": `},
		"an event twice, one absent": {[]record{a1, b1, a3, a3, a1}, "event 2 of A is not in Kafka"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all arrivals
			for _, r := range row.log {
				all.add([]byte(r.key), r.value)
			}
			found := all.faults(map[charge.CPID]int{"A": 3, "B": 1})
			if row.want == "" && len(found) > 0 || row.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0], row.want)) {
				t.Errorf("found %q, want %q", found, row.want)
			}
		})
	}
}
