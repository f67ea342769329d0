package screen

import (
	"strings"
	"unicode/utf8"
)

// keysHelp lists the keys of the table.
const keysHelp = `up, down     select a charging point (also k, j, pgup, pgdown, home, end)
p            plug a vehicle in
u            unplug it
t            hold a card to the reader
f            make a fault appear
r            repair everything
/            show only the ids that contain a text; esc shows all
q            stop the charging points and quit
?            this help`

// stepKey acts on a key, by the mode.
func (s *State) stepKey(key string) []Effect {
	if key == "ctrl+c" {
		return []Effect{Quit{}}
	}
	switch s.mode {
	case searching:
		s.search = s.stepText(key, s.search)
		s.filter()
	case tapping:
		s.card = s.stepText(key, s.card)
		if key == "enter" {
			return s.operate("tap " + s.card)
		}
	case choosing:
		return s.stepChoice(key)
	case helping:
		s.mode = listing
	case listing:
		return s.stepList(key)
	}
	return nil
}

// stepList acts on a key of the table.
func (s *State) stepList(key string) []Effect {
	s.message = ""
	switch key {
	case "q":
		return []Effect{Quit{}}
	case "?":
		s.mode = helping
	case "/":
		s.mode = searching
	case "esc":
		s.search = ""
		s.filter()
	case "p":
		return s.operate("plug")
	case "u":
		return s.operate("unplug")
	case "r":
		return s.operate("repair")
	case "t", "f":
		if _, some := s.selected(); some {
			s.mode = map[string]mode{"t": tapping, "f": choosing}[key]
		}
	default:
		s.cursor = moved(s.cursor, key, s.rows(), len(s.shown))
		s.scroll()
	}
	return nil
}

// stepChoice acts on a key while a fault is chosen.
func (s *State) stepChoice(key string) []Effect {
	switch key {
	case "esc", "q":
		s.mode = listing
	case "enter":
		s.mode = listing
		return s.operate("fault " + string(s.faults[s.fault]))
	default:
		s.fault = moved(s.fault, key, len(s.faults), len(s.faults))
	}
	return nil
}

// stepText changes a line of text by a key. enter and esc end it; esc empties it.
func (s *State) stepText(key, text string) string {
	switch {
	case key == "enter":
		s.mode = listing
	case key == "esc":
		s.mode = listing
		return ""
	case key == "backspace":
		_, n := utf8.DecodeLastRuneInString(text)
		return text[:len(text)-n]
	case utf8.RuneCountInString(key) == 1 && len(text) < 36:
		return text + key
	}
	return text
}

// operate operates the selected point.
func (s *State) operate(words string) []Effect {
	n, some := s.selected()
	if !some {
		return nil
	}
	return []Effect{Operate{n, strings.TrimSpace(words)}}
}

// moved returns the position in a list of n after a key; page is how many are in view.
func moved(at int, key string, page, n int) int {
	switch key {
	case "up", "k":
		at--
	case "down", "j":
		at++
	case "pgup":
		at -= page
	case "pgdown":
		at += page
	case "home", "g":
		at = 0
	case "end", "G":
		at = n - 1
	}
	return max(0, min(at, n-1))
}
