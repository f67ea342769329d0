package logs

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/carga-ev/carga/internal/config"
)

// Config is the section of a program's configuration about its log.
type Config struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
}

// Validate adds a problem for each rule that is broken. The keys begin with log.,
// the name of this section in all configurations.
func (c *Config) Validate(p *config.Problems) {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Level) {
		p.Addf("log.level", "want debug, info, warn or error")
	}
}

// New returns the logger that the section describes; see the function New.
func (c *Config) New(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	return New(w, level), nil
}
