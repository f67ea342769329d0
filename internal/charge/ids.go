package charge

import "fmt"

// MaxIDLength is the longest identifier accepted anywhere, in bytes.
const MaxIDLength = 36

// CPID names a charging point: 1 to 36 characters of [A-Za-z0-9_-]. The rule
// keeps MQTT wildcards and separators out of topics and access rules, so a
// CPID is only made by ParseCPID wherever it comes from outside.
type CPID string

// ParseCPID checks s against the rule of CPID and returns it.
func ParseCPID(s string) (CPID, error) {
	if err := checkID(s); err != nil {
		return "", fmt.Errorf("cp_id %w", err)
	}
	return CPID(s), nil
}

// Valid reports whether the id obeys the rule of CPID.
func (id CPID) Valid() bool { return checkID(string(id)) == nil }

// ConnectorID numbers a connector of one charging point, from 1. Zero means
// the charging point as a whole.
type ConnectorID int

// MaxConnectors is the largest connector number accepted.
const MaxConnectors = 64

// SessionID names one session. The agent mints it, or Central when it orders
// the start; it never changes afterwards.
type SessionID string

// ReservationID names one reservation, minted by Central.
type ReservationID string

// CommandID names one command, minted by Central. A repeated id has no second
// effect in one boot of the agent.
type CommandID string

// JournalID names the log of one boot of one agent.
type JournalID string

// Seq numbers the records of one journal: 1, 2, 3 … without gaps. Zero means
// "nothing yet".
type Seq uint64

// Username names a driver.
type Username string

// TariffVersion names one immutable version of the prices.
type TariffVersion string

// ValidID reports whether s may name a session, reservation, command, journal
// or tariff version: the characters and the length of a CPID.
func ValidID(s string) bool { return checkID(s) == nil }

// MaxNameLength is the longest username or id token accepted, in bytes.
const MaxNameLength = 64

// ValidName reports whether s may be a username: 1 to 64 bytes, no control
// characters. What it contains is never used in a topic or a path.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxNameLength {
		return false
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return true
}

func checkID(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("is empty; use 1 to %d of [A-Za-z0-9_-]", MaxIDLength)
	case len(s) > MaxIDLength:
		return fmt.Errorf("has %d bytes; use 1 to %d of [A-Za-z0-9_-]", len(s), MaxIDLength)
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if !ok {
			return fmt.Errorf("%q has %q at byte %d; use 1 to %d of [A-Za-z0-9_-]", s, c, i+1, MaxIDLength)
		}
	}
	return nil
}
