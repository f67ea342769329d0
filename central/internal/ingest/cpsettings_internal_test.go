package ingest

import (
	"errors"
	"testing"

	"github.com/carga-ev/carga/internal/wire"
)

// TestSettingsCountFromTheCommit: settings whose transaction failed are not in memory,
// so the next change of the same version is not refused; within one transaction the
// second change of a version is.
func TestSettingsCountFromTheCommit(t *testing.T) {
	d, seen := newManualWriter(t)
	d.commit(d.decode(wire.TopicEvents, d.p.All...)...)
	set := func(version int64, name string) (*operatorIn, chan replyOrError) {
		reply := make(chan replyOrError, 1)
		return &operatorIn{op: SetCP{CPID: d.p.CP, Version: version, Name: &name}, reply: reply}, reply
	}
	refused, _ := set(0, "lost")
	seen.fail = errors.New("the disk went away")
	if err := d.w.tryCommit(t.Context(), []input{refused}); err == nil {
		t.Fatal("the transaction was to fail")
	}
	first, firstReply := set(0, "first")
	second, secondReply := set(0, "second")
	third, thirdReply := set(1, "third")
	d.commit(first, second, third)
	for name, c := range map[string]struct {
		reply chan replyOrError
		want  string
	}{"first": {firstReply, ""}, "second": {secondReply, refusedChanged}, "third": {thirdReply, ""}} {
		if r := <-c.reply; r.Refused != c.want || r.err != nil {
			t.Errorf("%s: got %q %v, want %q", name, r.Refused, r.err, c.want)
		}
	}
	stored, err := d.s.AllCPSettings(t.Context())
	if err != nil || len(stored) != 1 || stored[0].Name != "third" || stored[0].Version != 2 {
		t.Errorf("stored: %+v %v", stored, err)
	}
	if n := d.w.live.Network(); len(n.CPs) != 1 || n.CPs[0].Name != "third" {
		t.Errorf("shown: %+v", n.CPs)
	}
}
