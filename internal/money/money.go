package money

import (
	"cmp"
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// Minor is an amount in minor units of a currency, as ISO 4217 defines them.
type Minor int64

// Price is a price in ten-thousandths of the minor unit of a currency.
type Price int64

// MinorUnit is one minor unit as a Price.
const MinorUnit Price = 10_000

// priceDecimals is how many decimals a price may have beyond those of its
// currency.
const priceDecimals = 4

// Amount is money in a currency. Amounts of two currencies are never added: nothing
// here converts. The zero Amount means none.
type Amount struct {
	Minor    Minor
	Currency Currency
}

// Decimal writes the amount in the main unit, exactly and with as many decimals
// as the currency has: "3.42", "342", "3.420".
func (a Amount) Decimal() string { return charge.Decimal(int64(a.Minor), a.Currency.Decimals()) }

// String writes the amount with its currency: "3.42 EUR".
func (a Amount) String() string { return a.Decimal() + " " + string(a.Currency) }

// Decimal writes the price in the main unit of the currency, exactly, with at
// least as many decimals as the currency has: "0.45", "0.4275".
func (p Price) Decimal(c Currency) string {
	decimals, v := c.Decimals()+priceDecimals, int64(p)
	for ; decimals > c.Decimals() && v%10 == 0; decimals-- {
		v /= 10
	}
	return charge.Decimal(v, decimals)
}

// ParseAmount parses an amount that is written as a decimal in the main unit of the
// currency, without rounding: "3.42". More decimals than the currency has are an error,
// unless they are zeros.
func ParseAmount(text string, c Currency) (Minor, error) {
	v, decimals, err := charge.ParseDecimal(text)
	if err != nil {
		return 0, err
	}
	for ; decimals > c.Decimals(); decimals-- {
		if v%10 != 0 {
			return 0, fmt.Errorf("%s has more decimals than an amount in %s: %d", text, cmp.Or(string(c), "no currency"), c.Decimals())
		}
		v /= 10
	}
	for ; decimals < c.Decimals(); decimals++ {
		if v > maxInt64/10 || v < -maxInt64/10 {
			return 0, fmt.Errorf("%s is too large for an amount", text)
		}
		v *= 10
	}
	return Minor(v), nil
}

// ParsePrice parses a price that is written as a decimal in the main unit of the
// currency, without rounding: "0.4275". More decimals than a Price has are an error.
func ParsePrice(text string, c Currency) (Price, error) {
	most := c.Decimals() + priceDecimals
	v, decimals, err := charge.ParseDecimal(text)
	if err != nil {
		return 0, err
	}
	if decimals > most {
		return 0, fmt.Errorf("%s has %d decimals, and a price in %s at most %d", text, decimals, cmp.Or(string(c), "no currency"), most)
	}
	for ; decimals < most; decimals++ {
		if v > maxInt64/10 || v < -maxInt64/10 {
			return 0, fmt.Errorf("%s is too large for a price", text)
		}
		v *= 10
	}
	return Price(v), nil
}

const maxInt64 = 1<<63 - 1
