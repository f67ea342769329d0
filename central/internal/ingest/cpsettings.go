package ingest

import (
	"cmp"
	"fmt"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// SetCP changes settings of a charging point; nil leaves one as it is, an empty
// text removes it. It is refused unless Version is the present one.
type SetCP struct {
	CPID              charge.CPID
	Version           int64
	Name, Place, Site *string
}

func (SetCP) op() {}

const refusedChanged = "settings_changed"

// setCP changes the row of the settings of a charging point. They hold after the
// commit.
func (u *unit) setCP(op SetCP) *refusal {
	if u.w.cps[op.CPID] == nil {
		return &refusal{wire.RefusedUnknownCP, "no such charging point"}
	}
	s, changed := u.settings[op.CPID]
	if !changed {
		s = u.w.settings[op.CPID]
	}
	if s.Version != op.Version {
		return &refusal{refusedChanged, fmt.Sprintf("the settings have version %d now", s.Version)}
	}
	for _, f := range []struct {
		to   *string
		text *string
	}{{&s.Name, op.Name}, {&s.Place, op.Place}, {&s.Site, op.Site}} {
		if f.text != nil {
			*f.to = *f.text
		}
	}
	s.CPID, s.Version, s.ChangedAt = op.CPID, s.Version+1, u.now
	u.settings[op.CPID] = s
	u.changed[op.CPID] = struct{}{}
	return nil
}

// named puts what operators set into the view of a charging point.
func (w *Writer) named(cp *view.CP) {
	s := w.settings[cp.ID]
	cp.Name, cp.Place, cp.Site = cmp.Or(s.Name, cp.Name), cmp.Or(s.Place, cp.Place), s.Site
}
