package ingest

import (
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
)

// AddTariff adds a version of the prices; with ValidFrom 0 it is valid at once. It is
// refused if there is a version of its name, or if it would be valid before now:
// sessions may have begun since.
type AddTariff struct{ Tariff ledger.Tariff }

func (AddTariff) op() {}

// Why a version of the prices is refused.
const (
	refusedTariffExists = "tariff_exists"
	refusedTariffPast   = "tariff_in_past"
)

// maxTariffs bounds the versions: all of them are in memory, and listed at once.
const maxTariffs = 1000

// addTariff adds the row of a version. Sessions use it after the commit.
func (u *unit) addTariff(t ledger.Tariff) *refusal {
	if t.ValidFrom == 0 {
		t.ValidFrom = u.now
	}
	_, known := u.w.tariffs.Find(t.Version)
	_, added := ledger.Tariffs(u.tariffs).Find(t.Version)
	switch {
	case known || added:
		return &refusal{refusedTariffExists, fmt.Sprintf("there is a version %s, and a version never changes: use another name", t.Version)}
	case t.ValidFrom < u.now:
		return &refusal{refusedTariffPast, fmt.Sprintf("valid_from is before now, %s: leave it out for now", u.now)}
	case len(u.w.tariffs)+len(u.tariffs) >= maxTariffs:
		return &refusal{refusedState, fmt.Sprintf("there are %d versions, and no more are possible", maxTariffs)}
	}
	u.tariffs = append(u.tariffs, t)
	return nil
}
