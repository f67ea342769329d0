package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// Prices are the prices of a tariff, decimals in the main unit of the currency.
type Prices struct {
	Currency      string `json:"currency" minLength:"3" maxLength:"3" pattern:"^[A-Z]{3}$" doc:"by ISO 4217" example:"EUR"`
	StartFee      string `json:"start_fee,omitempty" maxLength:"20" pattern:"^[0-9]+(\\.[0-9]+)?$" doc:"due once if charging starts; absent: none" example:"1.00"`
	PerKWh        string `json:"per_kwh" maxLength:"20" pattern:"^[0-9]+(\\.[0-9]+)?$" example:"0.4275"`
	PerMinute     string `json:"per_minute,omitempty" maxLength:"20" pattern:"^[0-9]+(\\.[0-9]+)?$" doc:"of the whole session; absent: none" example:"0.02"`
	PerIdleMinute string `json:"per_idle_minute,omitempty" maxLength:"20" pattern:"^[0-9]+(\\.[0-9]+)?$" doc:"on top of per_minute, from the last pause by the vehicle to the stop; absent: none" example:"0.10"`
	TaxPercent    string `json:"tax_percent,omitempty" maxLength:"6" pattern:"^[0-9]+(\\.[0-9]{1,2})?$" doc:"rate of the tax that all prices include, at most 100; absent: 0" example:"19"`
}

// maxPrice bounds a price so far that what a session costs can be held.
const maxPrice = 100_000_000 * money.MinorUnit

// tariff returns the prices as a tariff without a name.
func (b *Prices) tariff() (ledger.Tariff, error) {
	t := ledger.Tariff{Currency: money.Currency(b.Currency)}
	if !t.Currency.Known() {
		return t, problem("bad_tariff", "currency: want three capital letters of ISO 4217, such as EUR")
	}
	for _, f := range []struct {
		name, text string
		to         *money.Price
	}{
		{"start_fee", b.StartFee, &t.StartFee},
		{"per_kwh", b.PerKWh, &t.PerKWh},
		{"per_minute", b.PerMinute, &t.PerMinute},
		{"per_idle_minute", b.PerIdleMinute, &t.PerIdleMinute},
	} {
		if f.text == "" {
			continue
		}
		p, err := money.ParsePrice(f.text, t.Currency)
		if err != nil || p < 0 || p > maxPrice {
			return t, problem("bad_tariff", fmt.Sprintf("%s: want a price from 0 to %s with at most %d decimals", f.name, maxPrice.Decimal(t.Currency), t.Currency.Decimals()+4))
		}
		*f.to = p
	}
	if b.TaxPercent != "" {
		v, decimals, err := charge.ParseDecimal(b.TaxPercent)
		for ; err == nil && decimals < 2; decimals++ {
			v *= 10
		}
		if t.Tax = ledger.TaxRate(v); err != nil || decimals > 2 || t.Tax < 0 || t.Tax > ledger.MaxTax {
			return t, problem("bad_tariff", "tax_percent: want 0 to 100 with at most two decimals")
		}
	}
	return t, nil
}

type addTariffInput struct {
	Body struct {
		Version string `json:"version" minLength:"1" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$" doc:"its name, which tickets show"`
		Prices
		ValidFrom string `json:"valid_from,omitempty" format:"date-time" maxLength:"40" doc:"for sessions that are granted from then on (RFC 3339); absent: now"`
	}
}

type previewInput struct {
	Body struct {
		Prices
		From string `json:"from,omitempty" format:"date-time" maxLength:"40" doc:"sessions that ended not before this time; absent: 30 days before to"`
		To   string `json:"to,omitempty" format:"date-time" maxLength:"40" doc:"sessions that ended before this time; absent: now"`
	}
}

// previewSpan is the time of a preview that names none.
const previewSpan = 30 * 24 * time.Hour

// tariffRoutes registers versions of the prices.
func (s *Server) tariffRoutes(api huma.API) {
	huma.Register(api, op("list-tariffs", http.MethodGet, "/tariffs", "All versions of the prices, the latest first", http.StatusOK),
		func(ctx context.Context, _ *struct{}) (*bodyOutput[view.TariffList], error) {
			all, err := s.archive.Tariffs(ctx)
			if err != nil {
				return nil, s.internalError("list-tariffs", err)
			}
			return &bodyOutput[view.TariffList]{all}, nil
		})
	add := order("add-tariff", "/tariffs", "Add a version of the prices", http.StatusCreated)
	add.Description = "A version never changes, and no session that was granted before it is priced by it. Reservations and sessions that begin from valid_from on name it."
	huma.Register(api, add, func(ctx context.Context, in *addTariffInput) (*orderOutput, error) {
		t, err := in.Body.tariff()
		if err != nil {
			return nil, err
		}
		t.Version, t.ValidFrom = charge.TariffVersion(in.Body.Version), parseBound(in.Body.ValidFrom)
		a, err := s.orders.AddTariff(ctx, t)
		return s.answer("add-tariff", a, err)
	})
	preview := op("preview-tariff", http.MethodPost, "/tariffs/preview", "What past sessions would have cost by other prices", http.StatusOK,
		http.StatusForbidden, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	preview.Description = "Changes nothing. At most the latest 1000 sessions are priced, those in the same currency; sessions that were settled have no end and are left out until their charging point reported it."
	huma.Register(api, preview, func(ctx context.Context, in *previewInput) (*bodyOutput[view.TariffPreview], error) {
		t, err := in.Body.tariff()
		if err != nil {
			return nil, err
		}
		q := view.Query{From: parseBound(in.Body.From), To: parseBound(in.Body.To)}
		if q.To == 0 {
			q.To = charge.At(time.Now()) + 1
		}
		if q.From == 0 {
			q.From = max(1, q.To.Add(-previewSpan))
		}
		out, err := s.archive.PreviewTariff(ctx, q, t)
		if err != nil {
			return nil, s.internalError("preview-tariff", err)
		}
		return &bodyOutput[view.TariffPreview]{out}, nil
	})
}
