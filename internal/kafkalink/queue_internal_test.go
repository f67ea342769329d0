package kafkalink

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueIsAFIFO: under any mixture of put and pop, the entries leave in
// order, within the bounds of a batch.
func TestQueueIsAFIFO(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		next, taken := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 3000).Draw(t, "n") {
					q.put(entry{Record: Record{Value: []byte(strconv.Itoa(next))}, size: 1 + next%7})
					next++
				}
			},
			"take": func(t *rapid.T) {
				records, bytes := rapid.IntRange(1, 2000).Draw(t, "records"), rapid.IntRange(1, 5000).Draw(t, "bytes")
				batch := q.pop(records, bytes)
				size := 0
				for _, e := range batch {
					if got := string(e.Value); got != strconv.Itoa(taken) {
						t.Fatalf("took %s, want %d", got, taken)
					}
					taken++
					size += e.size
				}
				if len(batch) > records || len(batch) > 1 && size > bytes || len(batch) == 0 && next > taken {
					t.Fatalf("batch of %d records and %d bytes, bounds %d and %d", len(batch), size, records, bytes)
				}
			},
			"": func(t *rapid.T) {
				if q.len() != next-taken {
					t.Fatalf("length %d, want %d", q.len(), next-taken)
				}
			},
		})
	})
}

// TestLatestQueueAgainstAModel: one entry per key, the newest, in the order in
// which the keys were added. Newer values replace those of a batch that is put
// back.
func TestLatestQueueAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue{latest: map[subject]int{}}
		var keys []string // the model: waiting keys in order
		values := map[string]int{}
		serial := 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				key := strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "key"))
				serial++
				_, replaced := q.put(entry{Record: Record{Key: []byte(key), Value: []byte(strconv.Itoa(serial))}})
				if replaced != slices.Contains(keys, key) {
					t.Fatalf("replaced %v, want %v", replaced, !replaced)
				}
				if !replaced {
					keys = append(keys, key)
				}
				values[key] = serial
			},
			"take": func(t *rapid.T) {
				n := rapid.IntRange(1, 12).Draw(t, "n")
				batch := q.pop(n, 1<<20)
				if len(batch) != min(n, len(keys)) {
					t.Fatalf("took %d of %d", len(batch), len(keys))
				}
				for i, e := range batch {
					if string(e.Key) != keys[i] || string(e.Value) != strconv.Itoa(values[keys[i]]) {
						t.Fatalf("took %s=%s, want %s=%d", e.Key, e.Value, keys[i], values[keys[i]])
					}
				}
				waiting := keys[len(batch):]
				if !rapid.Bool().Draw(t, "written") { // newer values come, then it is put back
					late := strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "late"))
					serial++
					values[late] = serial
					if _, replaced := q.put(entry{Record: Record{Key: []byte(late), Value: []byte(strconv.Itoa(serial))}}); !replaced {
						waiting = append(slices.Clone(waiting), late)
					}
					var front []string
					overtaken := 0
					for _, e := range batch {
						front = append(front, string(e.Key))
						if slices.Contains(waiting, string(e.Key)) {
							overtaken++
						}
					}
					if lost := q.putBack(batch); len(lost) != overtaken {
						t.Fatalf("%d overtaken, want %d", len(lost), overtaken)
					}
					waiting = append(front, slices.DeleteFunc(slices.Clone(waiting), func(key string) bool { return slices.Contains(front, key) })...)
				}
				keys = slices.Clone(waiting)
			},
			"": func(t *rapid.T) {
				if q.len() != len(keys) {
					t.Fatalf("length %d, want %d", q.len(), len(keys))
				}
			},
		})
	})
}
