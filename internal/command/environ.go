package command

import (
	"slices"
	"strings"
)

// Getenv returns a function like os.Getenv that reads environ, whose entries are
// NAME=value. The last one counts.
func Getenv(environ []string) func(name string) string {
	return func(name string) string {
		for _, entry := range slices.Backward(environ) {
			if value, is := strings.CutPrefix(entry, name+"="); is {
				return value
			}
		}
		return ""
	}
}
