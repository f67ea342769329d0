//go:build !linux

package process

import (
	"errors"
	"os"
)

// HideInput cannot be done here.
func HideInput(*os.File) (restore func(), err error) {
	return nil, errors.New("what is typed cannot be hidden on this system")
}
