package e2e_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

const stopJSON = `{"message_id":"%s","event_type":"STOP_REQUEST","username":"%s","cp_id":"%s","timestamp":NOW}`

// TestRequestsAreNotServedAgain: a Central that was restored from a backup
// reads requests again that are still young. Drivers receive the same events
// again, and nothing is reserved, started or stopped a second time.
func TestRequestsAreNotServedAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{points: 1}, func(w *world) {
		w.start(allParts()...)
		w.watchInvariants()
		time.Sleep(20 * time.Second)
		d := w.newPlainDriver()
		w.backup(w.dir + "/backup.db")
		d.send("ana", fmt.Sprintf(authorizationJSON, "m-1", "ana", `"CP_001"`))
		d.awaitFirst("ana", "AUTHORIZATION_RESPONSE")
		d.send("ana", fmt.Sprintf(startedJSON, "m-2", "ana", "CP_001"))
		d.awaitFirst("ana", "charging_started")
		d.send("ana", fmt.Sprintf(stopJSON, "m-3", "ana", "CP_001"))
		d.awaitFirst("ana", "CHARGING_TICKET")
		restarted := charge.At(time.Now())
		w.restoreBackup()
		time.Sleep(healTimeout)
		w.settle()
		w.balanced(1)
		if n := w.count("SELECT count(*) FROM commands WHERE type IN ('RESERVE','START','STOP') AND issued_at>=?", int64(restarted)); n != 0 {
			t.Errorf("%d commands for requests that were served before: %+v", n, items[order](w, "/commands"))
		}
		if n := len(items[reservation](w, "/reservations")); n > 1 {
			t.Errorf("%d reservations of one request", n)
		}
		events := map[any]map[string]any{}
		for _, e := range d.receivedBy("ana") {
			if before := events[e["event_id"]]; before != nil && e["message_id"] != nil && !maps.Equal(before, e) {
				t.Errorf("two events under one event_id:\n%v\n%v", before, e)
			}
			events[e["event_id"]] = e
		}
		d.send("ana", fmt.Sprintf(authorizationJSON, "m-4", "ana", "null"))
		w.await(healTimeout, "the next request is granted", func() bool { return w.points[0].shown().Status == charge.StatusReserved })
	})
}
