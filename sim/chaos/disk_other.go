//go:build !linux

package chaos

import "errors"

func mount(string, int64) error { return errors.ErrUnsupported }

func resize(string, int64) error { return errors.ErrUnsupported }

func usage(string) (used, free int64, err error) { return 0, 0, errors.ErrUnsupported }

func unmount(string) error { return errors.ErrUnsupported }
