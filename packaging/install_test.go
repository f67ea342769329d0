package packaging_test

import (
	"regexp"
	"slices"
	"testing"
)

// TestPinTableMatchesTheBoard: an installer wires by the table, the agent by the
// board file.
func TestPinTableMatchesTheBoard(t *testing.T) {
	// The header of every Raspberry Pi with 40 pins.
	header := map[string]string{"GPIO5": "29", "GPIO14": "8", "GPIO15": "10", "GPIO17": "11", "GPIO22": "15", "GPIO23": "16", "GPIO24": "18"}
	wired := []string{"GPIO14", "GPIO15"} // of /dev/serial0
	for _, m := range regexp.MustCompile(`(?m)^[^#\n]*: (GPIO\d+)`).FindAllSubmatch(read(t, "../configs/boards/bench-contacts.yaml"), -1) {
		wired = append(wired, string(m[1]))
	}
	var table []string
	for _, m := range regexp.MustCompile(`(?m)^\| (GPIO\d+) \| (\d+) \|`).FindAllSubmatch(read(t, "../docs/INSTALL.md"), -1) {
		table = append(table, string(m[1]))
		if header[string(m[1])] != string(m[2]) {
			t.Errorf("%s is not pin %s of the header", m[1], m[2])
		}
		picture := regexp.MustCompile(`>` + string(m[1]) + `<.*>pin ` + string(m[2]) + `<`)
		if !picture.Match(read(t, "../docs/img/bench-signals.svg")) {
			t.Errorf("the picture has no %s at pin %s", m[1], m[2])
		}
	}
	slices.Sort(wired)
	slices.Sort(table)
	if !slices.Equal(wired, table) {
		t.Errorf("the board file wires %v, the table has %v", wired, table)
	}
}
