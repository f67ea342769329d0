package mqttlink

import "testing"

// TestMatches: MQTT 3.1.1, 4.7.1, with its examples.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"cp/+/up/event", "cp/CP_1/up/event", true},
		{"cp/+/up/event", "cp/CP_1/up/telemetry", false},
		{"cp/+/up/event", "cp/CP_1/up", false},
		{"cp/+/up/event", "cp/CP_1/up/event/more", false},
		{"cp/CP_1/down/+", "cp/CP_1/down/command", true},
		{"cp/CP_1/down/+", "cp/CP_2/down/command", false},
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player2", false},
		{"#", "sport", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"sport", "sport", true},
		{"sport", "sports", false},
		{"+/#", "sport", true},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}
