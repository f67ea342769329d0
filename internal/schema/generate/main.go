// Command generate writes the JSON Schemas of all messages: generate GOLDENS
// TARGET. Files of messages that are gone are deleted.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/carga-ev/carga/internal/schema"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: generate GOLDENS TARGET")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "generate schemas:", err)
		os.Exit(1)
	}
}

// generate makes target hold the schemas of the examples in golden and no others.
// A file that is up to date is not written: its time is an input of cached tests.
func generate(golden, target string) error {
	all, err := schema.Messages(os.DirFS(golden))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // documentation, world-readable
		return err
	}
	current := make(map[string]bool, len(all))
	for i := range all {
		raw, err := all[i].Schema()
		if err != nil {
			return err
		}
		file := filepath.Join(target, all[i].Name+".json")
		current[file] = true
		if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, raw) {
			continue
		}
		if err := os.WriteFile(file, raw, 0o644); err != nil { //nolint:gosec // likewise
			return err
		}
	}
	return removeOthers(target, current)
}

// removeOthers deletes the schemas of messages that no longer exist.
func removeOthers(target string, current map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(target, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if current[file] {
			continue
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}
