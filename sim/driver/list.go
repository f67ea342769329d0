package driver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// maxServices limits a list: a longer one is a mistake.
const maxServices = 10_000

// ReadList reads a list of services, one per line: a cp_id, or "any" for any
// charging point, which is returned as nil. A # starts a comment. All faulty
// lines are reported at once, each with its number.
func ReadList(r io.Reader) ([]*charge.CPID, error) {
	var list []*charge.CPID
	var errs []error
	in := bufio.NewScanner(r)
	for line := 1; in.Scan(); line++ {
		text, _, _ := strings.Cut(in.Text(), "#")
		text = strings.TrimSpace(text)
		switch {
		case text == "":
			continue
		case strings.EqualFold(text, "any"):
			list = append(list, nil)
		default:
			cp, err := charge.ParseCPID(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w, or \"any\"", line, err))
				continue
			}
			list = append(list, &cp)
		}
		if len(list) > maxServices {
			return nil, fmt.Errorf("line %d: more than %d services", line, maxServices)
		}
	}
	if err := in.Err(); err != nil {
		errs = append(errs, fmt.Errorf("read the list: %w", err))
	}
	if len(errs) == 0 && len(list) == 0 {
		errs = append(errs, errors.New("the list has no service; write a cp_id or \"any\" on a line"))
	}
	return list, errors.Join(errs...)
}
