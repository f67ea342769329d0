package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// startProfile writes a CPU profile of this process to a file, until end is called;
// "": no profile. end adds its error to err.
func startProfile(file string) (end func(err *error), err error) {
	if file == "" {
		return func(*error) {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("--cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func(err *error) {
		pprof.StopCPUProfile()
		if late := f.Close(); late != nil {
			*err = errors.Join(*err, late)
		}
	}, nil
}
