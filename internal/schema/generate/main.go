// Command generate writes the JSON Schemas of all messages: generate GOLDENS
// TARGET. Files of messages that are gone are deleted.
package main

import (
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

// generate replaces all schemas in target by those of the examples in golden.
// Old files are removed first, so that no schema of a removed message remains.
func generate(golden, target string) error {
	all, err := schema.Messages(os.DirFS(golden))
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(target, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // documentation, world-readable
		return err
	}
	for i := range all {
		raw, err := all[i].Schema()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(target, all[i].Name+".json"), raw, 0o644); err != nil { //nolint:gosec // likewise
			return err
		}
	}
	return nil
}
