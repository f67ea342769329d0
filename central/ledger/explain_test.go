package ledger_test

import (
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
)

// An operator explains a gap: its alarm is cleared, what is missing stays missing.
// Only a gap that is not filled can be explained.
func TestExplainGap(t *testing.T) {
	t.Parallel()
	bk := aDay(t)
	var id string
	for id = range bk.CP.Gaps {
	}
	before, hash := len(bk.CP.Gaps), bk.Hash()
	changes, err := ledger.ExplainGap(bk.CP, id, "the card was replaced")
	if err != nil {
		t.Fatal(err)
	}
	bk.Save(changes)
	if got := bk.Gaps[id].Detail; !strings.HasSuffix(got, "; the card was replaced") {
		t.Errorf("detail: %q", got)
	}
	if len(bk.OpenAlarms(ledger.AlarmGap)) != 0 {
		t.Error("the alarm is still there")
	}
	if len(bk.CP.Gaps) != before || bk.Hash() != hash {
		t.Error("an explanation filled the gap")
	}
	if _, err := ledger.ExplainGap(bk.CP, "j.9", "why"); err == nil {
		t.Error("a gap that does not exist was explained")
	}
	if _, err := ledger.ExplainGap(bk.CP, id, strings.Repeat("why ", 300)); err == nil {
		t.Error("an explanation of 1200 bytes was accepted")
	}
}
